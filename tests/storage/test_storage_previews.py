from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, func, insert, select

from preview.core.lifecycle import ACTIVE, NO_RELOADS, Health, Reloads, State, reloads_of
from preview.errors import InvalidRequest, PreviewNotFound
from preview.storage import Database, PreviewRecord, PreviewStore, UserStore
from preview.storage.previews import to_row
from preview.storage.tables import preview_instances, preview_logs
from preview.storage.users import decode_cursor, encode_cursor

T = TypeVar("T")
START = datetime(2026, 11, 21, 8, 0, 0, 123_000, tzinfo=UTC)


def make_record(preview_id: str = "preview_a", **values: object) -> PreviewRecord:
    base = PreviewRecord(
        id=preview_id,
        generation_id="gen_1",
        project_id="project_1",
        user_id="user_1",
        state=State.STARTING,
        health=Health.UNKNOWN,
        created_at=START,
        expires_at=START + timedelta(hours=1),
        token_hash="0" * 64,
        token_expires_at=START + timedelta(minutes=30),
        log_level="ERROR",
        last_seq=4711,
    )
    return replace(base, **values)  # type: ignore[arg-type]  # dataclasses.replace is untyped here


FULL = make_record(
    state=State.FAILED,
    health=Health.UNHEALTHY,
    port=3001,
    base_url="http://localhost:3001",
    health_path="/health",
    runtime="sandbox",
    pid=4_194_304,
    pid_start_ticks=2**40,
    boot_id="6f1c3c2e-6d43-4b0e-9d0a-0d9c5d5f8a11",
    started_at=START + timedelta(milliseconds=1),
    stopped_at=START + timedelta(milliseconds=999),
    last_health_check=START + timedelta(seconds=5),
    reason="It ended with signal SIGKILL: out of memory? ✓",
    exit_code=255,
    reloads=Reloads(3, (120, 340)),
    exit_signal=9,
    directory="/var/lib/preview/previews/preview_a",
    revision=7,
    launch_settings='{"network": "none"}',
)


async def add_lines(database: Database, preview_id: str, count: int) -> None:
    rows = [
        {"preview_id": preview_id, "seq": seq, "timestamp": 0, "level": 20, "source": "child.preview", "message": "m"}
        for seq in range(1, count + 1)
    ]
    await database.write(lambda connection: connection.execute(insert(preview_logs), rows))


async def count_lines(database: Database) -> int:
    query = select(func.count()).select_from(preview_logs)
    return await database.read(lambda connection: connection.scalar(query)) or 0


@pytest.fixture
def store(database: Database) -> PreviewStore:
    return PreviewStore(database)


def test_each_field_has_its_column_and_each_column_its_field() -> None:
    assert set(to_row(FULL)) == set(preview_instances.c.keys())
    unset = [field.name for field in fields(FULL) if getattr(FULL, field.name) is None]
    assert unset == [], "the full record of these tests must have every field"


@pytest.mark.parametrize("record", [make_record(), FULL], ids=["least", "full"])
async def test_what_was_inserted_is_read_back(store: PreviewStore, record: PreviewRecord) -> None:
    await store.insert(record)
    assert await store.get(record.id) == record


async def test_an_update_overwrites_the_whole_row(store: PreviewStore) -> None:
    await store.insert(FULL)
    await store.insert(make_record("preview_other", generation_id="gen_2"))
    await store.update(make_record(FULL.id, state=State.STOPPED))
    assert await store.get(FULL.id) == make_record(FULL.id, state=State.STOPPED)
    assert await store.get("preview_other") == make_record("preview_other", generation_id="gen_2")


async def test_an_ended_preview_is_not_revived_by_a_late_update(store: PreviewStore) -> None:
    await store.insert(FULL)
    with pytest.raises(PreviewNotFound, match="has ended"):
        await store.update(make_record(FULL.id, state=State.RUNNING))
    assert await store.get(FULL.id) == FULL


async def test_an_update_of_nothing_is_told(store: PreviewStore) -> None:
    with pytest.raises(PreviewNotFound, match="preview_a"):
        await store.update(make_record())


async def test_there_is_nothing_for_an_unknown_id(store: PreviewStore) -> None:
    assert await store.get("preview_none") is None
    assert await store.latest("gen_none") is None


@pytest.mark.parametrize("preview_id", ["", "a\0b", "\ud800", "a b"])
async def test_there_is_nothing_for_what_cannot_be_an_id(store: PreviewStore, preview_id: str) -> None:
    assert await store.get(preview_id) is None


async def test_text_that_no_database_takes_is_made_harmless(store: PreviewStore) -> None:
    await store.insert(make_record(reason="a\0b\ud800c"))
    found = await store.get("preview_a")
    assert found is not None
    assert found.reason == "a\N{REPLACEMENT CHARACTER}b?c"


async def test_the_latest_is_the_newest_in_whatever_state(store: PreviewStore) -> None:
    for number, state in enumerate([State.STOPPED, State.FAILED, State.STOPPED]):
        await store.insert(make_record(f"preview_{number}", state=state, created_at=START + timedelta(hours=number)))
    await store.insert(make_record("preview_x", generation_id="gen_2", created_at=START + timedelta(days=9)))
    found = await store.latest("gen_1")
    assert found is not None
    assert found.id == "preview_2"


async def test_the_latest_is_the_one_made_last_though_the_clock_was_set_back(store: PreviewStore) -> None:
    await store.insert(make_record("preview_before", state=State.STOPPED))
    later = make_record("preview_after", created_at=START - timedelta(days=1))
    await store.insert(later)
    await store.update(replace(later, state=State.FAILED))
    found = await store.latest("gen_1")
    assert found is not None
    assert found.id == "preview_after"


async def test_unfinished_are_those_that_still_hold_something_oldest_first(store: PreviewStore) -> None:
    for number, state in enumerate(State):
        await store.insert(make_record(f"preview_{state}", state=state, created_at=START - timedelta(hours=number)))
    found = await store.unfinished()
    assert {record.state for record in found} == ACTIVE
    assert [record.created_at for record in found] == sorted(record.created_at for record in found)


@pytest.mark.parametrize("state", State)
def test_a_preview_is_active_while_it_holds_something(state: State) -> None:
    assert make_record(state=state).is_active == (state in ACTIVE)


# Lists


async def test_pages_list_each_preview_once_newest_first(store: PreviewStore) -> None:
    # Two share each moment: the id decides.
    for number in range(10):
        moment = START + timedelta(milliseconds=number // 2)
        await store.insert(make_record(f"preview_{number}", generation_id=f"gen_{number}", created_at=moment))
    await store.insert(make_record("preview_other", user_id="user_2"))
    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while True:
        records, cursor = await store.list_for_user("user_1", state=None, cursor=cursor, limit=3)
        seen += [record.id for record in records]
        pages += 1
        if cursor is None:
            break
    assert seen == [f"preview_{number}" for number in reversed(range(10))]
    assert pages == 4


async def test_a_page_that_is_just_full_is_the_last(store: PreviewStore) -> None:
    for number in range(3):
        await store.insert(make_record(f"preview_{number}"))
    records, cursor = await store.list_for_user("user_1", limit=3)
    assert (len(records), cursor) == (3, None)


async def test_a_list_by_state_has_only_those(store: PreviewStore) -> None:
    for state in State:
        await store.insert(make_record(f"preview_{state}", state=state))
    records, cursor = await store.list_for_user("user_1", state=State.FAILED, cursor=None, limit=50)
    assert ([record.id for record in records], cursor) == (["preview_failed"], None)


@pytest.mark.parametrize("limit", [-1, 0])
async def test_a_limit_out_of_bounds_is_brought_into_them(store: PreviewStore, limit: int) -> None:
    await store.insert(make_record())
    records, _ = await store.list_for_user("user_1", limit=limit)
    assert len(records) == 1


@pytest.mark.parametrize(
    "cursor",
    [
        "", "?", "a", "ä", "AAAA", "=" * 8, "x" * 10_000,
        base64.urlsafe_b64encode(b"12").decode(),
        base64.urlsafe_b64encode(b"12:").decode(),
        base64.urlsafe_b64encode(b":id").decode(),
        base64.urlsafe_b64encode(b"-1:id").decode(),
        base64.urlsafe_b64encode(b"9999999999999999999:id").decode(),
        base64.urlsafe_b64encode(b"12:a\0b").decode(),
        base64.urlsafe_b64encode("١٢:id".encode()).decode(),
        base64.urlsafe_b64encode(b"12:\xff").decode(),
    ],
)  # fmt: skip
async def test_a_cursor_that_we_did_not_give_is_refused(store: PreviewStore, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor") as caught:
        await store.list_for_user("user_1", cursor=cursor)
    assert caught.value.details == {"field": "cursor"}


@given(st.integers(0, 2**63 - 1), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128))
def test_a_cursor_leads_back_to_its_row(moment: int, row_id: str) -> None:
    cursor = encode_cursor(moment, row_id)
    assert decode_cursor(cursor) == (moment, row_id)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=64))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        moment, row_id = decode_cursor(text)
    except InvalidRequest:
        return
    assert decode_cursor(encode_cursor(moment, row_id)) == (moment, row_id)


# Retention


async def test_retention_deletes_ended_previews_with_all_their_lines(store: PreviewStore, database: Database) -> None:
    await store.insert(make_record("preview_old", state=State.STOPPED, stopped_at=START))
    await store.insert(make_record("preview_new", state=State.FAILED, stopped_at=START + timedelta(days=1)))
    await store.insert(make_record("preview_live", state=State.RUNNING, created_at=START - timedelta(days=30)))
    # More than one transaction may delete.
    await add_lines(database, "preview_old", 10_001)
    await add_lines(database, "preview_new", 3)
    before = int((START + timedelta(hours=1)).timestamp() * 1000)
    assert await store.delete_ended_before(before, 100) == 1
    assert await store.get("preview_old") is None
    assert await store.get("preview_new") is not None
    assert await store.get("preview_live") is not None
    assert await count_lines(database) == 3


async def test_retention_deletes_no_more_than_asked_for_and_the_oldest_first(store: PreviewStore) -> None:
    for number in range(5):
        ended = START - timedelta(hours=number)
        await store.insert(make_record(f"preview_{number}", state=State.STOPPED, stopped_at=ended))
    now = int(START.timestamp() * 1000) + 1
    assert await store.delete_ended_before(now, 2) == 2
    assert [await store.get(f"preview_{number}") is None for number in range(5)] == [False, False, False, True, True]
    assert await store.delete_ended_before(now, 100) == 3
    assert await store.delete_ended_before(now, 100) == 0


async def test_an_ended_preview_without_a_moment_counts_from_its_creation(store: PreviewStore) -> None:
    await store.insert(make_record(state=State.FAILED, stopped_at=None))
    assert await store.delete_ended_before(int(START.timestamp() * 1000) + 1, 10) == 1


async def test_lines_go_with_their_preview(store: PreviewStore, database: Database) -> None:
    await store.insert(make_record())
    await add_lines(database, "preview_a", 2)
    gone = preview_instances.delete()
    await database.write(lambda connection: connection.execute(gone))
    assert await count_lines(database) == 0


# Users


async def test_a_user_without_a_row_has_no_tier(database: Database) -> None:
    assert await UserStore(database).tier("user_1") is None


async def test_a_user_is_free_until_told_otherwise(database: Database) -> None:
    users = UserStore(database)
    await users.ensure("auth0|someone@example.org")
    assert await users.tier("auth0|someone@example.org") == "free"


async def test_ensuring_a_user_again_changes_only_a_tier_that_is_given(database: Database) -> None:
    users = UserStore(database)
    await users.ensure("user_1", "pro")
    await users.ensure("user_1")
    assert await users.tier("user_1") == "pro"
    await users.ensure("user_1", "enterprise")
    assert await users.tier("user_1") == "enterprise"


async def test_a_deleted_generation_s_previews_are_nobody_s_and_then_gone(
    store: PreviewStore, database: Database
) -> None:
    kept = [make_record("preview_other", generation_id="gen_2"), make_record("preview_bob", user_id="bob")]
    for record in (make_record("preview_a", state=State.STOPPED), make_record("preview_live"), *kept):
        await store.insert(record)
        await add_lines(database, record.id, 3)
    assert await store.disown("gen_1", "user_1") == 2
    assert [one.id for one in (await store.list_for_user("user_1"))[0]] == ["preview_other"]
    assert (await store.latest("gen_1")) == replace(kept[1], created_at=(await _created(store, "preview_bob")))
    # The row's user stays as the deletion has left it, whatever a preview that ends now writes.
    await store.update(make_record("preview_live", state=State.STOPPED))
    assert [one.id for one in (await store.list_for_user("user_1"))[0]] == ["preview_other"]
    assert await store.delete_disowned() == 2
    assert await store.delete_disowned() == 0
    assert await count_lines(database) == 6
    assert await store.get("preview_a") is None
    assert await store.get("preview_other") is not None


async def _created(store: PreviewStore, preview_id: str) -> datetime:
    record = await store.get(preview_id)
    assert record is not None
    return record.created_at


async def test_many_lines_are_deleted_in_short_transactions(
    store: PreviewStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others' writes come in between: none waits for more than one part."""
    await store.insert(make_record("preview_a", state=State.STOPPED))
    await store.insert(make_record("preview_b", user_id="bob"))
    await add_lines(database, "preview_a", 35_000)
    await store.disown("gen_1", "user_1")
    write, left = Database.write, [35_000]

    async def write_and_look(opened: Database, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        found = await write(opened, change, size_bytes=size_bytes)
        if isinstance(change, partial):
            left.append(await count_lines(database))
            with trio.fail_after(60):
                await store.update(make_record("preview_b", user_id="bob"))
        return found

    monkeypatch.setattr(Database, "write", write_and_look)
    await store.delete_disowned()
    monkeypatch.undo()
    assert len(left) > 4
    assert all(before - after <= 10_000 for before, after in itertools.pairwise(left))
    assert await count_lines(database) == 0


def test_the_lines_of_the_newest_reloads_are_kept() -> None:
    reloads = NO_RELOADS
    assert (reloads.to_text(), reloads.first_lines) == (None, [1])
    for line in range(2, 504):
        reloads = reloads.after(line)
    assert (reloads.count, len(reloads.lines)) == (502, 500)
    assert reloads.first_lines[:4] == [None, None, None, 4]
    assert reloads.first_lines[reloads.count] == 503
    assert reloads_of(reloads.to_text()) == reloads
