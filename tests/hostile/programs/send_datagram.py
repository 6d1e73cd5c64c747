"""Sends a datagram to the machine."""

import socket


def attack(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(1)
        out.connect(("127.0.0.1", world["datagram_port"]))
        out.send(b"here")
        return out.recv(10)
