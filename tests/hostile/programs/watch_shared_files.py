"""Watches who opens what in the environment that others share (inotify)."""

import ctypes
import os
import sys


def attack(world):
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(0)
    if libc.inotify_add_watch(descriptor, sys.prefix.encode(), 0x20) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.close(descriptor)
    return "watching"
