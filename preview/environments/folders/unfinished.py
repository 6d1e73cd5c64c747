"""The folder that an environment is built in: gone when the build ends, unless it was renamed to its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.environments.folders.layout import Layout, remove_tree
from preview.errors import EnvironmentFailed

_log = structlog.get_logger(__name__)

# Tens of thousands of files at worst.
_REMOVE_S = 20.0
_TRIES = 5


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
            if layout.workshop is not None:
                # Only the last build's is empty. It lies in somebody else's cache: nothing is left there.
                with suppress(OSError):
                    layout.workshop.rmdir()


@asynccontextmanager
async def open_scratch(layout: Layout, key: str) -> AsyncIterator[Path]:
    """A folder of the service's user alone, for what a build needs and nobody keeps.

    Raises:
        OSError: The disk did not take it.

    Cancellation: nothing is left (bounded; what a hung disk keeps is left to eviction).
    """
    scratch = layout.temporary(key, "scratch")
    await trio.to_thread.run_sync(partial(scratch.mkdir, mode=0o700, parents=True))
    try:
        yield scratch
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True):
            await trio.to_thread.run_sync(_remove, scratch, abandon_on_cancel=True)


def make_folder(folder: Path) -> None:
    """Make the folder that a build fills, and those above it, which the end of another build may just remove.

    Raises:
        OSError: It cannot be made.
    """
    for _ in range(_TRIES):
        try:
            folder.mkdir(parents=True)
        except FileNotFoundError:
            continue
        return
    folder.mkdir(parents=True)


def _remove(temporary: Path) -> None:
    try:
        remove_tree(temporary)
    except OSError as error:  # the next build or eviction of this key tries again
        _log.warning("half-built environment not removed", folder=str(temporary), error=str(error))
