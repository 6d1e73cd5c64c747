"""The name of the file that a worker reads now, in memory that the service sees: known when the worker is killed."""

from __future__ import annotations

import mmap
import os
from typing import Final

_SIZE_BYTES: Final = mmap.PAGESIZE
_MAX_NAME_BYTES: Final = 1024


class Progress:
    """Written by the worker, one page.

    Attributes:
        descriptor: Of the memory, for the service.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("progress", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, _SIZE_BYTES)
        self._page = mmap.mmap(self.descriptor, _SIZE_BYTES)

    def tell(self, name: str) -> None:
        """The file is about to be read."""
        data = name.encode("utf-8", "replace")[:_MAX_NAME_BYTES] + b"\0"
        self._page[: len(data)] = data

    def close(self) -> None:
        """Release the memory."""
        self._page.close()
        os.close(self.descriptor)


def read_progress(descriptor: int) -> str:
    """The name that the worker wrote last; empty without one. It is the worker's word: check it before use."""
    data = os.pread(descriptor, _MAX_NAME_BYTES, 0).partition(b"\0")[0]
    return data.decode("utf-8", "replace")
