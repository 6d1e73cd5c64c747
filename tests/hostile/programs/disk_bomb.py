"""Fills its own folder, one file of 1 MB after another, at most 64."""

import os
import time


def attack(world):
    for number in range(64):
        with open(f"filler-{number}", "wb") as file:
            file.write(os.urandom(1 << 20))
        time.sleep(0.05)
    return "filled"
