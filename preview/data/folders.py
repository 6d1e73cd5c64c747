"""The folders of data snapshots: unfinished ones, and the space of what is in them beside their parts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from preview.backing import remove_copy
from preview.core.removal import remove_folder

UNFINISHED = ".new-"
# Folder of a copy of MySQL's tables in a snapshot's folder. It is no part: without it the dump is loaded.
COPY = "mysql.copy"
# All copies of the service; the oldest make way.
_MOST_COPIES_BYTES = 1024 * 1024 * 1024


def remove_unfinished(root: Path) -> set[str]:
    """Remove folders that were never kept; return the names of the others. Blocks."""
    if not root.is_dir():
        return set()
    there = {path.name for path in root.iterdir()}
    unfinished = {name for name in there if name.startswith(UNFINISHED)}
    for name in unfinished:
        remove_folder(root / name)
    return there - unfinished


def limit_copies(root: Path, newest: Path) -> None:
    """Remove the oldest copies of tables, if a new one takes the last space of all.

    Blocks. A copy that is being loaded may be removed: the dump is loaded then.

    Args:
        root: Folder of all snapshots.
        newest: Folder of a new one.
    """
    if not (newest / COPY).is_dir():
        return
    found: list[tuple[float, int, Path]] = []
    for folder in root.glob(f"*/{COPY}*"):
        with suppress(OSError):
            size = sum(file.stat(follow_symlinks=False).st_size for file in folder.iterdir())
            found.append((folder.stat().st_mtime, size, folder))
    left = _MOST_COPIES_BYTES
    for _, size, folder in sorted(found, reverse=True):
        left -= size
        if folder.name != COPY:
            # A removal that was cut off.
            remove_folder(folder)
        elif left < 0:
            remove_copy(folder)
