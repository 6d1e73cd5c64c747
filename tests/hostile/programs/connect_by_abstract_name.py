"""Connects to a local socket without a file: a name that all of one network share."""

import socket


def attack(world):
    with socket.socket(socket.AF_UNIX) as out:
        out.connect("\0" + world["abstract"])
    return "connected"
