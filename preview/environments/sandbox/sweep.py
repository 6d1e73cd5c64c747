"""Cleanup of a folder that the code of packages has written to, before the service itself uses it."""

from __future__ import annotations

import os
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
    pending = [root]
    while pending:
        for entry in _entries(pending.pop()):
            if entry.is_symlink():
                place = (os.path.relpath(entry.path, root), os.readlink(entry.path))  # noqa: PTH115  thousands
                if place not in kept and _leads_out(entry.path, root):
                    _remove(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                _remove(entry.path)


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
