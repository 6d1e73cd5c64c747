"""The files of control groups: a line of text in, a few lines out (cgroups(7)).

A hundred groups are read every other second: ``os.read`` once, no ``pathlib``. The kernel hands out each of these
files whole in one read.
"""

from __future__ import annotations

import errno
import os

from preview.core.descriptors import walk

# More than any of the files read here but ``cgroup.procs``, which is read to its end.
_READ_BYTES = 64 * 1024
# What reading in a group raises that is being removed, or was.
_GONE = frozenset({errno.ENOENT, errno.ENODEV})


def is_gone(error: OSError) -> bool:
    """Return whether the error means that the group, or the file in it, is gone."""
    return error.errno in _GONE


def read(path: str) -> str:
    """All of the file; nothing when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if is_gone(error):
            return ""
        raise
    parts = []
    try:
        while part := os.read(descriptor, _READ_BYTES):
            parts.append(part)
    except OSError as error:
        if not is_gone(error):
            raise
    finally:
        os.close(descriptor)
    return b"".join(parts).decode("ascii", "replace")


def write(path: str, text: str) -> None:
    """Write the text in one go, as these files want it.

    Raises:
        OSError: What the kernel says, with the file's name.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    except OSError as error:
        # Without the name nobody can tell which limit was refused.
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(descriptor)


def table(text: str) -> dict[str, int]:
    """Lines of a name and a number (``memory.stat``, ``cpu.stat``, ``pids.events``); other lines are left out."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name and value.isdecimal():
            found[name] = int(value)
    return found


def read_number(path: str) -> int:
    """Return the file's one number; 0 where there is no file, or no number in it (``max``)."""
    text = read(path).strip()
    return int(text) if text.isdecimal() else 0


def read_events(path: str, name: str) -> int:
    """One count of a file of counts; 0 where there is none."""
    return table(read(path)).get(name, 0)


def pids(directory: str) -> list[int]:
    """Return the processes in this very group (0 is an invisible one, of another pid namespace)."""
    return [int(line) for line in read(f"{directory}/cgroup.procs").split() if line.isdecimal()]


def groups_below(directory: str) -> list[str]:
    """Return the group and all below it, the deepest first: the order in which they can be removed."""
    return [path for path, _, _ in walk(directory, topdown=False)]


def all_pids(directory: str) -> list[int]:
    """Return the processes in the group and in all groups below it."""
    return [pid for group in groups_below(directory) for pid in pids(group)]
