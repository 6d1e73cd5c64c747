"""Locks between processes: flock(2) on a file next to each environment.

A shared lock means in use; an exclusive lock means being built or removed. The kernel releases both with the process.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from preview.environments.folders.layout import Layout, remove_tree
from preview.environments.sandbox.jail import Jail
from preview.errors import EnvironmentFailed
from preview.runtime.cgroups import Cgroup

T = TypeVar("T")

# Waiting in flock(2) needs a thread that cannot be cancelled. Polling 5 to 50 times a second is cheap compared with
# the build that holds the lock.
_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.2


@dataclass(slots=True)
class FileLock:
    """A lock that this process holds; the file's modification time is the environment's last use."""

    path: Path
    fd: int

    def touch(self) -> None:
        """Set the time of the last use to now."""
        os.utime(self.fd)

    def remove(self) -> None:
        """Remove the file; requires an exclusive lock. Waiting processes notice this and open the new file."""
        self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Release the lock. Further calls do nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def try_lock(path: Path, *, exclusive: bool) -> FileLock | None:
    """Return the lock, or None if it is taken.

    Raises:
        OSError: The file cannot be created.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        # The file may have been removed together with the environment: a lock on a deleted file protects nothing.
        if _is_current(path, fd):
            return FileLock(path, fd)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _is_current(path: Path, fd: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


async def lock(path: Path, *, exclusive: bool) -> FileLock:
    """Wait for the lock.

    Raises:
        OSError: The file cannot be created.

    Cancellation: no lock is taken.
    """
    wait_s = _FIRST_WAIT_S
    await trio.lowlevel.checkpoint()
    while (held := try_lock(path, exclusive=exclusive)) is None:
        await trio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
    return held


_log = structlog.get_logger(__name__)

# Enough for tens of thousands of files.
_REMOVE_S = 20.0
# After a cancellation: a stop has 8 s for all that it ends. The thread goes on; the next build removes what is left.
_REMOVE_CANCELLED_S = 1.5
_TRIES = 5


@asynccontextmanager
async def open_unfinished(layout: Layout, key: str) -> AsyncIterator[Path]:
    """Provide a new path for an unfinished environment; the body creates the folder and renames it when finished.

    Raises:
        EnvironmentFailed: The disk reported an error.

    Cancellation: the folder is removed within 1.5 s, or else in the background; what a killed service leaves is removed
    by the next build or by eviction.
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
        with trio.move_on_after(_removal_s(), shield=True):
            await trio.to_thread.run_sync(_remove, temporary, abandon_on_cancel=True)
            if layout.workshop is not None:
                # Fails unless this was the last build. The folder lies in the installer's cache, so it should not stay.
                with suppress(OSError):
                    layout.workshop.rmdir()


@asynccontextmanager
async def open_scratch(layout: Layout, key: str) -> AsyncIterator[Path]:
    """Provide a private folder of the service's user for a build's temporary files.

    Raises:
        OSError: The disk reported an error.

    Cancellation: the folder is removed within 1.5 s, or else in the background; what a killed service leaves is removed
    by the next build or by eviction.
    """
    scratch = layout.temporary(key, "scratch")
    await trio.to_thread.run_sync(partial(scratch.mkdir, mode=0o700, parents=True))
    try:
        yield scratch
    finally:
        with trio.move_on_after(_removal_s(), shield=True):
            await trio.to_thread.run_sync(_remove, scratch, abandon_on_cancel=True)


@asynccontextmanager
async def open_cage(
    jail: Jail | None, layout: Layout, key: str, make: Callable[[Jail, Path, Cgroup | None], T]
) -> AsyncIterator[T | None]:
    """Provide what ``make`` returns, called in a thread with a scratch folder and a cgroup; None without a jail.

    Cancellation: see ``open_scratch`` and ``Jail.open_group``.
    """
    if jail is None:
        yield None
        return
    async with open_scratch(layout, key) as scratch, jail.open_group(key) as group:
        yield await trio.to_thread.run_sync(make, jail, scratch, group)


def _removal_s() -> float:
    """Return how long a removal may take: less if the task is cancelled."""
    return _REMOVE_CANCELLED_S if trio.current_effective_deadline() == -math.inf else _REMOVE_S


def make_folder(folder: Path) -> None:
    """Create the folder and its parents, even if the end of another build removes a parent at the same time.

    Raises:
        OSError: The folder cannot be created.
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
    except OSError as error:  # the next build of this key or an eviction tries again
        _log.warning("unfinished environment not removed", folder=str(temporary), error=str(error))
