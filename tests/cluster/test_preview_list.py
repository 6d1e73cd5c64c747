"""The list of all live previews in a real PostgreSQL, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from ownership_kit import LEASE_MS, NOW, Tables, open_tables
from sqlalchemy import insert, text

from preview.cluster.preview_list import ListedPreview, LivePage, Placement, PreviewList
from preview.core.lifecycle import Health, State
from preview.errors import InvalidRequest
from preview.storage.previews import NOBODY, to_row
from preview.storage.tables import PreviewRecord, preview_instances


@pytest.fixture
def tables(postgres_database_url: str) -> Iterator[Tables]:
    with open_tables(postgres_database_url) as made:
        yield made


def _store(tables: Tables, *preview_ids: str, state: State = State.RUNNING, user: str = "ann") -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        to_row(
            PreviewRecord(
                id=one, generation_id=f"g-{one}", project_id="p", user_id=user, state=state, health=Health.UNKNOWN,
                created_at=at, expires_at=at, token_hash="", token_expires_at=at, log_level="INFO",
            )
        )
        for one in preview_ids
    ]  # fmt: skip
    with tables.engine.begin() as connection:
        connection.execute(insert(preview_instances), rows)


def _page(tables: Tables, cursor: str | None = None, limit: int = 100) -> LivePage:
    with tables.engine.begin() as connection:
        return PreviewList(NOW).page(connection, cursor, limit)


def _shown(tables: Tables) -> dict[str, tuple[str | None, Placement]]:
    return {one.record.id: (one.node, one.placement) for one in _page(tables).items}


def test_a_live_preview_runs_waits_or_is_lost(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    for member, preview_id in ((one, "p1"), (one, "p2"), (two, "p3"), (two, "p4"), (two, "p5")):
        tables.claim(member, preview_id, f"g-{preview_id}", most=9)
    _store(tables, "p1", "p2", "p3")
    # Its generation was deleted: the operator sees who has launched it.
    _store(tables, "p4", user=NOBODY)
    # It has ended, and its owner has not given it up yet.
    _store(tables, "p5", state=State.STOPPED)
    assert tables.give_up("one", "p2", 1)
    assert _shown(tables) == {
        "p1": ("one", Placement.PLACED),
        "p2": (None, Placement.QUEUED),
        "p3": ("two", Placement.PLACED),
        "p4": ("two", Placement.PLACED),
    }
    assert {item.record.user_id for item in _page(tables).items} == {"ann"}
    assert _page(tables).capacity == 20
    tables.wait(LEASE_MS)
    assert tables.renew(one) is not None
    assert _shown(tables)["p3"] == ("two", Placement.LOST)
    assert _shown(tables)["p1"] == ("one", Placement.PLACED)
    assert _page(tables).capacity == 10
    assert set(tables.take(one)) >= {"p2", "p3"}
    assert _shown(tables)["p3"] == ("one", Placement.PLACED)
    assert tables.release("one", "p3", 2)
    assert "p3" not in _shown(tables)


def test_trials_are_not_listed(tables: Tables) -> None:
    member = tables.join("one")
    tables.claim(member, "p1")
    _store(tables, "p1")
    with tables.engine.begin() as connection:
        connection.execute(text("UPDATE owners SET state = 'trial'"))
    assert _page(tables) == LivePage([], 0, 10, None)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_have_each_preview_once_also_of_one_moment(tables: Tables, limit: int) -> None:
    member = tables.join("one")
    ids = [f"p{number}" for number in range(7)]
    for preview_id in ids:
        tables.claim(member, preview_id, f"g-{preview_id}", most=9)
    with tables.engine.begin() as connection:
        connection.execute(text("UPDATE owners SET queued_at = CASE WHEN preview_id < 'p5' THEN 5 ELSE 4 END"))
    # A row without its preview shortens its page, and no more.
    _store(tables, *(one for one in ids if one != "p2"))
    found: list[ListedPreview] = []
    cursor, pages = None, 0
    while cursor is not None or pages == 0:
        page = _page(tables, cursor, limit)
        assert page.total == 7
        found, cursor, pages = [*found, *page.items], page.next, pages + 1
    assert [one.record.id for one in found] == ["p5", "p6", "p0", "p1", "p3", "p4"]
    assert pages == -(-7 // limit)


def test_a_wrong_cursor_is_refused(tables: Tables) -> None:
    for cursor in ("", "x", "\0", "MTox" * 100, "OTk5OTk5OTk5OTk5OTk5OTk5OTpw"):
        with pytest.raises(InvalidRequest):
            _page(tables, cursor)
