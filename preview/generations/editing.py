"""Changing the files of a generation that is kept: one transaction, checked as a whole, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select, update

from preview.errors import InvalidRequest, PreconditionFailed
from preview.generations.files import PathCheck, require_some, shown
from preview.generations.interface import Budget, Generation, GenerationLimits
from preview.storage.tables import generation_files, generations

T = TypeVar("T")

_G, _F = generations.c, generation_files.c
# Rows of one INSERT: four values each, far below SQLite's 32,766. Row by row, its driver would give up and take back
# the interpreter's lock for each. Of paths in a condition there may be as many.
_ROWS = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """Change of a generation's files.

    Attributes:
        written: Content by relative path, each path checked.
        removed: Paths; one that is not there is passed over.
        is_whole: What is not written goes.
    """

    written: Mapping[str, bytes]
    removed: Collection[str] = ()
    is_whole: bool = False

    @classmethod
    def of(cls, written: Mapping[str, bytes], removed: Sequence[str], limits: GenerationLimits) -> Edit:
        """One that writes some files and removes others.

        Raises:
            InvalidGeneration, TooLarge: A path may not be, or there are too many.
            InvalidRequest: A file is to be written and removed, or there is nothing to do.
        """
        check = PathCheck(limits)
        gone = [check.add_file(path) for path in dict.fromkeys(removed)]
        both = next((path for path in gone if path in written), None)
        if both is not None:
            raise InvalidRequest(f"The file {shown(both)} is to be written and removed; choose one.", field="remove")
        if not written and not gone:
            raise InvalidRequest("Nothing is to be changed; send files to write or paths to remove.", field="files")
        return cls(written, gone)


@dataclass(frozen=True, slots=True)
class Edited:
    """Result of an edit.

    Attributes:
        written: Content of those files that are new or have changed.
        removed: Paths of those that were there and are not any more.
    """

    generation: Generation
    written: Mapping[str, bytes]
    removed: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """True if nothing changes."""
        return not self.written and not self.removed


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is kept.

    Attributes:
        sha256: Of its content, hex.
    """

    path: str
    size_bytes: int
    sha256: str


def hashed(path: str, content: bytes) -> StoredFile:
    """Return a file with its hash, for a list."""
    return StoredFile(path, len(content), sha256(content).hexdigest())


def edit_files(
    generation: Generation,
    edit: Edit,
    limits: GenerationLimits,
    expected: Callable[[int], bool] | None,
    connection: Connection,
) -> Edited | None:
    """Make the edit; for one write transaction. None where the generation is gone.

    Args:
        generation: As it was found; its files may have changed since.
        edit: What to do.
        limits: Of the whole, afterwards.
        expected: Whether a revision is the one that the caller has seen; None takes any.
        connection: In a transaction.

    Raises:
        PreconditionFailed: It has another revision.
        InvalidGeneration, TooLarge: The files cannot be kept together.
    """
    # The row's lock lets two edits of one generation wait for each other.
    row = connection.execute(select(_G.revision).where(_G.id == generation.id).with_for_update()).first()
    if row is None:
        return None
    if expected is not None and not expected(row.revision):
        raise PreconditionFailed(
            f"The generation's files have changed since you read them (they are at revision {row.revision} now); read "
            "them again, and send your change again.",
            revision=row.revision,
        )
    sizes = _sizes(generation.id, connection)
    removed = [path for path in sizes if (path not in edit.written if edit.is_whole else path in edit.removed)]
    written = _differing(generation.id, edit.written, sizes, connection)
    sizes = {path: size for path, size in sizes.items() if path not in set(removed)}
    sizes |= {path: len(content) for path, content in written.items()}
    _check(sizes, limits)
    now = replace(generation, revision=row.revision, file_count=len(sizes), size_bytes=sum(sizes.values()))
    if not written and not removed:
        return Edited(now, written, removed)
    now = replace(now, revision=row.revision + 1)
    _store(now, written, removed, connection)
    return Edited(now, written, sorted(removed))


def insert_files(generation_id: str, files: Mapping[str, bytes], connection: Connection) -> None:
    """Keep new files."""
    rows = [
        {"generation_id": generation_id, "path": path, "size_bytes": len(content), "content": content}
        for path, content in files.items()
    ]
    for some in groups(rows):
        connection.execute(insert(generation_files).values(some))


def groups(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in groups, as many as one statement takes."""
    some: list[T] = []
    for value in values:
        some.append(value)
        if len(some) == _ROWS:
            yield some
            some = []
    if some:
        yield some


def _sizes(generation_id: str, connection: Connection) -> dict[str, int]:
    query = select(_F.path, _F.size_bytes).where(_F.generation_id == generation_id)
    return {row.path: row.size_bytes for row in connection.execute(query)}


def _differing(
    generation_id: str, wanted: Mapping[str, bytes], sizes: Mapping[str, int], connection: Connection
) -> dict[str, bytes]:
    """Those files whose content is not what is kept; contents are read only where the sizes agree."""
    alike = [path for path, content in wanted.items() if sizes.get(path) == len(content)]
    same: set[str] = set()
    for some in groups(alike):
        query = select(_F.path, _F.content).where(_F.generation_id == generation_id, _F.path.in_(some))
        same |= {row.path for row in connection.execute(query) if bytes(row.content) == wanted[row.path]}
    return {path: content for path, content in wanted.items() if path not in same}


def _check(sizes: Mapping[str, int], limits: GenerationLimits) -> None:
    require_some(sizes)
    check, budget = PathCheck(limits), Budget(limits)
    for path, size in sizes.items():
        check.add_file(path)
        budget.take(size)


def _store(now: Generation, written: Mapping[str, bytes], removed: Iterable[str], connection: Connection) -> None:
    for some in groups([*removed, *written]):
        connection.execute(delete(generation_files).where(_F.generation_id == now.id, _F.path.in_(some)))
    insert_files(now.id, written, connection)
    connection.execute(
        update(generations)
        .where(_G.id == now.id)
        .values(revision=now.revision, file_count=now.file_count, size_bytes=now.size_bytes)
    )
