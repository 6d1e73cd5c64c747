"""Parts of the system that differ on Windows, where the client commands run but the service does not.

On Linux and macOS each name here is the system's own.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Flags of open(2) that Windows lacks. Its files are neither pipes nor followed links of another user.
O_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
O_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
O_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)

# Windows keeps access control lists; the modes that ``os.stat`` gives there say nothing.
HAS_MODES = sys.platform != "win32"


def own_uid() -> int:
    """Return the effective user's number; 0 on Windows, where ``os.stat`` gives 0 as each file's owner."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def lock_file(descriptor: int, *, waits: bool) -> None:
    """Take the exclusive lock of an open file. The system releases it when the process ends or closes the file.

    Raises:
        BlockingIOError: Another process has the lock, and ``waits`` is false.
    """
    if sys.platform == "win32":
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if waits else msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
