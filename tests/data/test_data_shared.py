"""Snapshots that the nodes of a cluster share: whole or not at all, bounded, and gone with their rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from sqlalchemy import delete, func, insert, select, update

from preview.core.ids import new_snapshot_id
from preview.data import DataSnapshot, Part, SnapshotKind, SnapshotStore
from preview.data.stored import shared as shared_module
from preview.data.stored.shared import SharedCopies
from preview.errors import DataUnavailable
from preview.settings import Settings
from preview.storage import Database
from preview.storage.people_tables import owners, snapshot_contents

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
# Two chunks, and a part of a third.
CONTENT = bytes(range(256)) * 4 * 2300


@pytest.fixture
def stores(
    make_settings_in: Callable[..., Settings], database: Database, tmp_path: Path
) -> tuple[SnapshotStore, SnapshotStore]:
    """Those of two nodes, which have a database together, and folders of their own."""
    settings = make_settings_in(snapshots_per_user=5, cluster_snapshot_mb=3).model_copy(update={"cluster": True})
    other = settings.model_copy(update={"data_dir": tmp_path / "other"})
    return SnapshotStore(settings, database, "one"), SnapshotStore(other, database, "two")


def new(kind: SnapshotKind = SnapshotKind.MANUAL, *, age: int = 0) -> DataSnapshot:
    parts = (Part("PostgreSQL", "postgresql.sql", 0, ""), Part("files", "files.tar", 0, ""))
    return DataSnapshot(new_snapshot_id(), "g1", "ann", "name", kind, BEGAN - timedelta(seconds=age), 1, parts)


async def keep(store: SnapshotStore, snapshot: DataSnapshot, content: bytes = CONTENT) -> DataSnapshot:
    async with store.open_folder() as folder:
        (folder / "postgresql.sql").write_bytes(content)
        (folder / "files.tar").write_bytes(b"")
        return await store.keep(snapshot, folder)


async def chunks(database: Database) -> int:
    return await database.read(
        lambda connection: connection.scalar(select(func.count()).select_from(snapshot_contents)) or 0
    )


async def move(database: Database, node: str) -> None:
    change = update(owners).values(node=node)
    await database.write(lambda connection: connection.execute(change))


@pytest.mark.parametrize("how", ["changed", "shorter", "longer", "without the second chunk", "without any"])
async def test_a_copy_that_is_not_what_was_saved_is_never_kept(
    stores: tuple[SnapshotStore, SnapshotStore], database: Database, how: str
) -> None:
    first, second = stores
    kept = await keep(first, new())
    number = snapshot_contents.c.number
    wrong = {"changed": b"x" * 2**20, "shorter": b"x", "longer": b"x" * (2**20 + 1)}.get(how)
    if wrong is not None:
        change = update(snapshot_contents).where(number == 1).values(content=wrong)
        await database.write(lambda connection: connection.execute(change))
    else:
        gone = delete(snapshot_contents).where(number >= (0 if how == "without any" else 1))
        await database.write(lambda connection: connection.execute(gone))
    with pytest.raises(DataUnavailable, match=r"on another node|damaged"):
        await second.verify(kept)
    # Nothing of it stays, so that a whole copy can be fetched later.
    assert not second.folder(kept).exists()
    assert list(second.folder(kept).parent.iterdir()) == []


async def test_another_node_reads_it_as_it_was(stores: tuple[SnapshotStore, SnapshotStore]) -> None:
    first, second = stores
    kept = await keep(first, new())
    async with trio.open_nursery() as nursery:
        # Twice at once.
        nursery.start_soon(second.verify, kept)
        nursery.start_soon(second.verify, kept)
    folder = await second.verify(await second.get("g1", "ann", kept.id))
    assert folder != first.folder(kept)
    assert (folder / "postgresql.sql").read_bytes() == CONTENT
    assert (folder / "files.tar").read_bytes() == b""


async def test_only_small_ones_and_none_before_a_restore(
    stores: tuple[SnapshotStore, SnapshotStore], database: Database
) -> None:
    first, second = stores
    large = await keep(first, new(), CONTENT + b"x" * 2**20)
    await keep(first, new(SnapshotKind.BEFORE_RESTORE))
    assert await chunks(database) == 0
    with pytest.raises(DataUnavailable, match=r"up to 3 MiB .*PREVIEW_CLUSTER_SNAPSHOT_MB"):
        await second.verify(large)
    await keep(first, new(SnapshotKind.BEFORE_MOVE))
    assert await chunks(database) == 3


async def test_it_goes_with_its_snapshot(stores: tuple[SnapshotStore, SnapshotStore], database: Database) -> None:
    first, second = stores
    kept = await keep(first, new())
    await second.verify(kept)
    await first.delete(kept)
    assert await chunks(database) == 0
    # What is stored of a deleted one is not stored again.
    assert not await SharedCopies(database, 3).add(kept, second.folder(kept))
    assert await chunks(database) == 0


async def test_fetched_ones_go_at_the_next_start_and_after_an_hour(
    stores: tuple[SnapshotStore, SnapshotStore],
) -> None:
    first, second = stores
    old, new_one = await keep(first, new()), await keep(first, new(age=1))
    fetched = await second.verify(old)
    hours_ago = (fetched / "fetched").stat().st_mtime - 2 * 3600
    os.utime(fetched / "fetched", (hours_ago, hours_ago))
    folder = await second.verify(new_one)
    assert not fetched.exists()
    await second.reconcile(has_generations=False)
    assert not folder.exists()
    await first.reconcile(has_generations=False)
    assert await first.verify(old) == first.folder(old)


async def test_folders_of_snapshots_that_another_node_has_deleted_go(
    stores: tuple[SnapshotStore, SnapshotStore], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stores
    gone, other = await keep(first, new()), await keep(first, new(age=1))
    await second.delete(gone)
    # Not at once: its row may be on its way, or a restore reads it.
    assert await first.remove_deleted() == 0
    assert first.folder(gone).is_dir()
    monkeypatch.setattr(shared_module, "_KEPT_S", 0)
    (first.folder(gone).parent / "something else").mkdir()
    assert await first.remove_deleted() == 1
    assert not first.folder(gone).exists()
    assert first.folder(other).is_dir()
    assert (first.folder(gone).parent / "something else").is_dir()
    # Another database by mistake: no folder has a row.
    alien = new()
    second.folder(alien).mkdir(parents=True)
    assert await second.remove_deleted() == 0
    assert second.folder(alien).is_dir()
    # The last one, on a node that has seen its row.
    await second.delete(other)
    assert await first.remove_deleted() == 1
    assert await second.remove_deleted() == 0


async def test_a_node_alone_copies_nothing(make_settings_in: Callable[..., Settings], database: Database) -> None:
    store = SnapshotStore(make_settings_in(), database)
    kept = await keep(store, new())
    assert await chunks(database) == 0
    assert (await store.verify(kept) / "postgresql.sql").read_bytes() == CONTENT


async def test_a_forks_first_data_is_known_on_all_nodes(stores: tuple[SnapshotStore, SnapshotStore]) -> None:
    first, second = stores
    kept = await keep(first, new(SnapshotKind.FORK))
    assert second.first_data("g1") is None
    await second.learn("g1")
    assert second.first_data("g1") == kept.id
    await first.remove(kept)
    await second.learn("g1")
    assert second.first_data("g1") is None


async def test_the_owners_row_names_the_last_one_whatever_the_clocks_say(
    stores: tuple[SnapshotStore, SnapshotStore], database: Database
) -> None:
    first, second = stores
    row = {
        "preview_id": "p", "generation_id": "g1", "user_id": "ann", "state": "running", "node": "one", "fence": 1,
        "first_seq": 1, "queued_at": 0,
    }  # fmt: skip
    await database.write(lambda connection: connection.execute(insert(owners).values(row)))
    named = select(owners.c.snapshot_id)
    await keep(first, new(SnapshotKind.FORK))
    assert await database.read(lambda connection: connection.scalar(named)) is None
    for store, kind, age in ((first, SnapshotKind.MANUAL, 0), (second, SnapshotKind.BEFORE_MOVE, 3600)):
        await move(database, "one" if store is first else "two")
        kept = await keep(store, new(kind, age=age))
        assert await database.read(lambda connection: connection.scalar(named)) == kept.id
    # A node that stood still, and has lost the preview.
    stale = await keep(first, new(age=-4))
    assert await database.read(lambda connection: connection.scalar(named)) == kept.id
    await keep(first, new(SnapshotKind.BEFORE_RESTORE, age=-5))
    assert await database.read(lambda connection: connection.scalar(named)) == kept.id
    # One that was deleted is replaced by the newest one since the launch.
    assert await first.last_own("g1", "ann", kept.id, BEGAN) == kept
    await first.remove(kept)
    assert await first.last_own("g1", "ann", kept.id, BEGAN) == stale
    assert await first.last_own("g1", "ann", kept.id, BEGAN + timedelta(seconds=9)) is None
    assert await first.last_own("g1", "ben", kept.id, BEGAN) is None
