"""Reads a file of the service's user."""


def attack(world):
    with open(world["secret_file"]) as file:
        return file.read()
