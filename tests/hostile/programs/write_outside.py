"""Writes a file beside those of the service."""


def attack(world):
    with open(world["outside"] + "/written", "w") as file:
        file.write("here")
    return "written"
