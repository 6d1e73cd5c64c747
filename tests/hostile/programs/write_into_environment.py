"""Changes the Python environment that other previews share."""

import contextlib
import os
import sysconfig


def attack(world):
    folder = sysconfig.get_path("purelib")
    # A folder that its owner may not write to is no obstacle to its owner.
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o755)
    with open(folder + "/hostile_planted.py", "w") as file:
        file.write("")
    return "planted"
