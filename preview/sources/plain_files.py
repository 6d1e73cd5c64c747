"""Reading files of a folder that a program may run in: whatever it puts there, nothing is waited for or followed."""

from __future__ import annotations

import errno
import os
import stat


def read_plain(path: str, most_bytes: int) -> bytes:
    """The first bytes of a plain file. Blocks on the disk, and on nothing else.

    Args:
        path: The file's.
        most_bytes: Of more than these nothing is read.

    Raises:
        OSError: It cannot be read, or is a link, a pipe, a device or a socket.
    """
    # A pipe that nobody writes to would hold the thread for ever, and of threads there are forty.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor, not a path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", path)
        return file.read(most_bytes)
