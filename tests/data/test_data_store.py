"""Stored data snapshots: limits, damage, what a killed service leaves, and the way back from automatic ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete

from preview.core.ids import new_snapshot_id
from preview.data import DataSnapshot, Part, SnapshotKind, SnapshotStore
from preview.errors import DatabaseUnavailable, DataUnavailable, SnapshotLimitReached, SnapshotNotFound
from preview.settings import Settings
from preview.storage import Database
from preview.storage.tables import data_snapshots

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def settings(make_settings_in: Callable[..., Settings]) -> Settings:
    return make_settings_in(snapshots_per_user=2, snapshots_mb=1)


@pytest.fixture
def store(settings: Settings, database: Database) -> SnapshotStore:
    return SnapshotStore(settings, database)


def new(
    kind: SnapshotKind = SnapshotKind.MANUAL, *, user: str = "ann", generation: str = "g1", age: int = 0
) -> DataSnapshot:
    return DataSnapshot(
        new_snapshot_id(), generation, user, "name", kind, BEGAN - timedelta(seconds=age), 1,
        (Part("PostgreSQL", "postgresql.sql", 0, ""),),
    )  # fmt: skip


async def keep(store: SnapshotStore, snapshot: DataSnapshot, content: bytes = b"text") -> DataSnapshot:
    async with store.open_folder() as folder:
        (folder / "postgresql.sql").write_bytes(content)
        return await store.keep(snapshot, folder)


async def test_it_is_listed_with_size_and_hash_and_read_as_it_was(store: SnapshotStore) -> None:
    kept = await keep(store, new())
    assert (kept.size_bytes, kept.parts[0].size_bytes) == (4, 4)
    # The same data has the same hash.
    assert kept.sha256 == (await keep(store, new(age=10))).sha256
    assert (await store.list_for("g1"))[0] == kept
    assert await store.get("g1", "ann", kept.id) == kept
    assert (await store.verify(kept) / "postgresql.sql").read_bytes() == b"text"


async def test_another_generation_or_user_does_not_have_it(store: SnapshotStore) -> None:
    kept = await keep(store, new())
    for user, odd in (("bob", kept.id), ("ann", "../x"), ("ann", "a\0b")):
        with pytest.raises(SnapshotNotFound):
            await store.get("g1", user, odd)
    assert await store.list_for("g1", "bob") == []
    with pytest.raises(SnapshotNotFound, match=kept.id):
        await store.get("g2", "ann", kept.id)


@pytest.mark.parametrize("content", [b"texT", b"text more", b"", None])
async def test_damage_is_found(store: SnapshotStore, content: bytes | None) -> None:
    kept = await keep(store, new())
    file = store.folder(kept) / "postgresql.sql"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(DataUnavailable, match="damaged"):
        await store.verify(kept)


async def test_a_user_keeps_so_many_and_so_large_ones(store: SnapshotStore, settings: Settings) -> None:
    await store.check("ann")
    await keep(store, new())
    # Those that the service takes by itself do not count, but for their size.
    await keep(store, new(SnapshotKind.BEFORE_RESET))
    await store.check("ann")
    await keep(store, new())
    with pytest.raises(SnapshotLimitReached, match="the maximum is 2"):
        await store.check("ann")
    await store.check("bob")
    with pytest.raises(SnapshotLimitReached, match="1 MiB"):
        await keep(store, new(user="bob"), bytes(1024**2 + 1))
    assert await store.list_for("g1") != []
    # Nothing of it is left.
    assert len(list((settings.data_dir / "snapshots").iterdir())) == 3


async def test_one_that_is_needed_is_not_dropped_for_newer_ones(store: SnapshotStore) -> None:
    made = [await keep(store, new(SnapshotKind.BEFORE_RESTORE, age=9 - number)) for number in range(3)]
    async with store.open_folder() as folder:
        (folder / "postgresql.sql").write_bytes(b"now")
        await store.keep(new(SnapshotKind.BEFORE_RESTORE), folder, needed=made[0].id)
    assert store.folder(made[0]).exists()


async def test_saves_at_once_keep_no_more_than_allowed(store: SnapshotStore) -> None:
    await store.check("ann")
    await keep(store, new())
    await keep(store, new())
    # As a save that was checked before the other two were kept.
    with pytest.raises(SnapshotLimitReached):
        await keep(store, new())


async def test_the_last_automatic_ones_are_kept(store: SnapshotStore) -> None:
    made = [await keep(store, new(SnapshotKind.BEFORE_RESTORE, age=9 - number)) for number in range(5)]
    assert [one.id for one in await store.list_for("g1")] == [one.id for one in reversed(made[2:])]
    assert not store.folder(made[0]).exists()


async def test_a_removed_one_is_hidden_and_comes_back(store: SnapshotStore) -> None:
    kept = await keep(store, new(SnapshotKind.FORK))
    for _ in range(2):
        await store.remove(kept)
        assert (await store.list_for("g1", "ann"), store.first_data("g1")) == ([], None)
        with pytest.raises(SnapshotNotFound):
            await store.get("g1", "ann", kept.id)
        assert [one for one, _ in await store.list_removed("g1", "ann")] == [kept]
        for generation, user in (("g1", "bob"), ("g2", "ann")):
            with pytest.raises(SnapshotNotFound):
                await store.bring_back(generation, user, kept.id)
            assert await store.list_removed(generation, user) == []
        assert await store.bring_back("g1", "ann", kept.id) == kept
        assert (await store.list_for("g1", "ann"), store.first_data("g1")) == ([kept], kept.id)
    with pytest.raises(SnapshotNotFound):
        await store.bring_back("g1", "ann", kept.id)
    assert (await store.verify(kept) / "postgresql.sql").read_bytes() == b"text"


async def test_removed_ones_take_no_place_and_are_few(store: SnapshotStore, settings: Settings) -> None:
    made = []
    for _ in range(7):
        made.append(await keep(store, new()))
        await store.remove(made[-1])
    assert [one.id for one, _ in await store.list_removed("g1", "ann")] == [one.id for one in made[:1:-1]]
    assert not store.folder(made[0]).exists()
    # Two may be kept, so the third does not come back.
    for one in made[-2:]:
        await store.bring_back("g1", "ann", one.id)
    with pytest.raises(SnapshotLimitReached):
        await store.bring_back("g1", "ann", made[-3].id)
    # New data needs the space.
    await store.delete(made[-1])
    await keep(store, new(), bytes(1024**2 - 8))
    assert len(list((settings.data_dir / "snapshots").iterdir())) == 2 + len(await store.list_removed("g1", "ann"))
    assert len(await store.list_removed("g1", "ann")) == 1


async def test_removed_ones_are_deleted_in_time(settings: Settings, database: Database) -> None:
    store = SnapshotStore(settings, database)
    kept = await keep(store, new())
    await store.remove(kept)
    late = SnapshotStore(settings.model_copy(update={"removed_kept_s": 0.0}), database)
    assert await late.list_removed("g1", "ann") == []
    with pytest.raises(SnapshotNotFound):
        await late.bring_back("g1", "ann", kept.id)
    await store.purge()
    assert store.folder(kept).exists()
    await late.purge()
    assert not store.folder(kept).exists()
    # With no time at all, a removal is a deletion.
    other = await keep(store, new())
    await late.remove(other)
    assert not store.folder(other).exists()


async def test_what_a_killed_service_leaves_is_removed(
    store: SnapshotStore, settings: Settings, database: Database
) -> None:
    kept, without_files, without_row = [
        await keep(store, new(generation=f"g{number}", user=f"u{number}")) for number in range(3)
    ]
    (store.folder(without_files) / "postgresql.sql").unlink()
    store.folder(without_files).rmdir()
    await database.write(
        lambda connection: connection.execute(delete(data_snapshots).where(data_snapshots.c.id == without_row.id))
    )
    root = settings.data_dir / "snapshots"
    (root / ".new-0123").mkdir()
    (root / ".new-0123" / "half").touch()
    await SnapshotStore(settings, database).reconcile(has_generations=False)
    # A folder, or a row, may be missing by mistake: the disk was not mounted, or the database is another one.
    assert {path.name for path in root.iterdir()} == {kept.id, without_row.id}
    with pytest.raises(DataUnavailable, match="damaged"):
        await store.verify(without_files)
    # Their generations are not there any more.
    await SnapshotStore(settings, database).reconcile(has_generations=True)
    assert {path.name for path in root.iterdir()} == {without_row.id}
    assert await store.list_for("g0") == []


async def test_a_row_that_cannot_be_stored_leaves_no_folder(
    store: SnapshotStore, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("down")

    monkeypatch.setattr(database, "write", refuse)
    with pytest.raises(DatabaseUnavailable):
        await keep(store, new())
    assert list((settings.data_dir / "snapshots").iterdir()) == []


async def test_first_data_outlasts_the_service_and_ends_with_its_snapshot(
    store: SnapshotStore, settings: Settings, database: Database
) -> None:
    source = await keep(store, new())
    async with store.open_folder() as folder:
        await store.copy(source, folder)
        first = await store.keep(replace(new(SnapshotKind.FORK, generation="g2"), parts=source.parts), folder)
    # The copy is its own: the other's end does not harm it.
    await store.delete(source)
    again = SnapshotStore(settings, database)
    await again.reconcile(has_generations=False)
    assert (again.first_data("g1"), again.first_data("g2")) == (None, first.id)
    assert (await again.verify(first) / "postgresql.sql").read_bytes() == b"text"
    await again.forget("g2")
    assert again.first_data("g2") is None
    assert await again.list_for("g2") == []
