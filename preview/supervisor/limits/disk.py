"""Disk use of a preview's folders, measured against a program that hides what it can.

Counted are allocated blocks, so that a sparse file is as large as what was written to it; an entry is at least one
block, so that millions of empty files are not free; a file with several names is one file; and files without a name
that a process keeps open count as long as it does. Links are never followed. What a process has mapped, unlinked and
closed is not seen: that shows in what is free of the whole disk alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from preview.core.descriptors import raise_want
from preview.errors import DiskFull
from preview.settings import Settings

_MIB = 1024 * 1024
_ENTRY_BYTES = 4096
# stat(2): st_blocks counts these, whatever the file system's own blocks are.
_BLOCK_BYTES = 512
# Node's deepest trees stay below 50. Two descriptors are open for each level.
_MOST_LEVELS = 200
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Result of a measurement.

    Attributes:
        used_bytes: In folders and in open files without a name; the walk ends early once it is over the limit.
        is_too_deep: Folders are nested deeper than is looked.
    """

    used_bytes: int
    is_too_deep: bool = False


@dataclass(frozen=True, slots=True)
class Free:
    """Free space of a preview's disks.

    Attributes:
        available_bytes: For the service's user, on the disk that has least.
        mark: Changes whenever something is written or removed anywhere on them.
    """

    available_bytes: int
    mark: tuple[int, ...]


def free_of(*folders: Path) -> Free:
    """Read the free space; a few microseconds for each folder.

    Raises:
        OSError: There is no such folder, or its disk does not answer.
    """
    return free_by([os.statvfs(folder) for folder in folders])


def free_by(found: Sequence[os.statvfs_result]) -> Free:
    """Combine the free space of several disks."""
    mark = tuple(number for one in found for number in (one.f_bfree, one.f_ffree))
    return Free(min(one.f_bavail * one.f_frsize for one in found), mark)


def check_free_disk(settings: Settings) -> None:
    """Make sure that the service's own disks have space for one more preview. Takes microseconds.

    Raises:
        DiskFull: They have less than the operator wants to be kept free.
    """
    for folder in (settings.data_dir, settings.resolved_db_path):
        try:
            free_bytes = free_of(folder).available_bytes
        except FileNotFoundError:  # the first preview makes it
            continue
        except OSError as error:
            raise DiskFull(f"The disk of the service's data does not answer ({error.strerror}); try again.") from error
        if free_bytes < settings.min_free_disk_bytes:
            raise DiskFull(
                f"The disk of the service's data is full ({free_bytes // _MIB} MB are free, "
                f"{settings.min_free_disk_bytes // _MIB} MB must stay free), so launches fail; free some space, "
                "or lower PREVIEW_MIN_FREE_DISK.",
                free_bytes=free_bytes,
                limit_bytes=settings.min_free_disk_bytes,
            )


class _Count:
    def __init__(self, limit_bytes: int) -> None:
        self.used_bytes = 0
        self.is_too_deep = False
        self.devices: set[int] = set()
        self._limit_bytes = limit_bytes
        # Files with more than one name, or none, that were counted: (device, inode).
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
    """Count what is in the folders, and what the processes keep open of files that have no name any more.

    Blocks: call it in a thread.

    Args:
        folders: A preview's own; one that is not there counts nothing.
        pids: The processes of its tree.
        limit_bytes: No more is counted once this is passed.
        check: Called every now and then; what it raises ends the look.

    Raises:
        OSError: No descriptor is left to look with.
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
    """Let pass that something is not there any more, and no folder uncounted for want of descriptors."""
    try:
        yield
    except OSError as error:
        raise_want(error)


class _Level:
    """A folder that is being read; opened by name below another, so that no path can be swapped for a link."""

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
        """Count entries up to the next folder, and name it; None at their end, and when the limit is passed."""
        for entry in self._entries:
            try:
                count.add(entry.stat(follow_symlinks=False))
                if count.is_over:
                    return None
                if entry.is_dir(follow_symlinks=False):
                    return entry.name
            except OSError:  # it has gone since
                continue
        return None


def _walk(folder: Path, count: _Count, check: Callable[[], object]) -> None:
    """Depth first; no path is too long for it, because it uses none."""
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
                # It may have gone, or be a link by now.
                with _gone():
                    levels.append(_Level(child, levels[-1].descriptor))
    finally:
        for level in levels:
            level.close()


def _make_readable(name: str, parent: int | None) -> None:
    """Make a folder readable whose permissions its program removed: nothing is hidden in it."""
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IRWXU)  # noqa: PTH101  no path names it safely
    finally:
        os.close(descriptor)


def _add_nameless(pid: int, count: _Count) -> None:
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)  # noqa: PTH208  names, not paths: 3 x faster
    except OSError as error:  # it has ended, or is not ours to look into
        raise_want(error)
        return
    for number in numbers:
        with suppress(OSError):
            # Follows the kernel's own link to the very file, which may have no path at all.
            status = os.stat(f"{folder}/{number}")  # noqa: PTH116  thousands
            if status.st_nlink == 0 and stat.S_ISREG(status.st_mode) and status.st_dev in count.devices:
                count.add(status)
