"""Opens files until it may not."""

import os


def attack(world):
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return len(opened)
    finally:
        for one in opened:
            os.close(one)
