"""The asynchronous library that runs the calling task."""

from __future__ import annotations

import sniffio


def in_asyncio() -> bool:
    """Return True if asyncio runs the calling task; False in trio, in its guest run, and where no task runs."""
    try:
        return sniffio.current_async_library() == "asyncio"
    except sniffio.AsyncLibraryNotFoundError:
        return False
