"""Edit the files of a stored generation in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, insert, select, update

from preview.errors import InvalidRequest, PreconditionFailed
from preview.generations.files import PathCheck, require_some, shown
from preview.generations.interface import Budget, Generation, GenerationLimits
from preview.generations.stored_file import StoredFile, is_text
from preview.generations.version_rows import (
    CurrentFile,
    FilesDelta,
    VersionBounds,
    VersionNote,
    current_files,
    groups,
    store_version,
)
from preview.storage.tables import generation_files, generations

_G, _F = generations.c, generation_files.c


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a generation's files.

    Attributes:
        written: Content by relative path, each path checked.
        removed: Paths; missing ones are ignored.
        is_whole: Remove all files that are not in ``written``.
        origin: Address of the repository that the files are from; None leaves the one that is stored.
    """

    written: Mapping[str, bytes]
    removed: Collection[str] = ()
    is_whole: bool = False
    origin: str | None = None

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
            raise InvalidRequest(
                f"The file {shown(both)} is listed both to be written and to be removed; choose one.", field="remove"
            )
        if not written and not gone:
            raise InvalidRequest("The request changes nothing; send files to write or paths to remove.", field="files")
        return cls(written, gone)


@dataclass(frozen=True, slots=True)
class Edited:
    """The result of an edit.

    Attributes:
        written: Content of the files that are new or changed.
        removed: Paths of the files that were removed.
        added: Paths among ``written`` that are new.
        forgotten: Number of old versions that were removed to make room for this one.
    """

    generation: Generation
    written: Mapping[str, bytes]
    removed: Sequence[str]
    added: Sequence[str] = ()
    forgotten: int = 0

    @property
    def is_empty(self) -> bool:
        """True if no file changed."""
        return not self.written and not self.removed


@dataclass(frozen=True, slots=True)
class EditOrder:
    """An edit with all that its transaction needs.

    Attributes:
        generation: As read before; its files may have changed since.
        edit: The change.
        facts: Facts of each written content; see ``facts_of``.
        limits: Limits of the resulting generation.
        bounds: Limits of its versions.
        note: Note of the new version.
        expected: Returns true for the revision that the caller has seen; None accepts any.
        is_dry: Only compute the result; nothing is stored.
    """

    generation: Generation
    edit: Edit
    facts: Mapping[str, StoredFile]
    limits: GenerationLimits
    bounds: VersionBounds
    note: VersionNote
    expected: Callable[[int], bool] | None = None
    is_dry: bool = False


def edit_files(order: EditOrder, connection: Connection) -> Edited | None:
    """Apply the edit inside a write transaction. Returns None if the generation was deleted.

    Raises:
        PreconditionFailed: The generation has another revision.
        InvalidGeneration, TooLarge: The resulting files are invalid as a whole.
    """
    generation, edit = order.generation, order.edit
    # The row's lock serializes edits of one generation.
    row = connection.execute(select(_G.revision).where(_G.id == generation.id).with_for_update()).first()
    if row is None:
        return None
    if order.expected is not None and not order.expected(row.revision):
        raise PreconditionFailed(
            f"The generation's files have changed since you read them (they are at revision {row.revision} now); read "
            "them again, and send your change again.",
            revision=row.revision,
        )
    before = current_files(generation.id, connection)
    removed = _removed(edit, before)
    written = {
        path: content
        for path, content in edit.written.items()
        if path not in before or before[path].sha256 != order.facts[path].sha256
    }
    gone = set(removed)
    sizes = {path: one.size_bytes for path, one in before.items() if path not in gone}
    sizes |= {path: len(content) for path, content in written.items()}
    _check(sizes, order.limits)
    now = replace(generation, revision=row.revision, file_count=len(sizes), size_bytes=sum(sizes.values()))
    added = sorted(path for path in written if path not in before)
    if order.is_dry:
        return Edited(now, written, sorted(removed), added)
    if edit.origin is not None:
        now = replace(now, origin=edit.origin)
        connection.execute(update(generations).where(_G.id == now.id).values(origin=edit.origin))
    if not (written or removed):
        return Edited(now, written, sorted(removed), added)
    now = replace(now, revision=row.revision + 1)
    delta = FilesDelta({path: order.facts[path] for path in written}, removed, before)
    forgotten = store_version(now, delta, order.note, order.bounds, connection)
    _store(now, written, removed, connection)
    return Edited(now, written, sorted(removed), added, forgotten)


def _removed(edit: Edit, before: Mapping[str, CurrentFile]) -> list[str]:
    removed = set(edit.removed)
    return [path for path in before if (path not in edit.written if edit.is_whole else path in removed)]


def insert_files(generation_id: str, files: Mapping[str, bytes], connection: Connection) -> None:
    """Insert new files."""
    rows = [
        {"generation_id": generation_id, "path": path, "size_bytes": len(content), "content": content}
        for path, content in files.items()
    ]
    if rows:
        connection.execute(insert(generation_files), rows)


def _check(sizes: Mapping[str, int], limits: GenerationLimits) -> None:
    require_some(sizes)
    check, budget = PathCheck(limits), Budget(limits)
    for path, size in sizes.items():
        check.add_file(path)
        budget.take(size, path)


def _store(now: Generation, written: Mapping[str, bytes], removed: Iterable[str], connection: Connection) -> None:
    for some in groups([*removed, *written]):
        connection.execute(delete(generation_files).where(_F.generation_id == now.id, _F.path.in_(some)))
    insert_files(now.id, written, connection)
    connection.execute(
        update(generations)
        .where(_G.id == now.id)
        .values(revision=now.revision, file_count=now.file_count, size_bytes=now.size_bytes)
    )


def read_part(generation_id: str, paths: Sequence[str], connection: Connection) -> list[tuple[str, bytes]]:
    """Return the contents of those paths that a generation has, ordered by path."""
    query = select(_F.path, _F.content).where(_F.generation_id == generation_id, _F.path.in_(paths)).order_by(_F.path)
    return [(row.path, bytes(row.content)) for row in connection.execute(query)]


def text_paths(generation_id: str, paths: Sequence[str], connection: Connection) -> list[str]:
    """Return those paths of a generation that are texts."""
    return [path for path, content in read_part(generation_id, paths, connection) if is_text(content)]
