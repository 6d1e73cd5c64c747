"""Reads and writes the files of control groups: short texts of a few lines (cgroups(7)).

A hundred groups are read every other second, so this uses ``os.read`` without ``pathlib``. The kernel returns each of
these files completely in one read.
"""

from __future__ import annotations

import errno
import os

from preview.core.descriptors import walk

# Larger than any file that is read here, except ``cgroup.procs``, which is read to its end.
_READ_BYTES = 64 * 1024
# Errors of a read in a group that has been, or is being, removed.
_GONE = frozenset({errno.ENOENT, errno.ENODEV})


def is_gone(error: OSError) -> bool:
    """Return whether the error means that the group, or its file, no longer exists."""
    return error.errno in _GONE


def read(path: str) -> str:
    """Return the whole file; empty if it does not exist."""
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
    """Write the text in one call, as these files require.

    Raises:
        OSError: The kernel refuses; the error contains the path.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    except OSError as error:
        # Add the path, which shows which limit was refused.
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(descriptor)


def table(text: str) -> dict[str, int]:
    """Parse lines of a name and a number (``memory.stat``, ``cpu.stat``, ``pids.events``); skip other lines."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name and value.isdecimal():
            found[name] = int(value)
    return found


def read_number(path: str) -> int:
    """Return the number in the file; 0 if there is no file, or no number in it (``max``)."""
    text = read(path).strip()
    return int(text) if text.isdecimal() else 0


def read_events(path: str, name: str) -> int:
    """Return one count of a file of counts; 0 if it is missing."""
    return table(read(path)).get(name, 0)


def pids(directory: str) -> list[int]:
    """Return the processes in this group, without subgroups (0 means one of another pid namespace)."""
    return [int(line) for line in read(f"{directory}/cgroup.procs").split() if line.isdecimal()]


def groups_below(directory: str) -> list[str]:
    """Return the group and all groups below it, deepest first, which is the order of removal."""
    return [path for path, _, _ in walk(directory, topdown=False)]


def all_pids(directory: str) -> list[int]:
    """Return the processes in the group and in all groups below it."""
    return [pid for group in groups_below(directory) for pid in pids(group)]
