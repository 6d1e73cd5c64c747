"""Locks between processes: flock(2) on a file beside each environment, waited for without blocking a thread.

Shared: in use. Exclusive: being built or removed. The kernel releases them with the process, however it dies.
"""

from __future__ import annotations

import fcntl
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

# flock cannot be waited for without a thread that cannot be cancelled; asking 5 to 50 times a second costs nothing
# beside the build that is being waited for.
_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.2


@dataclass(slots=True)
class FileLock:
    """A held lock; the file's modification time tells when the environment was last used."""

    path: Path
    fd: int

    def touch(self) -> None:
        """Note a use, now."""
        os.utime(self.fd)

    def remove(self) -> None:
        """Remove the file; only under an exclusive lock. Who waits for it notices and opens the new one."""
        self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back. Again does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def try_lock(path: Path, *, exclusive: bool) -> FileLock | None:
    """Return the lock, or None while another holds it.

    Raises:
        OSError: The file cannot be made.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        # With the environment the file was removed, too: a lock on a file without a name protects nothing.
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
        OSError: The file cannot be made.

    Cancellation: nothing is held.
    """
    wait_s = _FIRST_WAIT_S
    await trio.lowlevel.checkpoint()
    while (held := try_lock(path, exclusive=exclusive)) is None:
        await trio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
    return held


_log = structlog.get_logger(__name__)

# Tens of thousands of files at worst.
_REMOVE_S = 20.0
_TRIES = 5


@asynccontextmanager
async def open_unfinished(layout: Layout, key: str) -> AsyncIterator[Path]:
    """Provide a new name beside the environment's place; the body makes the folder and renames it when finished.

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
    """Provide a private folder of the service's user, for a build's temporary files.

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


@asynccontextmanager
async def open_cage(
    jail: Jail | None, layout: Layout, key: str, make: Callable[[Jail, Path, Cgroup | None], T]
) -> AsyncIterator[T | None]:
    """Yield what ``make``, in a thread, makes of a build's scratch folder and control group; None without a jail.

    Cancellation: as ``open_scratch`` and ``Jail.open_group``.
    """
    if jail is None:
        yield None
        return
    async with open_scratch(layout, key) as scratch, jail.open_group(key) as group:
        yield await trio.to_thread.run_sync(make, jail, scratch, group)


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
        _log.warning("unfinished environment not removed", folder=str(temporary), error=str(error))
