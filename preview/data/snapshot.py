"""Data snapshots: a preview's files and databases at one moment, under a name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from preview.backing import remove_copy
from preview.core.removal import remove_folder
from preview.data.threads import check_cancelled

_CHUNK_BYTES = 1024 * 1024
UNFINISHED = ".new-"
# Folder of a copy of MySQL's tables in a snapshot's folder. It is no part: without it the dump is loaded.
COPY = "mysql.copy"
# All copies of the service; the oldest make way.
_MOST_COPIES_BYTES = 1024 * 1024 * 1024

FILES = "files"
"""Kind of the part with the preview's files; the other parts have the kind of their database."""


class SnapshotKind(StrEnum):
    """Reason of a snapshot."""

    MANUAL = "manual"
    BEFORE_RESTORE = "before_restore"
    BEFORE_RESET = "before_reset"
    BEFORE_MOVE = "before_move"
    # The first data of a fork's previews.
    FORK = "fork"


AUTOMATIC = frozenset({SnapshotKind.BEFORE_RESTORE, SnapshotKind.BEFORE_RESET, SnapshotKind.BEFORE_MOVE})


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a snapshot.

    Attributes:
        kind: ``FILES``, or the kind of the database: ``PostgreSQL``.
        file: Its name in the snapshot's folder.
        sha256: Of its content, in hexadecimal.
        files: Number of files in it; None for databases.
    """

    kind: str
    file: str
    size_bytes: int
    sha256: str
    files: int | None = None


@dataclass(frozen=True, slots=True)
class DataSnapshot:
    """A stored data snapshot.

    Attributes:
        id: ``snapshot_…``.
        created_at: Aware, UTC.
        revision: The generation's revision at that time.
        parts: Its files. What the preview had not stored has no part.
    """

    id: str
    generation_id: str
    user_id: str
    name: str
    kind: SnapshotKind
    created_at: datetime
    revision: int
    parts: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all parts."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def sha256(self) -> str:
        """SHA-256 of the parts' hashes, in hexadecimal: the same data has the same one."""
        return sha256("".join(f"{part.file} {part.sha256}\n" for part in self.parts).encode()).hexdigest()

    def part(self, kind: str) -> Part | None:
        """Return the part of this kind, if there is one."""
        return next((part for part in self.parts if part.kind == kind), None)


def encode_parts(parts: tuple[Part, ...]) -> str:
    """Return the parts as JSON."""
    return json.dumps([asdict(part) for part in parts])


def decode_parts(text: str) -> tuple[Part, ...]:
    """Return the parts from JSON that ``encode_parts`` has made."""
    found: list[dict[str, Any]] = json.loads(text)
    return tuple(Part(**one) for one in found)


def measure_parts(folder: Path, parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts with the sizes and hashes of their files. Blocks. Raises: OSError."""

    def each() -> Iterator[Part]:
        for part in parts:
            digest, size = sha256(), 0
            with (folder / part.file).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    check_cancelled()
                    digest.update(chunk)
                    size += len(chunk)
            yield replace(part, size_bytes=size, sha256=digest.hexdigest())

    return tuple(each())


def open_to_programs(folder: Path, parts: Sequence[Part]) -> None:
    """Let confined programs read the folder where it is shown to them; the folder above is the service's alone."""
    for part in parts:
        (folder / part.file).chmod(0o644)
    folder.chmod(0o755)


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
    # Folders come and go meanwhile.
    for folder in (one / name for one in list(root.iterdir()) for name in (COPY, f"{COPY}.removed")):
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
