"""Walk a project folder that running code may change at any moment, without following a link.

Each folder is opened relative to the one above (openat(2), O_NOFOLLOW). A name that has vanished or has become another
kind of file meanwhile is skipped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from preview.core.quoting import quoted
from preview.data.threads import check_cancelled
from preview.errors import DataUnavailable

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a pipe or a lease (fcntl(2), F_SETLEASE) would block.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# A name that another kind of file has taken, or nothing.
_CHANGED = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO})
# Each level has an open descriptor. A generation's files have 32 levels at most.
_MOST_LEVELS = 64
_REMADE = frozenset({"node_modules", "__pycache__", ".venv", "venv"})
# A launch lays one with the project's secrets where a program demands it; a restore leaves it as it is.
_LAID = ".env"


@dataclass(frozen=True, slots=True)
class Found:
    """A file, folder or link.

    Attributes:
        path: Path relative to the root.
        name: Last part of the path.
        folder: Descriptor of its folder, open until the walk goes on.
        status: Its status; a link's own.
        target: Target of a link; empty for others.
    """

    path: str
    name: str
    folder: int
    status: os.stat_result
    target: str = ""

    @property
    def is_folder(self) -> bool:
        """True for a folder."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """True for a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_saved(self) -> bool:
        """False for a name that is no part of a preview's data.

        These are folders that tools make again, or links to them; links that lead out of the project; sockets,
        pipes and devices; and files named ``.env``, which hold secrets: a generation's own comes back with its files.
        """
        if self.is_link:
            return self.name not in _REMADE and not leads_out(self.path, self.target)
        if self.is_folder:
            return self.name not in _REMADE
        return self.name != _LAID and stat.S_ISREG(self.status.st_mode)


def walk_folder(root: int, *, most: int) -> Iterator[Found]:
    """Yield everything below an open folder, each folder before its content, in order of names.

    The content of folders that are not saved is left out.

    Raises:
        DataUnavailable: More than ``most`` names, too many levels, or a folder that cannot be read.
    """
    return _walk(root, "", iter(range(most)), 0)


def _walk(folder: int, prefix: str, budget: Iterator[int], level: int) -> Iterator[Found]:
    if level > _MOST_LEVELS:
        raise DataUnavailable(f"The folder {quoted(prefix)} is nested too deeply: more than {_MOST_LEVELS} levels.")
    for name in _names(folder, budget):
        check_cancelled()
        found = look_at(folder, name, f"{prefix}{name}")
        if found is None:
            continue
        yield found
        if found.is_folder and found.is_saved:
            with reading(found.path), _opened(name, folder) as inner:
                yield from _walk(inner, f"{found.path}/", budget, level + 1)


def _names(folder: int, budget: Iterator[int]) -> list[str]:
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if next(budget, None) is None:
                raise DataUnavailable("The project's folder has too many files.")
            names.append(entry.name)
    return sorted(names)


def look_at(folder: int, name: str, path: str) -> Found | None:
    """Return what has this name in an open folder; None if it has vanished.

    Raises:
        DataUnavailable: It cannot be read.
    """
    with reading(path):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(status.st_mode) else ""
        return Found(path, name, folder, status, target)
    return None


@contextmanager
def open_file(found: Found) -> Iterator[int | None]:
    """Open a regular file for reading; None if it has become something else."""
    descriptor = _descriptor(found)
    try:
        yield descriptor if descriptor is not None and stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _descriptor(found: Found) -> int | None:
    with reading(found.path):
        return os.open(found.name, FILE, dir_fd=found.folder)
    return None


@contextmanager
def _opened(name: str, parent: int) -> Iterator[int]:
    descriptor = os.open(name, FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Ignore that a name has vanished or changed its kind; translate other errors.

    Raises:
        DataUnavailable: Another error.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CHANGED:
            raise DataUnavailable(f"{quoted(path)} cannot be read: {error.strerror or error}.") from error


def leads_out(path: str, target: str) -> bool:
    """Return whether a link's target is absolute, or lies outside of the root by its text."""
    if target.startswith("/"):
        return True
    level = path.count("/")
    for part in target.split("/"):
        level += -1 if part == ".." else 0 if part in ("", ".") else 1
        if level < 0:
            return True
    return False
