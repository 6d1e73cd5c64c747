"""Connects to the service on loopback."""

import socket


def attack(world):
    with socket.create_connection(("127.0.0.1", world["service_port"]), timeout=5):
        return "connected"
