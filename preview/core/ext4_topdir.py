"""Folders that the disk keeps apart, so that making one does not go through what was removed from the others.

ext4 puts a folder and its files beside the folder that it is in, and takes no inode that was freed within the last
minutes while it looks for another: where previews come and go, each file that is made goes through all those that the
last previews have left. Below the top of a hierarchy folders are put in different groups of the disk instead
(``benchmarks/churn.py``: a third of the time, and a tenth after some hours of that).

Sources: chattr(1), T; ioctl_iflags(2); fs/ext4/ialloc.c (``find_group_orlov``, ``recently_deleted``).
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

_LONG: Final = struct.calcsize("l")
# linux/fs.h: _IOR('f', 1, long), _IOW('f', 2, long)
_GET_FLAGS: Final = 2 << 30 | _LONG << 16 | ord("f") << 8 | 1
_SET_FLAGS: Final = 1 << 30 | _LONG << 16 | ord("f") << 8 | 2
_TOP: Final = 0x00020000


def spread_below(folder: Path) -> None:
    """Have what is made in this folder put apart from now on; nothing happens where the file system cannot do that.

    Raises:
        OSError: It cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            flags = bytearray(_LONG)
            fcntl.ioctl(descriptor, _GET_FLAGS, flags)
            # An int, whatever the number of the call says.
            (found,) = struct.unpack_from("i", flags)
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("i", found | _TOP).ljust(_LONG, b"\0"))
    finally:
        os.close(descriptor)
