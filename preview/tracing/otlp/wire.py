"""Protobuf's wire format: fields of a message, read one by one within a budget.

A reader of its own: it needs no package, and its callers can pause after each part, so that a hostile message of 4 MiB
takes the service's event loop for a moment only. Anything that is not such a message is an error.

Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from preview.tracing.otlp.given import NotOtlp

MOST_FIELDS: Final = 200_000
"""Fields of one message that are looked at; more are an error."""

MOST_PART_FIELDS: Final = 5_000
"""Fields of one span, record or point, which is read in one go; more are an error."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10
# Longer texts are cut anyway; four bytes are one character at most.
_MOST_TEXT_BYTES = 8_000
# Fields between two pauses.
_SLICE = 500
_64_BITS = (1 << 64) - 1
Value = int | memoryview
"""Value of a field: a number, or the bytes of a text or message."""


class Budget:
    """Number of fields that may still be read.

    Attributes:
        left: That number.
        least: What must be left after what is read now.
    """

    def __init__(self) -> None:
        self.left = MOST_FIELDS
        self.least = 0

    def take(self) -> None:
        """Count a field.

        Raises:
            NotOtlp: There are too many.
        """
        self.left -= 1
        if self.left < self.least:
            raise NotOtlp("too many fields")

    @contextmanager
    def part(self) -> Iterator[None]:
        """Limit what is read meanwhile to ``MOST_PART_FIELDS``."""
        self.least = max(0, self.left - MOST_PART_FIELDS)
        yield
        self.least = 0


def messages(text: memoryview, number: int, budget: Budget) -> Iterator[memoryview | None]:
    """Yield the messages of one field; None now and then, although there is none."""
    for at, (field, value) in enumerate(fields(text, budget)):
        if field == number:
            if not isinstance(value, memoryview):
                raise NotOtlp("a message is expected")
            yield value
        elif at % _SLICE == _SLICE - 1:
            yield None


def fields(text: memoryview, budget: Budget) -> Iterator[tuple[int, Value]]:
    """Yield the number and the value of each field.

    Raises:
        NotOtlp: It is not a message, or the budget is used up.
    """
    at, end = 0, len(text)
    while at < end:
        budget.take()
        key, at = _varint(text, at)
        kind, number = key & 7, key >> 3
        if kind == _VARINT:
            value, at = _varint(text, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(text, at)
        elif kind in {_FIXED64, _FIXED32}:
            size = 8 if kind == _FIXED64 else 4
        else:
            raise NotOtlp("an unknown type of a field")
        if size > end - at:
            raise NotOtlp("a field extends past its message")
        part = text[at : at + size]
        at += size
        yield number, part if kind == _BYTES else int.from_bytes(part, "little")


def _varint(text: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_MOST_VARINT_BYTES):
        if at >= len(text):
            break
        byte = text[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at
    raise NotOtlp("an unterminated number")


def text_of(value: memoryview) -> str:
    """Return a text; bytes that are not UTF-8 become U+FFFD."""
    return bytes(value[:_MOST_TEXT_BYTES]).decode("utf-8", "replace")


def double_of(value: int) -> float:
    """Return the number of a field of the type ``double``."""
    return float(struct.unpack("<d", (value & _64_BITS).to_bytes(8, "little"))[0])


def signed_of(value: int) -> int:
    """Return the number of a field of the type ``int64`` or ``sfixed64``."""
    value &= _64_BITS
    return value - (1 << 64) if value >> 63 else value
