"""Data snapshots: a preview's files and databases at one moment, under a name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

FILES = "files"
"""Kind of the part with the preview's files; the other parts have the kind of their database."""


class SnapshotKind(StrEnum):
    """Reason of a snapshot."""

    MANUAL = "manual"
    BEFORE_RESTORE = "before_restore"
    BEFORE_RESET = "before_reset"
    # The first data of a fork's previews.
    FORK = "fork"


AUTOMATIC = frozenset({SnapshotKind.BEFORE_RESTORE, SnapshotKind.BEFORE_RESET})


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
