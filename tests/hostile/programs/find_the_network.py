"""Lists the network interfaces besides its own loopback."""

import socket


def attack(world):
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not others:
        raise LookupError("none")
    return others
