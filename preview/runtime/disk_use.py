"""Measurement of the disk space in folders of untrusted programs, robust against programs that hide their use.

It counts allocated blocks, so a sparse file counts as much as was written to it. Each entry counts at least one block,
so millions of empty files are not free. A file with several names counts once. Deleted files count while a process
keeps them open. Links are never followed. A file that is mapped, deleted and closed is not seen; it shows only in the
free space of the whole disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from preview.core.descriptors import raise_want

_ENTRY_BYTES = 4096
# stat(2): the unit of st_blocks, whatever the file system's block size is.
_BLOCK_BYTES = 512
# The deepest trees of Node projects have fewer than 50 levels. Each level needs two open descriptors.
_MOST_LEVELS = 200
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Result of a measurement.

    Attributes:
        used_bytes: Size of folders and deleted open files. The walk stops early above the limit.
        is_too_deep: True if folders are nested deeper than the walk goes.
    """

    used_bytes: int
    is_too_deep: bool = False


class _Count:
    def __init__(self, limit_bytes: int) -> None:
        self.used_bytes = 0
        self.is_too_deep = False
        self.devices: set[int] = set()
        self._limit_bytes = limit_bytes
        # Counted files with several names, or none: (device, inode).
        self._seen: set[tuple[int, int]] = set()

    @property
    def is_over(self) -> bool:
        return self.used_bytes > self._limit_bytes

    def add(self, status: os.stat_result) -> None:
        if status.st_nlink != 1 and not stat.S_ISDIR(status.st_mode):
            mark = status.st_dev, status.st_ino
            if mark in self._seen:
                return
            self._seen.add(mark)
        self.used_bytes += max(_ENTRY_BYTES, status.st_blocks * _BLOCK_BYTES)


def measure(
    folders: Iterable[Path], pids: Iterable[int], limit_bytes: int, check: Callable[[], object] = lambda: None
) -> DiskUse:
    """Measure the size of folders, and of deleted files that processes keep open.

    Blocks: call this in a thread.

    Args:
        folders: The preview's folders; missing ones count nothing.
        pids: Pids of its processes.
        limit_bytes: The measurement stops above this size.
        check: Called now and then; its exceptions end the measurement.

    Raises:
        OSError: No file descriptor is free.
    """
    count = _Count(limit_bytes)
    for folder in folders:
        with _gone():
            count.devices.add(folder.lstat().st_dev)
            _walk(folder, count, check)
    for pid in pids:
        check()
        if count.is_over:
            break
        _add_nameless(pid, count)
    return DiskUse(count.used_bytes, count.is_too_deep)


@contextmanager
def _gone() -> Iterator[None]:
    """Suppress errors of files that are gone; raise if no descriptor is free, as a folder would remain uncounted."""
    try:
        yield
    except OSError as error:
        raise_want(error)


class _Level:
    """A folder being read, opened by name relative to its parent, so that no path can be swapped for a link."""

    def __init__(self, name: str, parent: int | None) -> None:
        try:
            self.descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        except PermissionError:
            _make_readable(name, parent)
            self.descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._entries = os.scandir(self.descriptor)
        except OSError:
            os.close(self.descriptor)
            raise

    def close(self) -> None:
        self._entries.close()
        os.close(self.descriptor)

    def next_folder(self, count: _Count) -> str | None:
        """Count entries up to the next folder and return its name; None at the end or above the limit."""
        for entry in self._entries:
            try:
                count.add(entry.stat(follow_symlinks=False))
                if count.is_over:
                    return None
                if entry.is_dir(follow_symlinks=False):
                    return entry.name
            except OSError:  # the entry is gone
                continue
        return None


def _walk(folder: Path, count: _Count, check: Callable[[], object]) -> None:
    """Walk depth-first, by descriptors only, so that no path can be too long."""
    levels: list[_Level] = []
    try:
        levels.append(_Level(str(folder), None))
        while levels and not count.is_over:
            check()
            child = levels[-1].next_folder(count)
            if child is None:
                levels.pop().close()
            elif len(levels) >= _MOST_LEVELS:
                count.is_too_deep = True
            else:
                # The folder may be gone or replaced by a link.
                with _gone():
                    levels.append(_Level(child, levels[-1].descriptor))
    finally:
        for level in levels:
            level.close()


def _make_readable(name: str, parent: int | None) -> None:
    """Make a folder readable if its program has removed the permissions, so that nothing can be hidden in it."""
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IRWXU)  # noqa: PTH101  no path names it safely
    finally:
        os.close(descriptor)


def _add_nameless(pid: int, count: _Count) -> None:
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)  # noqa: PTH208  names, not paths: 3 x faster
    except OSError as error:  # the process has ended, or belongs to another user
        raise_want(error)
        return
    for number in numbers:
        with suppress(OSError):
            # Follows the kernel's link to the file itself, which may have no path.
            status = os.stat(f"{folder}/{number}")  # noqa: PTH116  thousands
            if status.st_nlink == 0 and stat.S_ISREG(status.st_mode) and status.st_dev in count.devices:
                count.add(status)
