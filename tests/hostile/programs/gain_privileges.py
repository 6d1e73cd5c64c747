"""Whether a program that it starts could have more rights than it has."""

import ctypes

PR_GET_NO_NEW_PRIVS = 39


def attack(world):
    if ctypes.CDLL(None).prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1:
        raise PermissionError("no new privileges")
    return "it could"
