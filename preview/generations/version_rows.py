"""Rows of versions: what an edit adds to them, and the removal of the oldest. All inside the edit's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeVar

from sqlalchemy import Connection, and_, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from preview.core.clock import now_ms
from preview.generations.interface import Generation
from preview.generations.stored_file import StoredFile
from preview.settings import Settings
from preview.storage.tables import generation_files
from preview.storage.version_tables import file_contents, generation_versions, version_files

T = TypeVar("T")

VersionOrigin = Literal["push", "sync", "edit", "upload", "restore", "fork", "import"]

_G, _V, _P, _C = generation_files.c, generation_versions.c, version_files.c, file_contents.c
# Paths or hashes in one condition, below the databases' limits of parameters.
_ROWS = 200
# A past file's row and its place in the indexes, beside its content.
PAST_FILE_BYTES = 256


@dataclass(frozen=True, slots=True)
class VersionNote:
    """Origin of a version: its author, program, kind and message.

    Attributes:
        author: Id of the user.
        source: Kind of the change.
        message: Text of the author; may be empty.
        agent: Name of the program or token that made the change; may be empty.
    """

    author: str
    source: VersionOrigin
    message: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class VersionBounds:
    """Limits of one generation's versions.

    Attributes:
        count: Maximum number of versions, the current one included.
        size_bytes: Maximum size of past files: their contents, each once, and 256 bytes for each file.
    """

    count: int
    size_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the operator has set."""
        return cls(settings.generation_versions, settings.version_bytes)


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """Size in bytes and SHA-256 (hex) of a current file."""

    size_bytes: int
    sha256: str


def current_files(generation_id: str, connection: Connection) -> dict[str, CurrentFile]:
    """Return the generation's current files by path."""
    query = select(_P.path, _P.size_bytes, _P.sha256).where(_P.generation_id == generation_id, _P.until.is_(None))
    return {row.path: CurrentFile(row.size_bytes, row.sha256) for row in connection.execute(query)}


def insert_first(made: Generation, facts: Mapping[str, StoredFile], note: VersionNote, connection: Connection) -> None:
    """Insert the first version of a new generation."""
    files = list(facts.values())
    _insert_files(made, files, connection)
    _insert_version(made, note, (len(files), 0, 0), 0, connection)


@dataclass(frozen=True, slots=True)
class FilesDelta:
    """Difference between the current files and the next version.

    Attributes:
        written: New and changed files.
        removed: Paths of removed files.
        before: The current files.
    """

    written: Mapping[str, StoredFile]
    removed: Collection[str]
    before: Mapping[str, CurrentFile]


def store_version(
    now: Generation, delta: FilesDelta, note: VersionNote, bounds: VersionBounds, connection: Connection
) -> int:
    """Store the version ``now.revision`` and remove the oldest ones over the limits; return how many were removed.

    Call before the current files change: their contents are kept from there.
    """
    replaced = [path for path in delta.written if path in delta.before]
    past = {path: delta.before[path] for path in [*delta.removed, *replaced]}
    past_bytes = _past_bytes(now.id, connection) + _keep_contents(now.id, past, connection)
    for some in groups(past):
        connection.execute(
            update(version_files)
            .where(_P.generation_id == now.id, _P.path.in_(some), _P.until.is_(None))
            .values(until=now.revision)
        )
    _insert_files(now, delta.written.values(), connection)
    counts = len(delta.written) - len(replaced), len(replaced), len(delta.removed)
    _insert_version(now, note, counts, past_bytes, connection)
    return _prune(now, past_bytes, bounds, connection)


def groups(values: Iterable[T]) -> Iterator[list[T]]:
    """Split the values into groups that fit into one statement."""
    some: list[T] = []
    for value in values:
        some.append(value)
        if len(some) == _ROWS:
            yield some
            some = []
    if some:
        yield some


def oldest_version(generation_id: str, connection: Connection) -> int | None:
    """Return the number of the oldest version; None without any."""
    oldest: int | None = connection.scalar(select(func.min(_V.number)).where(_V.generation_id == generation_id))
    return oldest


def _past_bytes(generation_id: str, connection: Connection) -> int:
    newest = select(_V.past_bytes).where(_V.generation_id == generation_id).order_by(_V.number.desc()).limit(1)
    return connection.scalar(newest) or 0


def _keep_contents(generation_id: str, past: Mapping[str, CurrentFile], connection: Connection) -> int:
    """Copy the contents of current files to the past ones, inside the database; return the bytes that this adds."""
    # Each content once: of files with the same content, one path is enough.
    by_hash = {one.sha256: path for path, one in past.items()}
    known = _stored_hashes(generation_id, list(by_hash), connection)
    fresh = [path for digest, path in by_hash.items() if digest not in known]
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    for some in groups(fresh):
        contents = (
            select(literal(generation_id), _P.sha256, _G.size_bytes, _G.content)
            .select_from(version_files)
            .join(generation_files, and_(_G.generation_id == _P.generation_id, _G.path == _P.path))
            .where(_P.generation_id == generation_id, _P.path.in_(some), _P.until.is_(None))
        )
        names = ["generation_id", "sha256", "size_bytes", "content"]
        connection.execute(dialect.insert(file_contents).from_select(names, contents).on_conflict_do_nothing())
    return sum(past[path].size_bytes for path in fresh) + PAST_FILE_BYTES * len(past)


def _stored_hashes(generation_id: str, hashes: Sequence[str], connection: Connection) -> set[str]:
    found: set[str] = set()
    for some in groups(hashes):
        found |= set(
            connection.scalars(select(_C.sha256).where(_C.generation_id == generation_id, _C.sha256.in_(some)))
        )
    return found


def _insert_files(now: Generation, files: Iterable[StoredFile], connection: Connection) -> None:
    rows = [
        {
            "generation_id": now.id,
            "path": one.path,
            "since": now.revision,
            "size_bytes": one.size_bytes,
            "sha256": one.sha256,
            "is_text": int(one.is_text),
        }
        for one in files
    ]
    if rows:
        connection.execute(insert(version_files), rows)


def _insert_version(
    now: Generation, note: VersionNote, counts: tuple[int, int, int], past_bytes: int, connection: Connection
) -> None:
    added, changed, removed = counts
    connection.execute(
        insert(generation_versions).values(
            generation_id=now.id,
            number=now.revision,
            author=note.author,
            agent=note.agent,
            source=note.source,
            message=note.message,
            created_at=now_ms(),
            file_count=now.file_count,
            size_bytes=now.size_bytes,
            added=added,
            changed=changed,
            removed=removed,
            past_bytes=past_bytes,
        )
    )


def _prune(now: Generation, past_bytes: int, bounds: VersionBounds, connection: Connection) -> int:
    """Remove the oldest versions over the limits, never the current one; return how many were removed."""
    first = oldest = oldest_version(now.id, connection) or now.revision
    left = past_bytes
    while oldest < now.revision and (now.revision - oldest >= bounds.count or left > bounds.size_bytes):
        oldest += 1
        left -= _forget_before(now.id, oldest, connection)
    if oldest == first:
        return 0
    connection.execute(delete(generation_versions).where(_V.generation_id == now.id, _V.number < oldest))
    connection.execute(
        update(generation_versions).where(_V.generation_id == now.id, _V.number == now.revision).values(past_bytes=left)
    )
    return oldest - first


def _forget_before(generation_id: str, oldest: int, connection: Connection) -> int:
    """Delete files that no version from ``oldest`` on has, and contents without a file; return the bytes freed."""
    gone = (_P.generation_id == generation_id) & (_P.until <= oldest)
    hashes = set(connection.scalars(select(_P.sha256).where(gone).distinct()))
    freed = PAST_FILE_BYTES * connection.execute(delete(version_files).where(gone)).rowcount
    for some in groups(sorted(hashes)):
        past = (_P.generation_id == generation_id) & _P.until.is_not(None) & _P.sha256.in_(some)
        needed = set(connection.scalars(select(_P.sha256).where(past).distinct()))
        unused = (_C.generation_id == generation_id) & _C.sha256.in_([one for one in some if one not in needed])
        freed += connection.scalar(select(func.coalesce(func.sum(_C.size_bytes), 0)).where(unused)) or 0
        connection.execute(delete(file_contents).where(unused))
    return freed
