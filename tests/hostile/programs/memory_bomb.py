"""Takes 8 MB of memory after another, at most 400 MB."""

import os
import time


def attack(world):
    held = []
    for _ in range(50):
        held.append(bytearray(os.urandom(1)) * (8 << 20))
        time.sleep(0.05)
    return len(held)
