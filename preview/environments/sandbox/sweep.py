"""A folder that the code of packages writes to: its preparation, and its cleanup before the service itself uses it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from preview.errors import EnvironmentFailed

_log = structlog.get_logger(__name__)
# A hundred bytes of memory each; large environments have 50,000.
_MOST_LINKED: Final = 200_000


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
        EnvironmentFailed: There are too many such files.
        OSError: The disk reported an error.
    """
    root = os.path.realpath(folder)
    # Links outside of the folder, as those inside are taken off; their paths would take too much memory.
    outside: Counter[int] = Counter()
    for _, status in _linked(root):
        if status.st_ino not in outside:
            if len(outside) == _MOST_LINKED:
                raise EnvironmentFailed(
                    f"The environment has more than {_MOST_LINKED} files with several links", reason="other"
                )
            outside[status.st_ino] = status.st_nlink
        outside[status.st_ino] -= 1
    for path, status in _linked(root):
        if outside[status.st_ino] > 0:
            _copy_in_place(path, stat.S_IMODE(status.st_mode), root)


def _linked(root: str) -> Iterator[tuple[str, os.stat_result]]:
    for entry in _all_entries(root):
        if entry.is_file(follow_symlinks=False) and (status := entry.stat(follow_symlinks=False)).st_nlink > 1:
            yield entry.path, status


def _copy_in_place(path: str, mode: int, root: str) -> None:
    with open(path, "rb") as source:  # noqa: PTH123  thousands
        descriptor, copy = tempfile.mkstemp(dir=root)
        with os.fdopen(descriptor, "wb") as target:
            shutil.copyfileobj(source, target)
            os.fchmod(descriptor, mode)
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


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        found = os.scandir(folder)
    except PermissionError:
        # The build, which runs as the same user, removed the permission.
        os.chmod(folder, 0o700)  # noqa: PTH101
        found = os.scandir(folder)
    with found:
        yield from found


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
