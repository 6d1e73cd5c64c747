"""Finds what another preview of the same environment has left in memory, in temporary folders or under a name."""

import ctypes
import os
import socket

import leave_for_others


def attack(world):
    found = [path for path in leave_for_others.FILES if os.path.exists(path)]
    if ctypes.CDLL(None).shmget(leave_for_others.KEY, 4096, 0o666) != -1:
        found.append("shared memory")
    with socket.socket(socket.AF_UNIX) as named:
        try:
            named.connect("\0preview-left")
            found.append("named socket")
        except OSError:
            pass
    if not found:
        raise OSError("nothing is there")
    return found
