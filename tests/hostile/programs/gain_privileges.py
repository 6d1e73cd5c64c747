"""Whether a program that it starts could have more rights than it has."""


def attack(world):
    with open("/proc/self/status") as file:
        if "NoNewPrivs:\t1" in file.read():
            raise PermissionError("no new privileges")
    return "it could"
