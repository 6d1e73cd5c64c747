"""Writes to the terminal of whoever started the service."""


def attack(world):
    with open("/dev/tty", "w") as file:
        file.write("here")
    return "written"
