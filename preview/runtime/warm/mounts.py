"""Detached mounts of folders: a process that gets the descriptor can attach the folder, and sees nothing else."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

# asm-generic/unistd.h: the same on every architecture.
_SYS_OPEN_TREE, _SYS_MOUNT_SETATTR = 428, 442
# linux/mount.h, linux/fcntl.h
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE = -100, 0x1000, 1
_NOSUID, _NODEV = 0x2, 0x4
_ATTRIBUTES = struct.Struct("=QQQQ")

_libc = ctypes.CDLL(None, use_errno=True)


def detached_mount(folder: Path) -> int:
    """Return a detached mount of the folder (open_tree(2), Linux 5.2), without devices and set-user-id programs.

    The caller closes the descriptor. Closing it removes the mount, unless it was attached somewhere.

    Raises:
        OSError: The folder does not exist, or this process may not mount.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    try:
        descriptor = _call(_SYS_OPEN_TREE, ctypes.c_int(_AT_FDCWD), os.fsencode(folder), ctypes.c_uint(flags))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    try:
        attributes = _ATTRIBUTES.pack(_NOSUID | _NODEV, 0, 0, 0)
        size = ctypes.c_size_t(len(attributes))
        _call(_SYS_MOUNT_SETATTR, ctypes.c_int(descriptor), b"", ctypes.c_uint(_AT_EMPTY_PATH), attributes, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
