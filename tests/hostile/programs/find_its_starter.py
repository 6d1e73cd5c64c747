"""Finds what has started it, a service or a template, and what it was left of theirs: orders, folders, processes."""

import os

LEFT = ("memfd:", "pidfd", "mqueue", "userfaultfd")


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def attack(world):
    found = ["the service"] if os.path.exists(f"/proc/{world['service']}/stat") else []
    # A fork has its template's command line; so has the first process of its world.
    others = [name for name in os.listdir("/proc") if name.isdecimal() and int(name) not in (1, os.getpid())]
    found += [f"process {name}" for name in others if b"preview_template" in read(f"/proc/{name}/cmdline")]
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if any(one in target for one in LEFT):
            found.append(target)
    if not found:
        raise OSError("nobody is there")
    return found
