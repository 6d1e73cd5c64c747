"""Ends a process of another."""

import os
import signal


def attack(world):
    os.kill(world["victim"], signal.SIGTERM)
    return "signalled"
