"""Makes a hard link to a file that others share, to write through."""

import os
import sys


def attack(world):
    os.link(os.path.join(sys.prefix, "pyvenv.cfg"), "linked")
    with open("linked", "a") as file:
        file.write("")
    return "linked"
