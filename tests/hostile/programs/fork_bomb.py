"""Forks as often as it can, each child doing the same; says how many it had."""

import os
import time


def attack(world):
    made = 0
    try:
        for _ in range(400):
            if os.fork() == 0:
                time.sleep(600)
            made += 1
    except OSError:
        return made
    raise RuntimeError(f"{made} without an end")
