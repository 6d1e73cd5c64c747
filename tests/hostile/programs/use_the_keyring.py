"""Adds a key to the user's keyring, which no namespace divides."""

import ctypes
import os


def attack(world):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(248, b"user", b"hostile", b"1", 1, -2) == -1:  # add_key, the process's own keyring
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "added"
