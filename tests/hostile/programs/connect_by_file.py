"""Connects to a local socket of another program."""

import socket


def attack(world):
    with socket.socket(socket.AF_UNIX) as out:
        out.connect(world["socket_file"])
    return "connected"
