"""Stored data snapshots: a row for each, and a folder with its parts in the service's data folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog
import trio
from sqlalchemy import ColumnElement, Connection, select, update

from preview.core.clock import from_ms, now_ms, to_ms
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.core.removal import remove_folder
from preview.data.snapshot import (
    AUTOMATIC,
    UNFINISHED,
    DataSnapshot,
    SnapshotKind,
    limit_copies,
    measure_parts,
    open_to_programs,
    remove_unfinished,
)
from preview.data.stored.rows import OWN, delete_rows, find_own, insert_own, insert_row, snapshot_of, usage
from preview.data.stored.shared import SharedCopies, remove_fetched
from preview.data.threads import in_thread
from preview.errors import DataUnavailable, SnapshotLimitReached, SnapshotNotFound
from preview.settings import Settings
from preview.storage import Database
from preview.storage.tables import data_snapshots, generations

log = structlog.get_logger(__name__)

_S = data_snapshots.c
_MIB = 1024 * 1024
_REMOVE_S = 5.0
# Snapshots that were taken before a change are the way back from it; the last few of a generation are kept.
_MOST_AUTOMATIC = 3
# Removed snapshots of a user that can be restored; they take none of the space that new ones need.
_MOST_REMOVED = 5


class SnapshotStore:
    """The data snapshots of all users. All methods raise ``DatabaseUnavailable`` on an outage.

    Args:
        settings: Where the folders are, and how much a user may keep.
        database: The service's database.
        node: Name of this node of a cluster.
    """

    def __init__(self, settings: Settings, database: Database, node: str = "") -> None:
        self._root = settings.data_dir / "snapshots"
        self._database, self._node = database, node
        self._most = settings.snapshots_per_user
        self._most_mb = settings.snapshots_mb
        self._removed_kept_ms = int(settings.removed_kept_s * 1000)
        # Other nodes of a cluster have other folders.
        self._shared = SharedCopies(database, settings.cluster_snapshot_mb) if settings.cluster else None
        # The first data of forks, by generation: a launch must not wait for the database to learn that there is none.
        self._first: dict[str, str] = {}

    async def reconcile(self, *, has_generations: bool) -> None:
        """Remove what a service that was killed has left: unfinished folders, and snapshots of deleted generations.

        Folders without rows, and rows without folders, stay: the database, or the disk, may be another one by mistake.

        Args:
            has_generations: Whether the database has all generations.

        Cancellation: some of it may be left.
        """
        if has_generations:
            orphans = select(_S.id).where(_S.generation_id.not_in(select(generations.c.id)))
            deleted = await self._database.read(lambda connection: connection.scalars(orphans).all())
            await self._database.write(partial(delete_rows, deleted))
            for one in deleted:
                await trio.to_thread.run_sync(remove_folder, self._root / one)
        rows = await self._database.read(lambda connection: connection.execute(select(data_snapshots)).all())
        known = {row.id for row in rows}
        await trio.to_thread.run_sync(remove_fetched, self._root)
        there = await trio.to_thread.run_sync(remove_unfinished, self._root)
        for what, names in (("rows without files", known - there), ("files without a row", there - known)):
            if names:
                log.warning("data snapshots incomplete", what=what, count=len(names), first=min(names))
        is_first = [row for row in rows if row.kind == SnapshotKind.FORK and row.removed_at is None]
        self._first = {row.generation_id: row.id for row in is_first}

    def first_data(self, generation_id: str) -> str | None:
        """Return the snapshot that the generation's previews begin with; None if they begin empty."""
        return self._first.get(generation_id)

    def folder(self, snapshot: DataSnapshot) -> Path:
        """Return the folder of a stored snapshot."""
        return self._root / snapshot.id

    @asynccontextmanager
    async def open_folder(self) -> AsyncIterator[Path]:
        """Make an empty folder for a new snapshot, which ``keep`` takes.

        Cancellation: the folder is removed, as at any end without ``keep``.
        """
        folder = self._root / f"{UNFINISHED}{os.urandom(8).hex()}"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            with trio.move_on_after(_REMOVE_S, shield=True):
                await trio.to_thread.run_sync(remove_folder, folder, abandon_on_cancel=True)

    async def check(self, user_id: str) -> None:
        """Check that a user may keep one more snapshot.

        Raises:
            SnapshotLimitReached: The user has as many, or as large ones, as allowed.

        Cancellation: nothing changes.
        """
        count, size = await self._database.read(partial(usage, user_id))
        self._check_count(count)
        self._check_size(size)

    def _check_count(self, count: int) -> None:
        if count >= self._most:
            raise SnapshotLimitReached(
                f"You have {count} data snapshots; the maximum is {self._most} (PREVIEW_SNAPSHOTS_PER_USER). "
                "Delete one first.",
                limit=self._most,
            )

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._most_mb * _MIB:
            raise SnapshotLimitReached(
                f"Your data snapshots would take {size_bytes // _MIB} MiB; the maximum is {self._most_mb} MiB "
                "(PREVIEW_SNAPSHOTS_MB). Delete one first.",
                limit_mb=self._most_mb,
            )

    async def keep(self, snapshot: DataSnapshot, folder: Path, *, needed: str | None = None) -> DataSnapshot:
        """Store a snapshot whose parts lie in ``folder``; their sizes and hashes are taken here.

        Args:
            snapshot: The snapshot. Of those before a restore or reset, the oldest are deleted.
            folder: Made by ``open_folder``.
            needed: Id of a snapshot that is not deleted.

        Raises:
            SnapshotLimitReached: It is too large, or one too many; ``folder`` is as it was.

        Cancellation: it is stored completely or not at all; a folder that is left is removed at the next start.
        """
        parts = await in_thread(partial(measure_parts, folder, snapshot.parts))
        await trio.to_thread.run_sync(open_to_programs, folder, parts)
        snapshot = replace(snapshot, parts=parts)
        await self._make_space(snapshot)
        kept = self.folder(snapshot)
        await trio.to_thread.run_sync(os.rename, folder, kept)
        is_stored = False
        try:
            await self._database.write(partial(self._insert, snapshot))
            is_stored = True
        finally:
            if not is_stored:
                # Back, so that ``open_folder`` removes it.
                kept.rename(folder)
        if snapshot.kind is SnapshotKind.FORK:
            self._first[snapshot.generation_id] = snapshot.id
        if snapshot.kind in AUTOMATIC:
            await self._drop_oldest(snapshot, needed)
        await trio.to_thread.run_sync(limit_copies, self._root, kept)
        # A restore waits for the others, and few of them are ever restored.
        if self._shared is not None and (snapshot.kind not in AUTOMATIC or snapshot.kind is SnapshotKind.BEFORE_MOVE):
            await self._shared.add(snapshot, kept)
        return snapshot

    async def list_for(self, generation_id: str, user_id: str | None = None) -> list[DataSnapshot]:
        """Return the generation's snapshots, newest first, also removed ones; with a user, only this user's others.

        Cancellation: nothing changes.
        """
        query = select(data_snapshots).where(_S.generation_id == generation_id).order_by(_S.created_at.desc(), _S.id)
        if user_id is not None:
            query = query.where(_S.user_id == user_id, _S.removed_at.is_(None))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [snapshot_of(row) for row in rows]

    async def get(self, generation_id: str, user_id: str, snapshot_id: str) -> DataSnapshot:
        """Return one of the user's snapshots of a generation.

        Raises:
            SnapshotNotFound: It has none with this id.

        Cancellation: nothing changes.
        """
        mine = _S.generation_id == generation_id, _S.user_id == user_id, _S.removed_at.is_(None)
        query = select(data_snapshots).where(_S.id == snapshot_id, *mine)
        row = None
        if is_valid_id(snapshot_id):
            row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise SnapshotNotFound(f"The generation has no data snapshot {quoted(snapshot_id)}.")
        return snapshot_of(row)

    async def last_own(self, generation_id: str, user_id: str, named: str, since: datetime) -> DataSnapshot | None:
        """Return the named snapshot; if it was deleted, the newest of a preview's own data since its launch.

        Cancellation: nothing changes.
        """
        return await self._database.read(partial(find_own, generation_id, user_id, named, to_ms(since)))

    async def verify(self, snapshot: DataSnapshot) -> Path:
        """Return the snapshot's folder, after a comparison of its files with their hashes.

        One that another node has taken is fetched first.

        Raises:
            DataUnavailable: A file is missing or was changed, or another node has the only copy.

        Cancellation: nothing changes.
        """
        folder = self.folder(snapshot)
        if self._shared is not None and not await trio.to_thread.run_sync(folder.is_dir):
            async with self.open_folder() as fetched:
                await self._shared.bring(snapshot, fetched, folder)
        bare = tuple(replace(part, size_bytes=0, sha256="") for part in snapshot.parts)
        try:
            found = await in_thread(partial(measure_parts, folder, bare))
        except OSError as error:
            found = ()
            log.warning("data snapshot not readable", snapshot_id=snapshot.id, why=str(error))
        if found != snapshot.parts:
            raise DataUnavailable(f"The data snapshot {snapshot.id} is damaged: its files have changed.")
        return folder

    async def learn(self, generation_id: str) -> None:
        """Learn which data the generation's previews begin with, from the other nodes of a cluster.

        Cancellation: nothing changes.
        """
        if self._shared is None:
            return
        query = select(_S.id).where(
            _S.generation_id == generation_id, _S.kind == SnapshotKind.FORK, _S.removed_at.is_(None)
        )
        found = await self._database.read(lambda connection: connection.scalar(query))
        if found is None:
            self._first.pop(generation_id, None)
        else:
            self._first[generation_id] = found

    # Removal, which can be undone

    async def remove(self, snapshot: DataSnapshot) -> None:
        """Put a snapshot aside: it is deleted later, and until then ``bring_back`` undoes this.

        Cancellation: it is put aside; more removed ones than are kept may be left until the next removal.
        """
        if not self._removed_kept_ms:
            await self.delete(snapshot)
            return
        put_aside = update(data_snapshots).where(_S.id == snapshot.id).values(removed_at=now_ms())
        await self._database.write(lambda connection: connection.execute(put_aside))
        if self._first.get(snapshot.generation_id) == snapshot.id:
            del self._first[snapshot.generation_id]
        await self.purge()
        for one, _ in (await self._removed(_S.user_id == snapshot.user_id))[_MOST_REMOVED:]:
            await self.delete(one)

    async def list_removed(self, generation_id: str, user_id: str) -> list[tuple[DataSnapshot, datetime]]:
        """Return a generation's removed snapshots, the last removed first, each with the time of its deletion.

        Cancellation: nothing changes.
        """
        return await self._removed(_S.generation_id == generation_id, _S.user_id == user_id, self._is_kept())

    async def bring_back(self, generation_id: str, user_id: str, snapshot_id: str) -> DataSnapshot:
        """Undo the removal of a snapshot.

        Raises:
            SnapshotNotFound: The generation has no removed snapshot with this id.
            SnapshotLimitReached: The user keeps too many or too large ones.

        Cancellation: it is carried out, or not.
        """
        mine = _S.id == snapshot_id, _S.generation_id == generation_id, _S.user_id == user_id, self._is_kept()

        def undo(connection: Connection) -> DataSnapshot | None:
            row = connection.execute(select(data_snapshots).where(*mine)).first()
            if row is None:
                return None
            snapshot = snapshot_of(row)
            self._check_limits(snapshot, connection)
            connection.execute(update(data_snapshots).where(_S.id == snapshot_id).values(removed_at=None))
            return snapshot

        found = await self._database.write(undo) if is_valid_id(snapshot_id) else None
        if found is None:
            raise SnapshotNotFound(f"The generation has no removed data snapshot {quoted(snapshot_id)}.")
        if found.kind is SnapshotKind.FORK:
            self._first[generation_id] = found.id
        return found

    async def purge(self) -> None:
        """Delete removed snapshots whose time is over. Cancellation: some of them may be left."""
        for one, _ in await self._removed(_S.removed_at <= now_ms() - self._removed_kept_ms):
            await self.delete(one)

    async def _make_space(self, snapshot: DataSnapshot) -> None:
        """Delete removed snapshots of the user, the first removed first, until there is space for a new one."""
        _, size = await self._database.read(partial(usage, snapshot.user_id))
        removed = await self._removed(_S.user_id == snapshot.user_id)
        taken = size + snapshot.size_bytes + sum(one.size_bytes for one, _ in removed)
        while removed and taken > self._most_mb * _MIB:
            oldest, _ = removed.pop()
            taken -= oldest.size_bytes
            await self.delete(oldest)

    def _is_kept(self) -> ColumnElement[bool]:
        return _S.removed_at > now_ms() - self._removed_kept_ms

    async def _removed(self, *which: ColumnElement[bool]) -> list[tuple[DataSnapshot, datetime]]:
        query = select(data_snapshots).where(_S.removed_at.is_not(None), *which)
        query = query.order_by(_S.removed_at.desc(), _S.id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [(snapshot_of(row), from_ms(row.removed_at + self._removed_kept_ms)) for row in rows]

    # Deletion for good

    async def delete(self, snapshot: DataSnapshot) -> None:
        """Delete a snapshot for good. Cancellation: it is deleted; its folder may be left until the next start."""
        await self._database.write(partial(delete_rows, [snapshot.id]))
        if self._first.get(snapshot.generation_id) == snapshot.id:
            del self._first[snapshot.generation_id]
        await trio.to_thread.run_sync(remove_folder, self.folder(snapshot), abandon_on_cancel=True)

    async def remove_deleted(self) -> int:
        """Remove folders here of snapshots that other nodes have deleted; see ``SharedCopies.remove_deleted``.

        Cancellation: some of them may be left.
        """
        return 0 if self._shared is None else await self._shared.remove_deleted(self._root)

    async def forget(self, generation_id: str) -> None:
        """Delete all snapshots of a generation. Cancellation: some may be left."""
        for snapshot in await self.list_for(generation_id):
            await self.delete(snapshot)

    async def copy(self, snapshot: DataSnapshot, folder: Path) -> None:
        """Fill a new folder with the parts of a stored snapshot; nothing is copied, as parts never change.

        Raises:
            DataUnavailable: See ``verify``.

        Cancellation: the folder may be partly filled.
        """
        source = await self.verify(snapshot)
        try:
            for part in snapshot.parts:
                await trio.to_thread.run_sync(os.link, source / part.file, folder / part.file)
        except OSError as error:  # it was deleted meanwhile
            raise DataUnavailable(f"The data snapshot cannot be copied: {error.strerror or error}.") from error

    async def _drop_oldest(self, newest: DataSnapshot, needed: str | None) -> None:
        listed = await self.list_for(newest.generation_id, newest.user_id)
        automatic = [one for one in listed if one.kind in AUTOMATIC and one.id not in (newest.id, needed)]
        for one in automatic[_MOST_AUTOMATIC - 1 :]:
            await self.delete(one)

    def _insert(self, snapshot: DataSnapshot, connection: Connection) -> None:
        """Insert the row, if the user's limits allow it: others may have been stored since ``check``."""
        self._check_limits(snapshot, connection)
        if self._shared is not None and snapshot.kind in OWN:
            insert_own(snapshot, self._node, connection)
        else:
            insert_row(snapshot, connection)

    def _check_limits(self, snapshot: DataSnapshot, connection: Connection) -> None:
        count, size = usage(snapshot.user_id, connection)
        if snapshot.kind not in AUTOMATIC:
            self._check_count(count)
        self._check_size(size + snapshot.size_bytes)
