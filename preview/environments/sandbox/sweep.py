"""A folder that the code of packages writes to: its preparation, and its cleanup before the service itself uses it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)


def sweep(folder: Path, kept: frozenset[tuple[str, str]] = frozenset()) -> None:
    """Remove special files, and links that lead out of the folder: writing to such a link would write elsewhere.

    Call this when no process is running that could create them again. Blocks on the disk.

    Args:
        folder: A folder of the service's user, not a link.
        kept: Links that may lead out: their path in the folder and their target.
    """
    root = os.path.realpath(folder)
    for entry in _all_entries(root):
        if entry.is_symlink():
            place = (os.path.relpath(entry.path, root), os.readlink(entry.path))  # noqa: PTH115  thousands
            if place not in kept and _leads_out(entry.path, root):
                _remove(entry.path)
        elif not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
            _remove(entry.path)


def separate(folder: Path) -> None:
    """Replace files with hard links outside of the folder by copies: code that changes them changes nothing elsewhere.

    Files with all their links inside stay: code of packages could have made links of any number, and files of any size.
    Call this when no process is running that could change the folder. Blocks on the disk.

    Raises:
        OSError: The disk reported an error.
    """
    inside: dict[tuple[int, int], list[str]] = {}
    links: dict[tuple[int, int], os.stat_result] = {}
    for entry in _all_entries(os.path.realpath(folder)):
        if entry.is_file(follow_symlinks=False) and (status := entry.stat(follow_symlinks=False)).st_nlink > 1:
            file = status.st_dev, status.st_ino
            inside.setdefault(file, []).append(entry.path)
            links[file] = status
    for file, paths in inside.items():
        for path in paths if links[file].st_nlink > len(paths) else ():
            _copy_in_place(path, stat.S_IMODE(links[file].st_mode))


def _copy_in_place(path: str, mode: int) -> None:
    copy = f"{path}.preview-copy"
    with open(path, "rb") as source, open(copy, "xb") as target:  # noqa: PTH123  thousands
        shutil.copyfileobj(source, target)
        os.fchmod(target.fileno(), mode)
    os.rename(copy, path)  # noqa: PTH104


def read_left(path: Path, most_bytes: int = 1024 * 1024) -> str:
    """Return a text that a program has left in its jail; empty if it is no regular file, or larger than allowed.

    Raises:
        OSError: The file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        data = os.read(descriptor, most_bytes + 1) if is_file else b""
    finally:
        os.close(descriptor)
    return data.decode("utf-8", "replace") if len(data) <= most_bytes else ""


def _all_entries(root: str) -> Iterator[os.DirEntry[str]]:
    """Yield all entries below a folder, without following links."""
    pending = [root]
    while pending:
        for entry in _entries(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            yield entry


def outward_links(folder: Path) -> frozenset[tuple[str, str]]:
    """Return links that lead out of the folder's parent, as ``kept`` of ``sweep``: an environment's interpreters."""
    root = os.path.realpath(folder.parent)
    return frozenset(
        (os.path.relpath(entry.path, root), os.readlink(entry.path))  # noqa: PTH115
        for entry in _entries(os.path.join(root, folder.name))  # noqa: PTH118
        if entry.is_symlink() and _leads_out(entry.path, root)
    )


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except PermissionError:
        # The build, which runs as the same user, removed the permission.
        os.chmod(folder, 0o700)  # noqa: PTH101
        return list(os.scandir(folder))


def _leads_out(path: str, root: str) -> bool:
    end = os.path.realpath(path)
    return end != root and not end.startswith(f"{root}/")


def _remove(path: str) -> None:
    _log.warning("build leftover removed", name=Path(path).name)
    try:
        Path(path).unlink()
    except PermissionError:
        Path(path).parent.chmod(0o700)
        Path(path).unlink()
