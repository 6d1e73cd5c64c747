"""Takes hold of another process by ptrace."""

import ctypes
import os


def attack(world):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, world["bystander"], 0, 0) == -1:  # PTRACE_SEIZE
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    libc.ptrace(17, world["bystander"], 0, 0)
    return "held"
