"""Versions of a stored generation's files: list, read, and restore them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import trio
from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from preview.core.clock import from_ms
from preview.core.lifecycle import State
from preview.errors import VersionNotFound
from preview.generations.editing import Edit
from preview.generations.files import TreeWriter
from preview.generations.interface import Generation, GenerationLimits, GenerationSource
from preview.generations.stored_file import PART_FILES, parts_of
from preview.generations.version_rows import oldest_version
from preview.storage.database import Database
from preview.storage.tables import generation_files, generations, preview_instances
from preview.storage.version_tables import failed_reloads, file_contents, generation_versions, version_files

_V, _P, _C, _F = generation_versions.c, version_files.c, file_contents.c, generation_files.c
_R, _I = failed_reloads.c, preview_instances.c
_MOST_REASON = 1000
# More versions than any generation has.
MAX_VERSION = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a generation's files.

    Attributes:
        number: The generation's revision after the change.
        author: Id of the user who made it.
        agent: Name of the program or token that made it; may be empty.
        source: ``push``, ``sync``, ``edit``, ``upload``, ``restore`` or ``fork``.
        message: The author's text; may be empty.
        file_count: Number of files.
        size_bytes: Sum of their sizes.
        added: Number of files that the version before did not have.
        changed: Number of files with new content.
        removed: Number of files that only the version before had.
    """

    number: int
    author: str
    agent: str
    source: str
    message: str
    created_at: datetime
    file_count: int
    size_bytes: int
    added: int
    changed: int
    removed: int


@dataclass(frozen=True, slots=True)
class VersionFile:
    """A file of a version; ``sha256`` is that of its content, in hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FailedStart:
    """A version that does not start: a launch that failed, or a reload after which the previous process still serves.

    Attributes:
        preview_id: The launch.
        kind: ``launch`` or ``reload``.
        reason: A sentence; may be empty.
    """

    preview_id: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class VersionPage:
    """A page of versions, newest first.

    Attributes:
        items: The versions.
        failed: Those that have only failed to start, by number.
        next: Number to continue below; None on the last page.
        oldest: Number of the oldest version that is kept.
        past_bytes: Size of all past files.
    """

    items: Sequence[Version]
    failed: Mapping[int, FailedStart]
    next: int | None
    oldest: int
    past_bytes: int


class GenerationVersions:
    """Reads the versions of generations. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database, limits: GenerationLimits) -> None:
        self._database = database
        self._limits = limits

    async def page(self, generation_id: str, *, before: int | None = None, limit: int = 50) -> VersionPage:
        """Return a page of versions, newest first.

        Args:
            generation_id: The generation's id.
            before: Only versions below this number.
            limit: Maximum number of versions.

        Raises:
            VersionNotFound: The generation has no versions: it was deleted.

        Cancellation: nothing changes.
        """
        return await self._database.read(partial(_page, generation_id, before, limit))

    async def get(self, generation_id: str, number: int) -> Version:
        """Return one version.

        Raises:
            VersionNotFound: It does not exist, or was removed.

        Cancellation: nothing changes.
        """
        return await self._database.read(partial(_version, generation_id, number))

    async def note_failed_reload(self, generation_id: str, number: int, preview_id: str, reason: str) -> None:
        """Mark a version that a running preview did not start with. Does nothing if the version was removed.

        Cancellation: it may be marked.
        """
        row = {"preview_id": preview_id, "reason": reason[:_MOST_REASON]}
        await self._database.write(partial(_mark, generation_id, number, row))

    async def failed(self, generation_id: str, numbers: Sequence[int]) -> Mapping[int, FailedStart]:
        """Return those of the versions that have only failed to start. Cancellation: nothing changes."""
        return await self._database.read(partial(_failed, generation_id, numbers))

    async def files(self, generation_id: str, number: int) -> list[VersionFile]:
        """Return the version's files with their hashes, ordered by path.

        Raises:
            VersionNotFound: It does not exist, or was removed.

        Cancellation: nothing changes.
        """
        return await self._database.read(partial(_files, generation_id, number))

    async def read(self, generation_id: str, number: int, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of those ``paths`` that the version has. The caller bounds their sizes.

        Raises:
            VersionNotFound: It does not exist, or was removed.

        Cancellation: nothing changes.
        """
        found: dict[str, bytes] = {}
        for start in range(0, len(paths), PART_FILES):
            part = paths[start : start + PART_FILES]
            found |= await self._database.read(partial(_contents, generation_id, number, part))
        return found

    async def write_files(self, generation_id: str, number: int, directory: Path) -> None:
        """Write the version's files into ``directory``, an existing empty folder.

        Raises:
            VersionNotFound: It does not exist, or was removed meanwhile.
            InvalidGeneration: A file cannot be written safely.

        Cancellation: the folder may be partly filled; the caller removes it.
        """
        files = await self.files(generation_id, number)
        with TreeWriter(directory, self._limits) as writer:
            for part in parts_of((one.path, one.size_bytes) for one in files):
                contents = await self._database.read(partial(_contents, generation_id, number, part))
                await trio.to_thread.run_sync(_write, writer, contents)

    async def edit_to(self, generation_id: str, number: int) -> tuple[Edit, int]:
        """Return the edit that makes the current files those of the version, and the revision that it applies to.

        Raises:
            VersionNotFound: It does not exist, or was removed.

        Cancellation: nothing changes.
        """
        current, wanted, now = await self._database.read(partial(_both, generation_id, number))
        differing = [path for path, digest in wanted.items() if current.get(path) != digest]
        written = await self.read(generation_id, number, differing)
        return Edit(written, [path for path in current if path not in wanted]), now

    def source(self, generation: Generation, number: int) -> GenerationSource:
        """Return a source whose only generation has the version's files."""
        return _VersionSource(self, generation, number)


class _VersionSource:
    """See ``GenerationVersions.source``."""

    def __init__(self, versions: GenerationVersions, generation: Generation, number: int) -> None:
        self._versions = versions
        self._generation = generation
        self._number = number

    async def get(self, generation_id: str) -> Generation:  # noqa: ARG002  there is only one
        """Implement the protocol. Cancellation: nothing changes."""
        return self._generation

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """Implement the protocol. Cancellation: the folder may be partly filled."""
        await self._versions.write_files(generation_id, self._number, directory)


def _page(generation_id: str, before: int | None, limit: int, connection: Connection) -> VersionPage:
    oldest = oldest_version(generation_id, connection)
    if oldest is None:
        raise VersionNotFound("The generation has no versions; it was deleted.")
    query = select(generation_versions).where(_V.generation_id == generation_id)
    if before is not None:
        query = query.where(_V.number < before)
    # One extra row shows if there is a next page.
    rows = connection.execute(query.order_by(_V.number.desc()).limit(limit + 1)).all()
    newest = select(_V.past_bytes).where(_V.generation_id == generation_id).order_by(_V.number.desc()).limit(1)
    following = rows[limit - 1].number if len(rows) > limit else None
    items = [_of(row) for row in rows[:limit]]
    failed = _failed(generation_id, [one.number for one in items], connection)
    return VersionPage(items, failed, following, oldest, connection.scalar(newest) or 0)


def _failed(generation_id: str, numbers: Sequence[int], connection: Connection) -> dict[int, FailedStart]:
    """Return versions that no preview has run.

    A launch counts for the version that it runs, or ran last, and for the one that it started with.
    """
    marks = select(failed_reloads).where(_R.generation_id == generation_id, _R.number.in_(numbers))
    found = {row.number: FailedStart(row.preview_id, "reload", row.reason) for row in connection.execute(marks)}
    launches = select(_I.id, _I.revision, _I.started_at, _I.status, _I.error_message).where(
        _I.generation_id == generation_id, _I.revision.in_(numbers)
    )
    for row in connection.execute(launches.order_by(_I.created_at)):
        if row.started_at is None and row.status == State.FAILED.value:
            found[row.revision] = FailedStart(row.id, "launch", row.error_message or "")
        elif row.started_at is not None:
            found.pop(row.revision, None)
    return {number: one for number, one in found.items() if not _was_started_with(generation_id, number, connection)}


def _was_started_with(generation_id: str, number: int, connection: Connection) -> bool:
    """Return True if a launch served that was made while the version was the current one."""
    rows = select(_V.number, _V.created_at).where(
        _V.generation_id == generation_id, _V.number.in_((number, number + 1))
    )
    made = {row.number: row.created_at for row in connection.execute(rows)}
    if number not in made:
        return False
    served = select(_I.id).where(
        _I.generation_id == generation_id, _I.started_at.is_not(None), _I.created_at >= made[number]
    )
    if number + 1 in made:
        served = served.where(_I.created_at < made[number + 1])
    return connection.execute(served.limit(1)).first() is not None


def _mark(generation_id: str, number: int, row: dict[str, str], connection: Connection) -> None:
    mine = (_R.generation_id == generation_id, _R.number == number)
    if connection.execute(update(failed_reloads).where(*mine).values(row)).rowcount:
        return
    if connection.scalar(select(_V.number).where(_V.generation_id == generation_id, _V.number == number)) is not None:
        connection.execute(insert(failed_reloads).values(generation_id=generation_id, number=number, **row))


def _version(generation_id: str, number: int, connection: Connection) -> Version:
    query = select(generation_versions).where(_V.generation_id == generation_id, _V.number == number)
    row = connection.execute(query).first()
    if row is None:
        raise _not_found(generation_id, number, connection)
    return _of(row)


def _not_found(generation_id: str, number: int, connection: Connection) -> VersionNotFound:
    oldest, newest = connection.execute(
        select(func.min(_V.number), func.max(_V.number)).where(_V.generation_id == generation_id)
    ).one()
    if oldest is None:
        return VersionNotFound("The generation has no versions; it was deleted.")
    if number < oldest:
        return VersionNotFound(
            f"Version {number} is not kept any more; the oldest one is {oldest}.", oldest=oldest, newest=newest
        )
    return VersionNotFound(f"There is no version {number}; the newest one is {newest}.", oldest=oldest, newest=newest)


def _in_version(generation_id: str, number: int) -> Any:
    return and_(_P.generation_id == generation_id, _P.since <= number, or_(_P.until.is_(None), _P.until > number))


def _files(generation_id: str, number: int, connection: Connection) -> list[VersionFile]:
    _version(generation_id, number, connection)
    query = select(_P.path, _P.size_bytes, _P.sha256).where(_in_version(generation_id, number))
    rows = [VersionFile(row.path, row.size_bytes, row.sha256) for row in connection.execute(query)]
    return sorted(rows, key=lambda one: one.path)


def _contents(generation_id: str, number: int, paths: Sequence[str], connection: Connection) -> dict[str, bytes]:
    """Read contents, current or past, by one statement: it sees one state of both tables."""
    _version(generation_id, number, connection)
    query = (
        select(_P.path, func.coalesce(_F.content, _C.content).label("content"))
        .select_from(version_files)
        .outerjoin(
            generation_files,
            and_(_F.generation_id == _P.generation_id, _F.path == _P.path, _P.until.is_(None)),
        )
        .outerjoin(file_contents, and_(_C.generation_id == _P.generation_id, _C.sha256 == _P.sha256))
        .where(_in_version(generation_id, number), _P.path.in_(paths))
    )
    found = {row.path: bytes(row.content) for row in connection.execute(query) if row.content is not None}
    if len(found) < len(set(paths)):
        # Never there, or the version was removed meanwhile.
        _version(generation_id, number, connection)
    return found


def _both(generation_id: str, number: int, connection: Connection) -> tuple[dict[str, str], dict[str, str], int]:
    """Return the hashes of the current files and of the version's, and the current revision."""
    now = connection.scalar(select(generations.c.revision).where(generations.c.id == generation_id))
    _version(generation_id, number, connection)
    if now is None:
        raise VersionNotFound("The generation has no versions; it was deleted.")
    query = select(_P.path, _P.sha256)
    current = connection.execute(query.where(_in_version(generation_id, now)))
    wanted = connection.execute(query.where(_in_version(generation_id, number)))
    return _hashes(current), _hashes(wanted), now


def _hashes(rows: Any) -> dict[str, str]:
    return {row.path: row.sha256 for row in rows}


def _write(writer: TreeWriter, contents: Mapping[str, bytes]) -> None:
    for path in sorted(contents):
        writer.write(path, contents[path])


def _of(row: Row[Any]) -> Version:
    return Version(
        number=row.number,
        author=row.author,
        agent=row.agent,
        source=row.source,
        message=row.message,
        created_at=from_ms(row.created_at),
        file_count=row.file_count,
        size_bytes=row.size_bytes,
        added=row.added,
        changed=row.changed,
        removed=row.removed,
    )
