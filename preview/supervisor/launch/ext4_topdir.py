"""Spread a folder's subfolders over the disk (ext4's "top of directory hierarchies" flag).

ext4 puts a folder and its files near their parent folder. While it searches for a free inode, it skips every inode that
was freed within the last minutes. Where previews are often created and removed, each new file skips all inodes that
removed previews have freed. Below a folder with this flag, ext4 puts subfolders in different block groups instead
(``benchmarks/churn.py``: a third of the time, and a tenth after some hours of such load).

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
    """Spread future subfolders of this folder. Does nothing if the file system lacks the flag.

    Raises:
        OSError: The folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            flags = bytearray(_LONG)
            fcntl.ioctl(descriptor, _GET_FLAGS, flags)
            # The kernel reads and writes an int, although the request number says long.
            (found,) = struct.unpack_from("i", flags)
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("i", found | _TOP).ljust(_LONG, b"\0"))
    finally:
        os.close(descriptor)
