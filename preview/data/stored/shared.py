"""Copies of snapshots in the database of a cluster: a preview's data goes where the preview goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
import trio
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from preview.core.ids import is_valid_id
from preview.core.removal import remove_folder
from preview.data.snapshot import DataSnapshot, Part, measure_parts, open_to_programs
from preview.data.threads import in_thread
from preview.errors import DataUnavailable, PreviewError
from preview.storage import Database
from preview.storage.people_tables import snapshot_contents
from preview.storage.tables import data_snapshots

log = structlog.get_logger(__name__)

_C = snapshot_contents.c
# Of a row: what one statement carries, and a thread holds.
_CHUNK_BYTES = 1024 * 1024
_MIB = 1024 * 1024
# In the folder of a fetched snapshot; it can be fetched again, and nobody uses it for longer than this.
_FETCHED = "fetched"
_KEPT_S = 3600.0


class SharedCopies:
    """Copies of snapshots, up to a size each. A copy goes with the snapshot's row.

    Args:
        database: The cluster's database.
        most_mb: Size of the largest snapshot that is copied, in MiB.
    """

    def __init__(self, database: Database, most_mb: int) -> None:
        self._database = database
        self._most_bytes = most_mb * _MIB
        # When a folder was first seen without its row, and whether this disk and this database belong together.
        self._missed: dict[str, float] = {}
        self._is_ours = False

    async def add(self, snapshot: DataSnapshot, folder: Path) -> bool:
        """Copy a stored snapshot whose parts lie in ``folder``; return whether there is a whole copy now.

        The snapshot does not need its copy, so an error is only logged.

        Cancellation: there is a part of the copy, which ``fetch`` does not take for a whole one.
        """
        if snapshot.size_bytes > self._most_bytes:
            return False
        try:
            for part in snapshot.parts:
                for number, start in enumerate(range(0, part.size_bytes, _CHUNK_BYTES)):
                    chunk = await trio.to_thread.run_sync(_read_at, folder / part.file, start)
                    await self._database.write(partial(_insert, snapshot.id, part.file, number, chunk))
        except (OSError, IntegrityError, PreviewError) as error:
            # Perhaps it was deleted meanwhile.
            log.warning("data snapshot not shared", snapshot_id=snapshot.id, why=str(error))
            return False
        return True

    async def fetch(self, snapshot: DataSnapshot, folder: Path) -> bool:
        """Write the parts into ``folder``; return false if there is no whole copy. The caller compares the hashes.

        Raises:
            DatabaseUnavailable: The database did not respond.
            OSError: The folder cannot be written.

        Cancellation: the folder has a part of it.
        """
        for part in snapshot.parts:
            if not await self._fetch_part(snapshot.id, part, folder / part.file):
                return False
        return True

    async def bring(self, snapshot: DataSnapshot, folder: Path, kept: Path) -> None:
        """Fetch a snapshot into ``folder``, which then becomes ``kept``.

        Raises:
            DataUnavailable: There is no whole copy, it has changed, or it cannot be written.

        Cancellation: ``kept`` is whole, or not there.
        """
        try:
            await trio.to_thread.run_sync(remove_fetched, kept.parent, _KEPT_S)
            if not await self.fetch(snapshot, folder):
                raise DataUnavailable(
                    f"The data snapshot {snapshot.id} is on another node of the cluster; only snapshots of up to "
                    f"{self._most_bytes // _MIB} MiB are on all (PREVIEW_CLUSTER_SNAPSHOT_MB)."
                )
            bare = tuple(replace(part, size_bytes=0, sha256="") for part in snapshot.parts)
            if await in_thread(partial(measure_parts, folder, bare)) != snapshot.parts:
                raise DataUnavailable(
                    f"The data snapshot {snapshot.id} is damaged: its copy in the database has changed."
                )
            await trio.to_thread.run_sync(open_to_programs, folder, snapshot.parts)
            await trio.to_thread.run_sync((folder / _FETCHED).touch)
            await trio.to_thread.run_sync(os.rename, folder, kept)
        except OSError as error:
            failure = error
        else:
            return
        # Perhaps two have fetched it at once.
        if not await trio.to_thread.run_sync(kept.is_dir):
            raise DataUnavailable(f"The data snapshot cannot be fetched: {failure.strerror or failure}.") from failure

    async def remove_deleted(self, root: Path) -> int:
        """Remove this node's folders of snapshots that any node has deleted an hour ago; return their number.

        As long as no folder has a row, all stay: the database, or the disk, may be another one by mistake.

        Cancellation: some of them may be left.
        """
        there = await trio.to_thread.run_sync(_kept_in, root)
        known = await self._database.read(lambda connection: set(connection.scalars(select(data_snapshots.c.id))))
        self._is_ours = self._is_ours or not known.isdisjoint(there)
        now = trio.current_time()
        self._missed = {one: self._missed.get(one, now) for one in there - known}
        gone = [one for one, at in self._missed.items() if self._is_ours and now - at >= _KEPT_S]
        for one in gone:
            await trio.to_thread.run_sync(remove_folder, root / one)
        return len(gone)

    async def _fetch_part(self, snapshot_id: str, part: Part, file: Path) -> bool:
        await trio.to_thread.run_sync(file.write_bytes, b"")
        for number, expected in enumerate(_sizes(part.size_bytes)):
            chunk = await self._database.read(partial(_read, snapshot_id, part.file, number))
            if chunk is None or len(chunk) != expected:
                return False
            await trio.to_thread.run_sync(_append, file, chunk)
        return True


def remove_fetched(root: Path, older_s: float = 0.0) -> None:
    """Remove fetched snapshots: other nodes may have deleted them since. Blocks."""
    if not root.is_dir():
        return
    before = time.time() - older_s
    for folder in list(root.iterdir()):
        with suppress(FileNotFoundError):
            if (folder / _FETCHED).stat().st_mtime <= before:
                remove_folder(folder)


def _kept_in(root: Path) -> set[str]:
    """Return the names of the folders of snapshots. Blocks."""
    if not root.is_dir():
        return set()
    return {one.name for one in root.iterdir() if one.name.startswith("snapshot_") and is_valid_id(one.name)}


def _sizes(size_bytes: int) -> Iterator[int]:
    """Return the sizes of the chunks of a part."""
    for start in range(0, size_bytes, _CHUNK_BYTES):
        yield min(_CHUNK_BYTES, size_bytes - start)


def _read_at(file: Path, start: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(_CHUNK_BYTES)


def _append(file: Path, chunk: bytes) -> None:
    with file.open("ab") as opened:
        opened.write(chunk)


def _insert(snapshot_id: str, file: str, number: int, chunk: bytes, connection: Connection) -> None:
    row = {"snapshot_id": snapshot_id, "file": file, "number": number, "content": chunk}
    connection.execute(insert(snapshot_contents).values(row))


def _read(snapshot_id: str, file: str, number: int, connection: Connection) -> bytes | None:
    query = select(_C.content).where(_C.snapshot_id == snapshot_id, _C.file == file, _C.number == number)
    found: bytes | None = connection.scalar(query)
    return None if found is None else bytes(found)
