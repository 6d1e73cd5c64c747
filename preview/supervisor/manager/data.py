"""Requests for the data of previews: look at it, save it, bring it back, begin another generation with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

import trio

from preview.backing import QueryResult
from preview.core.clock import utc_now
from preview.core.ids import new_snapshot_id
from preview.core.lifecycle import State
from preview.data import (
    Comparison,
    Database,
    DataSnapshot,
    PreviewData,
    RunConfined,
    SnapshotKind,
    SnapshotStore,
)
from preview.data.compare import compare
from preview.data.snapshot import AUTOMATIC, open_to_programs
from preview.errors import DataUnavailable, NoActivePreview
from preview.generations import Generation
from preview.settings import Settings
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.manager import PreviewManager
from preview.supervisor.preview.control import DataChange, FirstData
from preview.supervisor.preview.live_preview import LivePreview
from preview.user import User

T = TypeVar("T")

_SPARE_NAME = "%Y-%m-%d %H:%M:%S"
NOW = "now"
"""In place of a snapshot's id: the data of the running preview."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """Result of a restore or a reset.

    Attributes:
        before: Snapshot of the data that was replaced.
        elapsed_s: Seconds from the request until the application served again.
    """

    before: DataSnapshot
    elapsed_s: float


class DataManager:
    """Reads, saves and replaces the data of running previews. Callers have checked who owns the generation.

    Args:
        settings: The service's settings.
        manager: All previews.
        store: Stored snapshots.
        run: Runs programs that compare snapshots.
    """

    def __init__(self, settings: Settings, manager: PreviewManager, store: SnapshotStore, run: RunConfined) -> None:
        self._settings = settings
        self._manager = manager
        self._store = store
        self._run = run
        # Each takes a core for some seconds, of the service and not of a preview.
        self._comparisons = trio.CapacityLimiter(1)
        # Snapshots that a restore reads, or may go back to.
        self._in_use: set[str] = set()

    # Look

    async def databases(self, generation_id: str) -> list[Database]:
        """Return the databases of the running preview.

        Raises:
            NoActivePreview: None runs.

        Cancellation: nothing changes.
        """
        return await self._do(generation_id, lambda data: data.list_databases())

    async def read_table(
        self, generation_id: str, database: str | None, table: str, *, offset: int, limit: int
    ) -> QueryResult:
        """Return rows of a table.

        Raises:
            NoActivePreview: No preview runs.
            DataUnavailable: See ``PreviewData.read_table``.

        Cancellation: nothing changes.
        """
        return await self._do(generation_id, lambda data: data.read_table(database, table, offset=offset, limit=limit))

    async def query(self, generation_id: str, database: str | None, statement: str, *, most_rows: int) -> QueryResult:
        """Execute one statement that only reads.

        Raises:
            NoActivePreview: No preview runs.
            QueryRefused, DataUnavailable: See ``PreviewData.query``.

        Cancellation: nothing changes.
        """
        return await self._do(generation_id, lambda data: data.query(database, statement, most_rows=most_rows))

    # Snapshots

    async def snapshots(self, generation: Generation) -> list[DataSnapshot]:
        """Return the generation's snapshots, newest first. Cancellation: nothing changes."""
        return await self._store.list_for(generation.id, generation.user_id)

    async def save(self, generation: Generation, name: str) -> DataSnapshot:
        """Save the data of the running preview.

        Raises:
            NoActivePreview: None runs.
            SnapshotLimitReached: The user keeps too many or too large ones.
            DiskFull: The service's own disk has no space.
            DataUnavailable: Some of it cannot be saved.

        Cancellation: nothing is kept.
        """
        preview = self._running(generation.id)
        await self._check(generation.user_id)
        snapshot = _new(generation, name, SnapshotKind.MANUAL)
        kept = await self._save(preview, snapshot)
        preview.log.say(f"data saved: {kept.id} ({kept.name})")
        return kept

    async def delete(self, generation: Generation, snapshot_id: str) -> None:
        """Delete a snapshot; ``bring_back`` undoes it for a while.

        Raises:
            SnapshotNotFound: The generation has none with this id.
            DataUnavailable: It is being restored.

        Cancellation: see ``SnapshotStore.remove``.
        """
        snapshot = await self._store.get(generation.id, generation.user_id, snapshot_id)
        if snapshot.id in self._in_use:
            raise DataUnavailable(
                "The snapshot is being restored, or is needed to undo a restore; try again in a moment."
            )
        await self._store.remove(snapshot)

    async def removed(self, generation: Generation) -> list[tuple[DataSnapshot, datetime]]:
        """Return the removed snapshots, the last removed first, each with the time at which it is deleted.

        Cancellation: nothing changes.
        """
        return await self._store.list_removed(generation.id, generation.user_id)

    async def bring_back(self, generation: Generation, snapshot_id: str) -> DataSnapshot:
        """Undo the removal of a snapshot. Raises and is cancelled like ``SnapshotStore.bring_back``."""
        return await self._store.bring_back(generation.id, generation.user_id, snapshot_id)

    async def purge(self) -> None:
        """Delete removed snapshots whose time is over. Cancellation: some of them may be left."""
        await self._store.purge()

    async def restore(self, user: User, generation: Generation, snapshot_id: str) -> Replaced:
        """Replace the running preview's data by that of a snapshot. The application is stopped and started again.

        Raises:
            NoActivePreview: No preview runs.
            SnapshotNotFound: The generation has none with this id.
            DataUnavailable, LaunchFailed: It failed; the data is what it was, unless the preview has ended.

        Cancellation: it is carried out all the same.
        """
        snapshot = await self._store.get(generation.id, generation.user_id, snapshot_id)
        folder = await self._store.verify(snapshot)
        named = f"before the restore of “{snapshot.name}”" if snapshot.name else "before a restore"
        name = "before an undo" if snapshot.kind in AUTOMATIC else named
        return await self._replace(
            user,
            generation,
            _new(generation, name, SnapshotKind.BEFORE_RESTORE),
            lambda data: data.load(folder, snapshot.parts),
            snapshot.id,
            "restore",
            "none" if snapshot.revision == generation.revision else "migrations",
        )

    async def reset(self, user: User, generation: Generation) -> Replaced:
        """Replace the running preview's data by that of its launch: files as uploaded, new databases, all steps again.

        Raises:
            NoActivePreview: No preview runs.
            DataUnavailable, LaunchFailed: See ``restore``.

        Cancellation: it is carried out all the same.
        """
        return await self._replace(
            user,
            generation,
            _new(generation, "before the reset", SnapshotKind.BEFORE_RESET),
            lambda data: data.load(None),
            None,
            "reset",
            "all",
        )

    async def compare(self, generation: Generation, before: str, after: str) -> Comparison:
        """Compare two snapshots; ``NOW`` in place of an id is the running preview's data.

        Raises:
            SnapshotNotFound: The generation has none with this id.
            NoActivePreview: ``NOW``, and no preview runs.
            DataUnavailable: They cannot be compared.

        Cancellation: nothing is kept.
        """
        async with (
            self._comparisons,
            self._open(generation, before) as first,
            self._open(generation, after) as second,
            self._store.open_folder() as scratch,
        ):
            return await compare(first, second, self._run, scratch)

    async def copy_to(self, source: Generation, snapshot_id: str | None, target: Generation) -> DataSnapshot:
        """Let the previews of a new generation begin with data of another.

        Args:
            source: The other generation.
            snapshot_id: Its snapshot; None: its running preview's data.
            target: The new generation.

        Raises:
            NoActivePreview: There is no id, and no preview runs.
            SnapshotNotFound: The generation has none with this id.
            SnapshotLimitReached: The user keeps too many or too large ones.
            DataUnavailable: The data cannot be saved.

        Cancellation: nothing is kept.
        """
        await self._check(target.user_id)
        made = _new(target, "initial data", SnapshotKind.FORK)
        if snapshot_id is None:
            return await self._save(self._running(source.id), made)
        snapshot = await self._store.get(source.id, source.user_id, snapshot_id)
        async with self._store.open_folder() as folder:
            await self._store.copy(snapshot, folder)
            return await self._store.keep(replace(made, parts=snapshot.parts), folder)

    @asynccontextmanager
    async def open_first_data(self, generation: Generation, snapshot_id: str) -> AsyncIterator[FirstData]:
        """Yield data of a generation for a trial preview; ``NOW`` in place of an id is the running preview's data.

        Raises:
            SnapshotNotFound: The generation has none with this id.
            NoActivePreview: ``NOW``, and no preview runs.
            DataUnavailable: It cannot be read.

        Cancellation: nothing is kept.
        """
        if snapshot_id != NOW:
            snapshot = await self._store.get(generation.id, generation.user_id, snapshot_id)
            async with self._store.open_folder() as folder:
                await self._store.copy(snapshot, folder)
                yield FirstData(folder, snapshot.parts, f"the snapshot {snapshot.id}")
            return
        check_free_disk(self._settings)
        preview = self._running(generation.id)
        async with self._store.open_folder() as folder:
            async with preview.data_turn:
                parts = tuple(await preview.inside.do(lambda data: data.save(folder)))
            open_to_programs(folder, parts)
            yield FirstData(folder, parts, f"the data of {preview.id}")

    async def _check(self, user_id: str) -> None:
        check_free_disk(self._settings)
        await self._store.check(user_id)

    async def _save(self, preview: LivePreview, snapshot: DataSnapshot) -> DataSnapshot:
        # Waits here, and not as work of the preview, which others wait for.
        async with preview.data_turn:
            return await preview.inside.do(lambda data: self._save_now(data, snapshot))

    async def _save_now(self, data: PreviewData, snapshot: DataSnapshot, *, needed: str | None = None) -> DataSnapshot:
        async with self._store.open_folder() as folder:
            # A restore waits for the automatic ones, and few of them are ever restored.
            parts = await data.save(folder, with_copies=snapshot.kind not in AUTOMATIC)
            return await self._store.keep(replace(snapshot, parts=parts), folder, needed=needed)

    async def _replace(
        self,
        user: User,
        generation: Generation,
        before: DataSnapshot,
        load: Callable[[PreviewData], Awaitable[None]],
        loaded: str | None,
        what: Literal["restore", "reset"],
        steps: Literal["all", "migrations", "none"],
    ) -> Replaced:
        """Save the data, then load other data; if that fails, load the saved one."""
        kept: list[DataSnapshot] = []
        needed = {before.id} if loaded is None else {before.id, loaded}

        async def apply(data: PreviewData) -> None:
            kept.append(await self._save_now(data, before, needed=loaded))
            await load(data)

        async def undo(data: PreviewData) -> None:
            for snapshot in kept:
                await data.load(self._store.folder(snapshot), snapshot.parts)

        self._in_use |= needed
        try:
            elapsed_s = await self._manager.replace_data(user, generation.id, DataChange(what, apply, undo, steps))
        finally:
            self._in_use -= needed
        return Replaced(kept[0], elapsed_s)

    @asynccontextmanager
    async def _open(self, generation: Generation, snapshot_id: str) -> AsyncIterator[Path]:
        """Yield the folder of a snapshot, or of the running preview's data."""
        if snapshot_id != NOW:
            yield await self._store.verify(await self._store.get(generation.id, generation.user_id, snapshot_id))
            return
        async with self.open_first_data(generation, NOW) as data:
            yield data.folder

    async def _do(self, generation_id: str, work: Callable[[PreviewData], Awaitable[T]]) -> T:
        return await self._running(generation_id).inside.do(work)

    def _running(self, generation_id: str) -> LivePreview:
        preview = self._manager.require(generation_id)
        if preview.record.state is not State.RUNNING:
            raise NoActivePreview("The generation's preview is not running yet; wait until it is ready.")
        preview.touch()
        return preview


def _new(generation: Generation, name: str, kind: SnapshotKind) -> DataSnapshot:
    now = utc_now()
    return DataSnapshot(
        id=new_snapshot_id(),
        generation_id=generation.id,
        user_id=generation.user_id,
        name=name or now.strftime(_SPARE_NAME),
        kind=kind,
        created_at=now,
        revision=generation.revision,
        parts=(),
    )
