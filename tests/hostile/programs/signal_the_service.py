"""Asks whether it may signal the service, which started it."""

import os


def attack(world):
    for pid in {world["service"], os.getppid()} - {0, 1}:
        os.kill(pid, 0)
        return "it may"
    raise ProcessLookupError("nobody there")
