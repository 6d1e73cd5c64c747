"""A file that refuses single reads larger than an honest archive needs."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from preview.errors import InvalidGeneration


class BoundedReads:
    """Read-only view of a seekable file, for parsers that read as much at once as a header tells them to.

    Args:
        file: Seekable.
        limit_bytes: Of one read.
        kind: The archive's format, for messages.
        refused: Nothing that is read may match it, except as content.
    """

    def __init__(
        self, file: IO[bytes], limit_bytes: int, kind: str, *, refused: re.Pattern[bytes] | None = None
    ) -> None:
        self._file = file
        self._limit = limit_bytes
        self._kind = kind
        self._refused = refused
        self._in_content = False

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes; all that is left without it.

        Raises:
            InvalidGeneration: More than the limit.
        """
        if size < 0:
            size = self._left()
        if size > self._limit:
            raise InvalidGeneration(
                f"The {self._kind} archive has a header of {size} bytes, more than any honest one; pack it again with "
                "an ordinary tool.",
                format=self._kind,
            )
        found = self._file.read(size)
        if self._refused is not None and not self._in_content and self._refused.search(found):
            raise InvalidGeneration(
                f"The {self._kind} archive has a header that no honest one has; pack it again with an ordinary tool.",
                format=self._kind,
            )
        return found

    @contextmanager
    def content(self) -> Iterator[None]:
        """What is read meanwhile is the content of a file, and may be anything."""
        self._in_content = True
        try:
            yield
        finally:
            self._in_content = False

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def seekable(self) -> bool:
        """As of any file: it is."""
        return True

    def _left(self) -> int:
        here = self._file.tell()
        end = self._file.seek(0, io.SEEK_END)
        self._file.seek(here)
        return end - here
