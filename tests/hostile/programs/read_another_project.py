"""Reads the folder of another preview."""

import os


def attack(world):
    return os.listdir(world["other_project"])
