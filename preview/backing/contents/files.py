"""Files that a sandbox wrote: only regular ones are read, and none through a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_CHUNK_BYTES = 1024 * 1024


def open_regular(path: Path | str, folder: int | None = None) -> int:
    """Open a file for reading; the caller closes the descriptor. Blocks on the disk.

    Args:
        path: The file, or its name in ``folder``.
        folder: Descriptor of a folder.

    Raises:
        OSError: There is none, or it is a link, or no regular file.
    """
    # Without O_NONBLOCK the opening of a FIFO would wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return descriptor


def copy_regular(source: int, target: Path, most_bytes: int) -> None:
    """Copy an open file into a new one. Blocks on the disk.

    Raises:
        OSError: The file is too large, or the new one cannot be written, or exists.
    """
    left = most_bytes
    made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        while chunk := os.read(source, _CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise OSError(f"larger than {most_bytes} bytes")
            while chunk:
                chunk = chunk[os.write(made, chunk) :]
    finally:
        os.close(made)
