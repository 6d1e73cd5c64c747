"""Reads the few fields of an ``ExportTraceServiceRequest`` that are kept, from protobuf's wire format.

A reader of its own: it needs no package, and it can stop after each span, so that a hostile message of 4 MiB takes the
service's event loop for a moment only. Anything that is not such a message is an error.

Source: protobuf.dev, "Encoding"; opentelemetry-proto, trace/v1/trace.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from preview.tracing.otlp.given import Given, NotOtlp

MOST_FIELDS: Final = 200_000
"""Fields of one message that are looked at; more are an error."""

MOST_SPAN_FIELDS: Final = 5_000
"""Fields of one span, which is read in one go; more are an error."""

_MOST_ATTRIBUTES = 128
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10
_Value = int | memoryview
# Fields between two pauses.
_SLICE = 500


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


def read_protobuf(body: bytes) -> Iterator[Given | None]:
    """Yield the spans of a message; None where the caller may pause.

    Raises:
        NotOtlp: The message is wrong. Earlier spans have been yielded.
    """
    budget = Budget()
    for resource in _messages(memoryview(body), 1, budget):
        for scope in _messages(resource, 2, budget) if resource is not None else ():
            for span in _messages(scope, 2, budget) if scope is not None else ():
                yield None if span is None else _span(span, budget)
            yield None
        yield None


def _messages(text: memoryview, number: int, budget: Budget) -> Iterator[memoryview | None]:
    """Yield the messages of one field; None now and then, although there is none."""
    for at, (field, value) in enumerate(_fields(text, budget)):
        if field == number:
            if not isinstance(value, memoryview):
                raise NotOtlp("a message is expected")
            yield value
        elif at % _SLICE == _SLICE - 1:
            yield None


def _fields(text: memoryview, budget: Budget) -> Iterator[tuple[int, _Value]]:
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


def _span(text: memoryview, budget: Budget) -> Given:
    given = Given()
    attributes = 0
    budget.least = max(0, budget.left - MOST_SPAN_FIELDS)
    for number, value in _fields(text, budget):
        if isinstance(value, int):
            if number == 6:
                given.kind = value
            elif number == 7:
                given.start_ns = value
            elif number == 8:
                given.end_ns = value
        elif number in {1, 2, 4}:
            # Longer ids are none.
            setattr(given, {1: "trace_id", 2: "span_id", 4: "parent_id"}[number], bytes(value[:17]).hex())
        elif number == 5:
            given.name = _text(value)
        elif number == 9 and attributes < _MOST_ATTRIBUTES:
            attributes += 1
            _attribute(value, given, budget)
        elif number == 15:
            for part, said in _fields(value, budget):
                if part == 2 and isinstance(said, memoryview):
                    given.message = _text(said)
                elif part == 3 and isinstance(said, int):
                    given.has_failed = said == 2
    budget.least = 0
    return given


def _attribute(text: memoryview, given: Given, budget: Budget) -> None:
    key = ""
    for number, value in _fields(text, budget):
        if isinstance(value, int):
            continue
        if number == 1:
            key = _text(value)
        elif number == 2 and given.wants(key):
            for part, said in _fields(value, budget):
                if part == 1 and isinstance(said, memoryview):
                    given.attributes[key] = _text(said)
                elif part == 3 and isinstance(said, int):
                    given.attributes[key] = said


def _text(value: memoryview) -> str:
    # Longer texts are cut anyway; four bytes are one character at most.
    return bytes(value[:8000]).decode("utf-8", "replace")
