"""The part of an answer that is kept: its first rows, and the start of each value. The server is not believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from preview.backing.interface import Column, QueryResult
from preview.backing.server import ServerUnavailable
from preview.errors import DataUnavailable, QueryRefused

# Bytes that are read of an answer, and those that are kept of it, and of one value.
MOST_READ_BYTES = 32 * 1024 * 1024
_MOST_KEPT_BYTES = 1024 * 1024
_MOST_VALUE_BYTES = 2048
# A value of no bytes takes memory too.
_VALUE_BYTES = 8
_MOST_DIGITS = 18
_CUT = "…"


class TooLarge(Exception):
    """Not even the first row can be read within the limit."""


@contextmanager
def reading(name: str, refused: type[Exception], ended: tuple[type[Exception], ...]) -> Iterator[None]:
    """Translate what fails while a preview's data is read.

    Args:
        name: The server's name for people.
        refused: The server refuses a statement.
        ended: The session is over.

    Raises:
        QueryRefused, DataUnavailable: Instead of the others.
    """
    try:
        yield
    except refused as error:
        raise QueryRefused(str(error)) from error
    except TooLarge as error:
        raise DataUnavailable("A row is too large to be read; ask for fewer columns.") from error
    except ServerUnavailable as error:
        raise DataUnavailable(str(error)) from error
    except ended as error:
        raise DataUnavailable(f"{name} does not answer.") from error


def as_text(value: bytes) -> str:
    """Return a value as it is shown."""
    return value.decode("utf-8", "replace")


def as_hex(value: bytes) -> str:
    """Return a value that is no text as it is shown."""
    return "\\x" + value.hex()


class Kept:
    """The rows of one answer, kept up to limits of number and size.

    Args:
        most_rows: Most rows.
    """

    def __init__(self, most_rows: int) -> None:
        self.most_rows = most_rows
        # Whether no more is kept; the rest of the answer is not read.
        self.is_full = False
        self.is_cut = False
        self.has_more = False
        # Shows the values of each column; columns beyond these are text.
        self.shows: Sequence[Callable[[bytes], str]] = ()
        self._rows: list[tuple[str | None, ...]] = []
        self._row: list[str | None] = []
        self._left = _MOST_KEPT_BYTES

    def share(self, size: int) -> int:
        """Return how many bytes are wanted of the row's next value, which has ``size``."""
        return max(0, min(size, _MOST_VALUE_BYTES, self._left))

    def add(self, value: bytes | None, size: int) -> None:
        """Keep the row's next value.

        Args:
            value: The start of it; None for NULL.
            size: Its whole size.
        """
        self._left -= _VALUE_BYTES
        if value is None:
            self._row.append(None)
            return
        self._left -= len(value)
        number = len(self._row)
        shown = (self.shows[number] if number < len(self.shows) else as_text)(value)
        if len(value) < size:
            self.is_cut = True
            # A character that was cut in two.
            shown = shown.rstrip("\N{REPLACEMENT CHARACTER}") + _CUT
        self._row.append(shown)

    def end_row(self) -> None:
        """End the row. One that is beyond the limits is left out.

        Raises:
            TooLarge: It is the first one.
        """
        row, self._row = self._row, []
        self._left -= _VALUE_BYTES
        if len(self._rows) >= self.most_rows or self._left < 0:
            self.stop()
        else:
            self._rows.append(tuple(row))

    def stop(self) -> None:
        """Keep no more.

        Raises:
            TooLarge: There is no row yet, but one was wanted.
        """
        if not self._rows and self.most_rows > 0:
            raise TooLarge
        self.is_full = self.is_cut = self.has_more = True

    def result(self, columns: Sequence[Column]) -> QueryResult:
        """Return what was kept."""
        return QueryResult(tuple(columns), tuple(self._rows), self.is_cut, self.has_more)


def as_number(said: str | None) -> int | None:
    """Return a number that a server says; None if it is none."""
    is_number = said is not None and said.isascii() and said.isdecimal() and len(said) <= _MOST_DIGITS
    return int(said) if said is not None and is_number else None
