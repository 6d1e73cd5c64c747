"""Lines of a project's file, as they are now. The folder is a stranger's, whose program may change it meanwhile.

The path is walked from the project's folder, one name at a time, and never through a link (openat(2), O_NOFOLLOW), so
that nothing outside of the folder is read. Only a regular file of a bounded size is read. Functions block on the disk.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from preview.core.descriptors import file_of
from preview.core.portable import O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK
from preview.logs.failures.model import Frame, SourceLines

AROUND = 5
"""Lines before and after the frame's own."""

_MOST_BYTES = 1024 * 1024
_MOST_LEVELS = 40
_MOST_CHARACTERS = 300


def read_source(folder: Path, frame: Frame) -> SourceLines | None:
    """Return the source around a frame; None if it cannot be read.

    Args:
        folder: The project's folder.
        frame: A frame of the project's own code, with its path from there.
    """
    if not frame.is_own or frame.line < 1:
        return None
    with suppress(OSError, ValueError):
        lines = _read(folder, frame.path).decode("utf-8", "replace").split("\n")
        if frame.line > len(lines):
            return None
        first = max(1, frame.line - AROUND)
        shown = (line.rstrip("\r")[:_MOST_CHARACTERS] for line in lines[first - 1 : frame.line + AROUND])
        return SourceLines(frame.path, frame.line, first, tuple(shown))
    return None


def line_of(source: SourceLines | None) -> str:
    """Return the text of the frame's own line; empty without source."""
    return "" if source is None else source.lines[source.line - source.first_line].strip()


def _read(folder: Path, path: str) -> bytes:
    """Return the content of a regular file in the folder.

    Raises:
        OSError: There is none, or a link leads to it, or it is too large.
    """
    *parents, name = path.split("/")
    if name in ("", ".", "..") or not set(parents).isdisjoint(("", ".", "..")) or len(parents) > _MOST_LEVELS:
        raise OSError("not a path in the folder")
    descriptor = os.open(folder, os.O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    try:
        for parent in parents:
            inner = os.open(parent, os.O_RDONLY | O_DIRECTORY | O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        # Without O_NONBLOCK the opening of a FIFO would wait.
        file = os.open(name, os.O_RDONLY | O_NOFOLLOW | O_NONBLOCK, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    with file_of(file) as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise OSError("not a regular file of a bounded size")
        return opened.read(_MOST_BYTES + 1) or b""
