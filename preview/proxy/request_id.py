"""The number of a request, by which lines of output are tied to it."""

from __future__ import annotations

import os
import re

from preview.core.ids import REQUEST_ID

REQUEST_ID_FIELD = b"x-request-id"

_RANDOM_BYTES = 12
_AT_ONCE = 256

_SANE = re.compile(REQUEST_ID.encode())


def is_sane_request_id(value: bytes) -> bool:
    """Whether a caller's own number can be kept: see ``REQUEST_ID``."""
    return _SANE.fullmatch(value) is not None


def new_request_id() -> bytes:
    """A number that nobody else has: 12 random bytes, hexadecimal."""
    return os.urandom(_RANDOM_BYTES).hex().encode()


class RequestIds:
    """Numbers as ``new_request_id`` makes them, without asking the kernel for each."""

    __slots__ = ("_at", "_digits")

    def __init__(self) -> None:
        self._digits = b""
        self._at = 0

    def new(self) -> bytes:
        """One that was not given before."""
        at = self._at
        if at == len(self._digits):
            self._digits, at = os.urandom(_RANDOM_BYTES * _AT_ONCE).hex().encode(), 0
        self._at = at + 2 * _RANDOM_BYTES
        return self._digits[at : self._at]
