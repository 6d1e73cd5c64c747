"""The built-in store: generations, their projects and users, in the service's own database."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio
from sqlalchemy import Connection, Row, func, insert, select, update

from preview.core.clock import from_ms, now_ms, to_ms, utc_now
from preview.core.ids import is_valid_id, new_generation_id, new_project_id
from preview.core.quoting import quoted
from preview.errors import GenerationLimitReached, GenerationNotFound, InvalidRequest
from preview.generations.editing import Edit, Edited, EditOrder, edit_files, insert_files, read_part, text_paths
from preview.generations.files import TreeWriter, check_files
from preview.generations.interface import Generation, GenerationLimits
from preview.generations.packing import Packer
from preview.generations.removal import RemovedGenerations, delete_generation, is_kept
from preview.generations.stored_file import PART_FILES, StoredFile, facts_of, parts_of
from preview.generations.version_rows import VersionBounds, VersionNote, insert_first
from preview.generations.versions import GenerationVersions
from preview.settings import Settings
from preview.storage.database import Database
from preview.storage.tables import generation_files, generations, projects, users
from preview.storage.users import ensure_row, read_page
from preview.storage.version_tables import version_files

_G, _F, _P = generations.c, generation_files.c, version_files.c
_MAX_NAME = 256
_MAX_GROUP = 80
# Endings of the names of files that list a project's requirements.
_MANIFESTS = (".cfg", ".in", ".json", ".lock", ".toml", ".txt", ".yaml", ".yml", "Pipfile", "setup.py")
# Downloads that are compressed at the same moment: a processor's work for seconds each.
_PACKED_AT_ONCE = 2


class GenerationLibrary:
    """Store of generations; a ``GenerationSource``. All methods raise ``DatabaseUnavailable`` on an outage.

    Args:
        on_push: Called with each new generation, and each whose requirements may have changed; must not wait.

    Attributes:
        versions: Versions of the generations' files.
        removed: Generations that can be restored; for all other methods they do not exist.
        observers: Called with the user's id, the generation's id, and the generation after each change; None if it is
            gone. They must not wait.
    """

    def __init__(
        self, database: Database, settings: Settings, on_push: Callable[[Generation], None] | None = None
    ) -> None:
        self._database = database
        self._on_push = on_push
        self._limits = GenerationLimits.of(settings)
        self._per_user = settings.generations_per_user
        self._packing = trio.CapacityLimiter(_PACKED_AT_ONCE)
        self._bounds = VersionBounds.of(settings)
        self.versions = GenerationVersions(database, self._limits)
        self.removed = RemovedGenerations(database, self._per_user)
        self.observers: list[Callable[[str, str, Generation | None], None]] = []

    async def create(
        self,
        *,
        user_id: str,
        project_id: str | None,
        name: str,
        files: Mapping[str, bytes],
        note: VersionNote | None = None,
        origin: str = "",
    ) -> Generation:
        """Store a new generation, with the rows of the user and the project if they are missing.

        Args:
            user_id: The owner.
            project_id: An id that the user chose, also if other users have the same; None makes a new one.
            name: A display name; may be empty.
            files: Content by relative path.
            note: Note of the first version; default: a push of the owner.
            origin: Address of the repository that the files are from; empty for none.

        Raises:
            InvalidRequest: The name or the project's id is invalid.
            InvalidGeneration, TooLarge: The files are invalid; see ``check_files``.
            GenerationLimitReached: The user already has the maximum number of generations.

        Cancellation: the generation is stored completely or not at all.
        """
        _check_name(name)
        if project_id is not None and not is_valid_id(project_id):
            raise InvalidRequest(
                f"{quoted(project_id)} cannot be a project's id; use letters, digits, '.', '_', ':' and '-', 128 at "
                "most.",
                field="project_id",
            )
        checked = await trio.to_thread.run_sync(check_files, files, self._limits)
        made = Generation(
            id=new_generation_id(),
            project_id=project_id or new_project_id(),
            user_id=user_id,
            created_at=utc_now(),
            name=name,
            file_count=len(checked),
            size_bytes=sum(map(len, checked.values())),
            origin=origin,
        )
        facts = await trio.to_thread.run_sync(facts_of, checked)
        first = partial(insert_first, made, facts, note or VersionNote(user_id, "push"))
        change = partial(_insert, made, checked, self._per_user, first)
        await self._database.write(change, size_bytes=made.size_bytes or 0)
        if self._on_push is not None:
            self._on_push(made)
        return self.tell(made)

    async def get(self, generation_id: str) -> Generation:
        """Return the generation.

        Raises:
            GenerationNotFound: No generation has this id.

        Cancellation: nothing changes.
        """
        query = select(generations).where(_G.id == generation_id, is_kept())
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise _not_found(generation_id)
        return _generation(row)

    async def list_for_user(
        self, user_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[Generation], str | None]:
        """Return a page of the user's generations, newest first, and the next page's cursor (None: the last page).

        Args:
            user_id: The owner.
            cursor: The cursor returned with the previous page.
            limit: Rows per page, clamped to 1 to ``users.MAX_PAGE``.

        Raises:
            InvalidRequest: The cursor is invalid.

        Cancellation: nothing changes.
        """
        query = select(generations).where(_G.user_id == user_id, is_kept())
        rows, following = await read_page(self._database, query, generations, cursor, limit)
        return [_generation(row) for row in rows], following

    async def delete(self, generation_id: str) -> None:
        """Delete the generation with its files. Its previews then have no owner; see ``disown_previews``.

        Raises:
            GenerationNotFound: No generation has this id.

        Cancellation: the generation is deleted completely or not at all.
        """
        owner = await self._database.write(partial(delete_generation, generation_id))
        if owner is None:
            raise _not_found(generation_id)
        self.tell_gone(owner, generation_id)

    def tell_gone(self, user_id: str, generation_id: str) -> None:
        """Tell the observers that a generation is deleted or removed."""
        for observe in list(self.observers):
            observe(user_id, generation_id, None)

    def tell(self, changed: Generation) -> Generation:
        """Tell the observers of a new or changed generation, and return it."""
        for observe in list(self.observers):
            observe(changed.user_id, changed.id, changed)
        return changed

    async def rename(self, generation_id: str, name: str | None = None, *, group: str | None = None) -> Generation:
        """Give the generation another display name or group; return it.

        Args:
            generation_id: The generation.
            name: The name; None leaves it.
            group: The group; empty for none, None leaves it.

        Raises:
            InvalidRequest: The name or the group is invalid.
            GenerationNotFound: No generation has this id.

        Cancellation: both are changed or none.
        """
        values: dict[str, str] = {}
        if name is not None:
            _check_name(name)
            values["name"] = name
        if group is not None:
            _check_name(group, "group", _MAX_GROUP)
            values["group_name"] = group.strip()
        change = update(generations).where(_G.id == generation_id).values(**values)
        if values and not await self._database.write(lambda connection: bool(connection.execute(change).rowcount)):
            raise _not_found(generation_id)
        return self.tell(await self.get(generation_id))

    async def file_list(self, generation_id: str) -> list[tuple[str, int]]:
        """Return paths and sizes in bytes of the generation's files, ordered by path.

        Raises:
            GenerationNotFound: No generation has this id.

        Cancellation: nothing changes.
        """
        query = select(_F.path, _F.size_bytes).where(_F.generation_id == generation_id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        if not rows:
            raise _not_found(generation_id)
        return sorted((row.path, row.size_bytes) for row in rows)

    async def stored_files(self, generation_id: str) -> list[StoredFile]:
        """Return the generation's files with the hashes of their contents, ordered by path.

        Raises:
            GenerationNotFound: No generation has this id.

        Cancellation: nothing changes.
        """
        query = select(_P.path, _P.size_bytes, _P.sha256, _P.is_text)
        query = query.where(_P.generation_id == generation_id, _P.until.is_(None))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        if not rows:
            raise _not_found(generation_id)
        # Files from before versions: their kind is not stored.
        unknown = sorted((row.path, row.size_bytes) for row in rows if row.is_text is None)
        texts = {row.path for row in rows if row.is_text}
        for part in parts_of(unknown):
            texts |= set(await self._database.read(partial(text_paths, generation_id, part)))
        files = (StoredFile(row.path, row.size_bytes, row.sha256, row.path in texts) for row in rows)
        return sorted(files, key=lambda one: one.path)

    async def file_groups(self, generation_id: str) -> list[list[str]]:
        """Return the paths of the generation's files in groups that are small enough to read at once.

        Raises:
            GenerationNotFound: No generation has this id.

        Cancellation: nothing changes.
        """
        return list(parts_of(await self.file_list(generation_id)))

    async def pack(self, generation_id: str, paths: Sequence[str], packer: Packer) -> bytes:
        """Add those ``paths`` that exist to an archive; return its bytes that are complete now, which may be none.

        Cancellation: the archive stays incomplete.
        """
        contents = await self.read_files(generation_id, paths)
        return await trio.to_thread.run_sync(packer.add, sorted(contents.items()), limiter=self._packing)

    async def read_files(self, generation_id: str, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of those ``paths`` that exist. Cancellation: nothing changes."""
        found: dict[str, bytes] = {}
        # No file has such a path, and PostgreSQL refuses it.
        paths = [path for path in paths if "\0" not in path]
        for start in range(0, len(paths), PART_FILES):
            part = paths[start : start + PART_FILES]
            found |= await self._database.read(partial(read_part, generation_id, part))
        return found

    async def edit(
        self,
        generation_id: str,
        edit: Edit,
        *,
        note: VersionNote | None = None,
        expected: Callable[[int], bool] | None = None,
        is_dry: bool = False,
    ) -> Edited:
        """Change the generation's files in one transaction, which makes a new version if any file changed.

        Args:
            generation_id: The generation's id.
            edit: The change.
            note: Note of the version; default: an edit of the owner.
            expected: Returns true for the revision that the caller has seen; called in a thread. None accepts any.
            is_dry: Return what would change; nothing is stored.

        Raises:
            GenerationNotFound: No generation has this id.
            PreconditionFailed: The generation has another revision.
            InvalidGeneration, TooLarge: The resulting files are invalid as a whole.

        Cancellation: the edit is stored completely or not at all.
        """
        found = await self.get(generation_id)
        facts = await trio.to_thread.run_sync(facts_of, edit.written)
        note = note or VersionNote(found.user_id, "edit")
        order = EditOrder(found, edit, facts, self._limits, self._bounds, note, expected, is_dry)
        change = partial(edit_files, order)
        # The contents that it replaces move, too.
        size_bytes = sum(map(len, edit.written.values())) + (found.size_bytes or 0)
        if is_dry:
            edited = await self._database.read(change)
        else:
            edited = await self._database.write(change, size_bytes=size_bytes)
        if edited is None:
            raise _not_found(generation_id)
        if not is_dry and (not edited.is_empty or edited.generation.origin != found.origin):
            self.tell(edited.generation)
        if is_dry or self._on_push is None:
            return edited
        if any(path.endswith(_MANIFESTS) for path in (*edited.written, *edited.removed)):
            self._on_push(edited.generation)
        return edited

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """Write the generation's files into ``directory``, an existing empty folder.

        A file that is removed meanwhile is left out.

        Raises:
            GenerationNotFound: No generation has this id (any more).
            InvalidGeneration: A file cannot be written safely.

        Cancellation: the folder may be partly filled; the caller removes it.
        """
        listed = await self.file_list(generation_id)
        with TreeWriter(directory, self._limits) as writer:
            for part in parts_of(listed):
                contents = await self._database.read(partial(read_part, generation_id, part))
                if len(contents) < len(part):
                    await self.get(generation_id)
                await trio.to_thread.run_sync(_write_part, writer, contents)


def _check_name(name: str, what: str = "name", most: int = _MAX_NAME) -> None:
    if len(name) > most or any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise InvalidRequest(
            f"The {what} cannot be kept; use up to {most} characters, without control characters.", field=what
        )


def _insert(
    made: Generation,
    files: Mapping[str, bytes],
    per_user: int,
    first: Callable[[Connection], None],
    connection: Connection,
) -> None:
    """Insert the rows in one transaction. The lock on the user's row serializes one user's inserts."""
    moment = to_ms(made.created_at)
    ensure_row(connection, users, {"id": made.user_id, "created_at": now_ms()})
    connection.execute(select(users.c.id).where(users.c.id == made.user_id).with_for_update())
    kept = (
        connection.scalar(select(func.count()).select_from(generations).where(_G.user_id == made.user_id, is_kept()))
        or 0
    )
    if kept >= per_user:
        raise GenerationLimitReached(
            f"You have {kept} generations; the maximum is {per_user}. Delete one first.",
            limit=per_user,
        )
    ensure_row(connection, projects, {"id": made.project_id, "user_id": made.user_id, "created_at": moment})
    connection.execute(
        insert(generations).values(
            id=made.id,
            project_id=made.project_id,
            user_id=made.user_id,
            name=made.name,
            file_count=made.file_count,
            size_bytes=made.size_bytes,
            created_at=moment,
            origin=made.origin,
        )
    )
    insert_files(made.id, files, connection)
    first(connection)


def _write_part(writer: TreeWriter, contents: Sequence[tuple[str, bytes]]) -> None:
    for path, content in contents:
        writer.write(path, content)


def _generation(row: Row[Any]) -> Generation:
    return Generation(
        id=row.id,
        project_id=row.project_id,
        user_id=row.user_id,
        created_at=from_ms(row.created_at),
        name=row.name,
        file_count=row.file_count,
        size_bytes=row.size_bytes,
        revision=row.revision,
        group=row.group_name,
        origin=row.origin,
    )


def _not_found(generation_id: str) -> GenerationNotFound:
    return GenerationNotFound(f"There is no generation {quoted(generation_id)}.")
