"""Connects to the port of another preview."""

import socket


def attack(world):
    with socket.create_connection(("127.0.0.1", world["other_port"]), timeout=5):
        return "connected"
