"""What is handed to a process in a file that is in memory only: of any length, and no other can read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """A descriptor to read ``data`` from; closed when the context is left.

    Raises:
        OSError: No descriptor is left, or no memory.
    """
    descriptor = os.memfd_create("preview", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
