"""Looks for what the service has in its environment among its own variables."""

import os


def attack(world):
    if world["secret"] in "".join(os.environ.values()):
        return "found it"
    raise LookupError("not there")
