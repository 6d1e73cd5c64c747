"""Changes the Python environment that other previews share."""

import sysconfig


def attack(world):
    with open(sysconfig.get_path("purelib") + "/hostile_planted.py", "w") as file:
        file.write("")
    return "planted"
