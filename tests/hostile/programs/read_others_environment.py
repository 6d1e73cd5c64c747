"""Reads the environment of every process in /proc."""

import os


def attack(world):
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ") as file:
                if world["secret"] in file.read():
                    return f"found in {pid}"
        except OSError:
            continue
    raise LookupError("in no process")
