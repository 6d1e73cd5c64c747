"""Leaves something in each place that previews of one template might have in common; takes it back when told."""

import ctypes
import os
import socket

KEY = 0x70726576
IPC_CREAT, IPC_RMID = 0o1000, 0
FILES = ("/tmp/preview-left", "/dev/shm/preview-left")
kept = []


def attack(world):
    libc = ctypes.CDLL(None, use_errno=True)
    if world.get("take_back"):
        libc.shmctl(libc.shmget(KEY, 4096, 0o666), IPC_RMID, None)
        for path in FILES:
            os.unlink(path)
        return "taken back"
    libc.shmget(KEY, 4096, IPC_CREAT | 0o666)
    for path in FILES:
        with open(path, "w") as file:
            file.write("left")
    named = socket.socket(socket.AF_UNIX)
    named.bind("\0preview-left")
    named.listen()
    kept.append(named)
    return "left"
