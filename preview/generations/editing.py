"""Edit the files of a stored generation in one transaction."""

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
# Rows of one INSERT: four values each, far below SQLite's limit of 32,766. With single rows, the driver would release
# and take the GIL for each. The limit of paths in a condition is the same.
_ROWS = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a generation's files.

    Attributes:
        written: Content by relative path, each path checked.
        removed: Paths; missing ones are ignored.
        is_whole: Remove all files that are not in ``written``.
    """

    written: Mapping[str, bytes]
    removed: Collection[str] = ()
    is_whole: bool = False

    @classmethod
    def of(cls, written: Mapping[str, bytes], removed: Sequence[str], limits: GenerationLimits) -> Edit:
        """Return an edit that writes some files and removes others.

        Raises:
            InvalidGeneration, TooLarge: A path is not allowed, or there are too many.
            InvalidRequest: A file is both written and removed, or the edit is empty.
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
    """The result of an edit.

    Attributes:
        written: Content of the files that are new or changed.
        removed: Paths of the files that were removed.
    """

    generation: Generation
    written: Mapping[str, bytes]
    removed: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """True if no file changed."""
        return not self.written and not self.removed


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store.

    Attributes:
        sha256: Of the content, hex.
        is_text: Whether the content is UTF-8 without NUL.
    """

    path: str
    size_bytes: int
    sha256: str
    is_text: bool


def hashed(path: str, content: bytes) -> StoredFile:
    """Return the file's entry for a list, with its hash."""
    return StoredFile(path, len(content), sha256(content).hexdigest(), _is_text(content))


def _is_text(content: bytes) -> bool:
    if b"\0" in content:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def edit_files(
    generation: Generation,
    edit: Edit,
    limits: GenerationLimits,
    expected: Callable[[int], bool] | None,
    connection: Connection,
) -> Edited | None:
    """Apply the edit inside a write transaction. Returns None if the generation was deleted.

    Args:
        generation: As read before; its files may have changed since.
        edit: The change.
        limits: Limits of the resulting generation.
        expected: Returns true for the revision that the caller has seen; None accepts any.
        connection: In a transaction.

    Raises:
        PreconditionFailed: The generation has another revision.
        InvalidGeneration, TooLarge: The resulting files are invalid as a whole.
    """
    # The row's lock serializes edits of one generation.
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
    """Insert new files."""
    rows = [
        {"generation_id": generation_id, "path": path, "size_bytes": len(content), "content": content}
        for path, content in files.items()
    ]
    for some in groups(rows):
        connection.execute(insert(generation_files).values(some))


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


def _sizes(generation_id: str, connection: Connection) -> dict[str, int]:
    query = select(_F.path, _F.size_bytes).where(_F.generation_id == generation_id)
    return {row.path: row.size_bytes for row in connection.execute(query)}


def _differing(
    generation_id: str, wanted: Mapping[str, bytes], sizes: Mapping[str, int], connection: Connection
) -> dict[str, bytes]:
    """Return the files whose content differs from the stored one. Reads contents only where the sizes are equal."""
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
