"""Prints without an end, from a thread of its own."""

import os
import threading


def attack(world):
    def flood():
        block = (b"x" * 99 + b"\n") * 600
        while True:
            os.write(1, block)

    threading.Thread(target=flood, daemon=True).start()
    return "started"
