"""The audit trail in the database: tampering, retention, outages, and a service that is killed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from sqlalchemy import Connection, delete, update
from sqlalchemy.exc import IntegrityError

from preview.auth.audit import trail
from preview.auth.audit.entry import BROKEN, AuditEntry
from preview.auth.audit.notebook import Notebook
from preview.auth.audit.rows import COLUMNS, Retention
from preview.auth.audit.trail import Audit
from preview.core.clock import now_ms
from preview.errors import DatabaseUnavailable
from preview.storage.database import Database, open_database
from preview.storage.people_tables import audit_trail


async def noted(book: Audit, *subjects: str) -> None:
    async with trio.open_nursery() as nursery:
        for one in subjects:
            nursery.start_soon(book.note, "ann", "launched", one, "")


async def test_tampering_in_the_database_is_found_and_named(database: Database, tmp_path: Path) -> None:
    book = Audit(database, tmp_path)
    await noted(book, *"abcdef")
    assert (await book.verify()).fault is None

    def change(connection: Connection) -> None:
        connection.execute(update(audit_trail).where(COLUMNS.seq == 3).values(outcome="refused"))

    await database.write(change)
    fault = (await book.verify()).fault
    assert fault is not None
    assert (fault.seq, fault.problem) == (3, "#3 was changed, or moved")


async def test_two_nodes_write_one_trail_at_the_same_moment(postgres_database_url: str, tmp_path: Path) -> None:
    async with open_database(postgres_database_url) as first, open_database(postgres_database_url) as second:
        books = [Audit(database, tmp_path / str(number)) for number, database in enumerate((first, second))]
        async with trio.open_nursery() as nursery:
            for book in books:
                for name in "abcdefgh":
                    nursery.start_soon(noted, book, f"{name}1", f"{name}2")
        # Each node knows what it has written, also after entries of the other one.
        for book in books:
            verdict = await book.verify()
            assert (verdict.fault, verdict.count) == (None, 32)


async def test_a_cut_tail_is_found_also_after_the_next_start(database: Database, tmp_path: Path) -> None:
    await noted(Audit(database, tmp_path), *"abcdef")
    await database.write(lambda connection: connection.execute(delete(audit_trail).where(COLUMNS.seq > 4)))
    book = Audit(database, tmp_path)
    fault = (await book.verify()).fault
    assert fault is not None
    assert (fault.seq, fault.problem) == (5, "#5 to #6 missing at the end: the service had written them")
    # Going on does not cover it up.
    await noted(book, "g")
    items, _ = await book.list(user_id=None, cursor=None, limit=10)
    assert [one.action for one in items if one.seq == 5] == [BROKEN]
    fault = (await book.verify()).fault
    assert fault is not None
    assert fault.seq == 5


async def test_retention_keeps_the_chain_and_says_what_it_removed(database: Database, tmp_path: Path) -> None:
    book = Audit(database, tmp_path, Retention(most=20))
    for _ in range(6):
        await noted(book, *"abcdefgh")
        await book.remove_old()
    verdict = await book.verify()
    assert verdict.fault is None
    assert verdict.first > 20
    assert verdict.count <= 22
    await database.write(lambda connection: connection.execute(delete(audit_trail).where(COLUMNS.seq == verdict.first)))
    fault = (await book.verify()).fault
    assert fault is not None
    assert fault.seq == verdict.first


async def test_old_entries_are_removed_by_their_age(database: Database) -> None:
    book = Audit(database, None, Retention(age_ms=600_000))
    old = AuditEntry("audit_old", now_ms() - 3_600_000, "ann", "ann", "launched")
    await book.finish(old)
    await noted(book, "new")
    assert await book.remove_old() == 1
    assert await book.remove_old() == 0
    assert (await book.verify()).fault is None


async def test_changes_of_a_killed_service_have_an_entry_after_the_next_start(
    database: Database, tmp_path: Path
) -> None:
    killed = Audit(database, tmp_path)
    started, refused, done = (
        AuditEntry.new("ann", "launched", subject=name) for name in ("started", "refused", "done")
    )
    for one in (started, refused, done):
        killed.begin(one)
    killed.drop(refused)
    await killed.finish(done)
    killed.note_soon(AuditEntry.new("guest Gus", "log read", "ann", subject="soon"))
    with (tmp_path / "pending").open("ab") as file:
        file.write(b'{"id": "audit_torn", "at_ms": 1, "us')
    # The next start: twice, as if it were killed, too.
    for _ in range(2):
        book = Audit(database, tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(book.run)
            nursery.cancel_scope.cancel()
    items, _ = await book.list(user_id="ann", cursor=None, limit=10)
    assert {(one.subject, one.outcome) for one in items} == {("started", "unknown"), ("done", "ok"), ("soon", "ok")}
    assert (await book.verify()).fault is None


async def test_entries_of_an_outage_are_stored_afterwards_and_the_queue_has_a_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "_MOST_WAITING", 3)
    book, write = Audit(database), database.write

    async def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("no database")

    monkeypatch.setattr(database, "write", refuse)
    for name in "abc":
        with pytest.raises(DatabaseUnavailable):
            await book.note("ann", "launched", name, "")
    await book.note("ann", "launched", "too many", "")
    assert book.lost == 1
    monkeypatch.setattr(database, "write", write)
    await book.verify()
    items, _ = await book.list(user_id="ann", cursor=None, limit=10)
    assert sorted(one.subject for one in items) == ["a", "b", "c"]


async def test_the_same_reading_is_one_entry(database: Database) -> None:
    book = Audit(database)
    for name in ("gus", "gus", "eve", "gus"):
        book.note_soon(AuditEntry.new(f"guest {name}", "log read", "ann", subject="gen_1"))
    assert (await book.verify()).count == 2


async def test_an_error_of_the_database_itself_is_no_end_of_the_service(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, write = Audit(database, tmp_path), database.write

    async def refuse(*_: object, **__: object) -> None:
        raise IntegrityError("INSERT", {}, Exception("duplicate"))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            monkeypatch.setattr(database, "write", refuse)
            await nursery.start(book.run)
            with pytest.raises(DatabaseUnavailable, match="cannot be written"):
                await book.note("ann", "launched", "a", "")
            monkeypatch.setattr(database, "write", write)
            assert (await book.verify()).count == 1
            nursery.cancel_scope.cancel()


def test_an_entry_after_a_short_write_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook(tmp_path)
    notebook.recover()
    entries = [AuditEntry.new("ann", "launched", subject=name) for name in ("first", "cut", "next")]
    notebook.write(entries[0])
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:9]))
        notebook.write(entries[1])
    notebook.write(entries[2])
    notebook.close()
    again = Notebook(tmp_path)
    assert [one.subject for one in again.recover()] == ["first", "cut", "next"]
    again.close()


async def test_a_guest_of_one_link_does_not_use_up_the_entries_of_another(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guests choose their names, also those of other guests and of users."""
    monkeypatch.setattr(trail, "MOST_OF_USER", 5)
    monkeypatch.setattr(trail, "MOST_OF_LINK", 3)
    book = Audit(database, tmp_path)
    for via, names, count in (
        ("share share_a", ("Gus", "ann", "Eve"), 9),
        ("share share_b", ("Gus",), 2),
        ("share share_c", ("Gus",), 2),
        ("bearer", (), 4),
    ):
        for number in range(count):
            user = f"guest {names[number % len(names)]}" if names else "ann"
            await book.note(user, "opened", f"{via} {number}", "", via=via, owner_id="ann")
    items, _ = await book.list(user_id=None, cursor=None, limit=50)
    found = [one.via for one in items]
    # All links of an owner together have what a user has, apart from the owner's own.
    counts = [found.count(via) for via in ("share share_a", "share share_b", "share share_c", "bearer")]
    assert counts == [3, 2, 0, 4]
    assert book.lost == 0


async def test_refused_requests_use_up_no_room_of_what_is_done(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder of a user's weakest token chooses how many are refused."""
    monkeypatch.setattr(trail, "MOST_OF_USER", 4)
    monkeypatch.setattr(trail, "MOST_REFUSED", 2)
    book = Audit(database, tmp_path)
    for number in range(20):
        await book.note("ann", "alert deleted", f"{number}", "", outcome="refused")
    for number in range(4):
        await book.note("ann", "shared", f"{number}", "")
    items, _ = await book.list(user_id="ann", cursor=None, limit=50)
    assert [one.action for one in items].count("shared") == 4
    refused = [one for one in items if one.outcome == "refused"]
    assert len(refused) == 2
    assert refused[0].detail.endswith("(further refused requests of this day are left out)")


async def test_each_address_that_opens_a_link_is_an_entry(database: Database) -> None:
    book = Audit(database)
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        for via in ("share share_a", "link"):
            book.note_soon(AuditEntry.new("visitor", "opened", "ann", via=via, address=address))
    assert (await book.verify()).count == 4


async def test_pages_of_the_whole_trail_follow_the_numbers(database: Database) -> None:
    """A request that began early may be stored late."""
    book = Audit(database)
    for number in range(6):
        entry = AuditEntry.new("ann", "launched", subject=f"{number}")
        await book.finish(replace(entry, at_ms=entry.at_ms - number * 1000))
    found, cursor = await book.list(user_id=None, cursor=None, limit=4)
    rest, last = await book.list(user_id=None, cursor=cursor, limit=4)
    assert [one.seq for one in (*found, *rest)] == [6, 5, 4, 3, 2, 1]
    assert last is None
    # Of one user, by time.
    mine, _ = await book.list(user_id="ann", cursor=None, limit=4)
    assert [one.seq for one in mine] == [1, 2, 3, 4]
