"""The folder that an environment is built in: gone when the build ends, unless it was renamed to its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import trio

from preview.environments.layout import Layout, remove_tree
from preview.errors import EnvironmentFailed

__all__ = ["open_unfinished"]

_log = structlog.get_logger(__name__)

# Tens of thousands of files at worst.
_REMOVE_S = 20.0


@asynccontextmanager
async def open_unfinished(layout: Layout, key: str) -> AsyncIterator[Path]:
    """A new name beside the environment's place; the body makes the folder and renames it when it is finished.

    Raises:
        EnvironmentFailed: The disk did not take it.

    Cancellation: nothing is left (bounded; what a hung disk keeps is left to eviction).
    """
    temporary = layout.temporary(key, "building")
    try:
        yield temporary
    except OSError as error:
        raise EnvironmentFailed(
            f"The environment could not be written: {error.strerror or error}; look at the service's cache folder",
            reason="disk",
        ) from error
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True):
            await trio.to_thread.run_sync(_remove, temporary, abandon_on_cancel=True)


def _remove(temporary: Path) -> None:
    try:
        remove_tree(temporary)
    except OSError as error:  # the next build or eviction of this key tries again
        _log.warning("half-built environment not removed", folder=str(temporary), error=str(error))
