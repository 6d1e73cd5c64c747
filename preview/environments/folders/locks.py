"""Locks between processes: flock(2) on a file beside each environment, waited for without blocking a thread.

Shared: in use. Exclusive: being built or removed. The kernel releases them with the process, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import trio

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
    """The lock, or None while somebody else's excludes it.

    Raises:
        OSError: The file cannot be made.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        # Whoever removed the environment removed the file too: a lock on a file without a name protects nothing.
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
