"""Requests made to stop or delay the service. The writer outlives each of them."""

from __future__ import annotations

from pathlib import Path
from time import thread_time
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from traffic_room import TrafficRoom, draft, message, open_traffic_room

from preview.storage.database import open_database
from preview.traffic import BODY_BYTES, PreviewTraffic, Who
from preview.traffic.redaction import Redaction, Redactor
from preview.traffic.rows import RecordEncoder

# A secret of six characters that fills the target: each one becomes a mark of 19.
SWELLING = b"/?q=" + b"abcdef" * 1750


async def flushed(room: TrafficRoom) -> None:
    with trio.fail_after(20):
        await room.writer.flush("preview_a")


@pytest.mark.parametrize("cookie", ["a=abcdef; b=dacted", "a=abcdef"])
async def test_a_target_that_swells_by_its_marks_is_stored(
    sqlite_database_url: str, tmp_path: Path, cookie: str
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        traffic.record(draft(target=SWELLING, request=message(cookie=cookie)))
        traffic.record(draft())
        await flushed(room)
        first, second = [await room.store.get("preview_a", number) for number in (1, 2)]
        assert first.target.startswith("/?")
        assert "abcdef" not in first.target
        assert second.target == "/books?x=1"


BODIES = [
    # Secrets that are parts of marks, and of each other.
    (
        b"acted:" * 10_000,
        "; ".join(f"a{n}={part}" for n, part in enumerate(("acted:", "dacted", "[redac", "redacted"))),
    ),
    (b"abcdef" * 10_922, "a=abcdef; b=bcdefa; c=cdefab"),
    (bytes(range(48, 58)) * 6500, "; ".join(f"a{n}={n:06d}" for n in range(64))),
    (b"0" * 65_000, "; ".join(f"a{n}={'0' * (n + 6)}" for n in range(64))),
]


@pytest.mark.parametrize(("body", "cookie"), BODIES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json"])
def test_a_body_stays_within_its_bound(body: bytes, cookie: str, kind: str) -> None:
    sent = message(body, cookie=cookie, content_type=kind)
    started = thread_time()
    element = RecordEncoder(Redactor()).encode(draft(request=sent, response=sent), 0)
    # A tenth of this on an idle machine.
    assert thread_time() - started < 1
    assert len(element) < 2 * BODY_BYTES + 8192


@given(
    st.lists(st.sampled_from(["qrstuv", "dacted", "redacted", "[redac", "acted:", "qrstuvwx", "x", " "]), max_size=30)
)
def test_marks_stay_whole_and_no_secret_stays(words: list[str]) -> None:
    redaction = Redaction(Redactor())
    secrets = ("qrstuv", "qrstuvwx", "stuvqr", "redacted:", "[redac", "123456")
    marks = {redaction.hide(secret) for secret in secrets}
    text = "".join(words).join(marks)
    for swept in (redaction.sweep(text), redaction.sweep(redaction.sweep(text))):
        for mark in marks:
            assert swept.count(mark) >= text.count(mark)
        assert not {one for one in secrets[:3] if one in swept}
        assert len(swept) <= 4 * len(text)


async def test_a_secret_that_looks_like_a_border_of_fields(sqlite_database_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        traffic.record(draft(request=message(accept="x", cookie='a="], ["', x_other="y")))
        await flushed(room)
        found = await room.store.get("preview_a", 1)
        assert found.request is not None
        assert [name for name, _ in found.request.headers] == ["accept", "cookie", "x-other", "x-request-id"]


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/a?x=1&token=" + "s" * 5000, "/a?x=1&[redacted:cut]"),
        ("/a?" + "x" * 4090 + "&u=https://me:pass" + "word" * 9, "/a?" + "x" * 4090 + "&[redacted:cut]"),
        ("/a/" + "x" * 5000, "/a/[redacted:cut]"),
        ("/a?" + "x" * 4093, "/a?" + "x" * 4093),
    ],
)
def test_a_long_target_is_cut_at_a_border(target: str, shown: str) -> None:
    assert Redaction(Redactor()).target(target) == shown


async def test_long_targets_are_charged_to_their_preview(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.traffic.preview_traffic.WORK_S", 1e-9)
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic, other = await room.open(), await room.open("preview_b")
        long = b"/a?" + b"a=%20&" * 680
        for target in (long + b"1", long + b"2", b"/a?short=1"):
            traffic.record(draft(target=target))
        other.record(draft(target=long))
        await flushed(room)
        with trio.fail_after(20):
            await room.writer.flush("preview_b")
        shown = [(await room.store.get("preview_a", number)).target for number in (1, 2, 3)]
        # The first one used up what this preview may cause.
        assert shown == [f"{long.decode()}1", "/a?" + "a=%20&" * 10 + "[redacted:cut]", "/a?short=1"]
        assert (await room.store.get("preview_b", 1)).target == long.decode()
        assert traffic.lost_records == traffic.lost_bodies == 0


async def test_a_request_that_cannot_be_encoded_costs_itself_only(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = RecordEncoder.encode

    def failing(encoder: RecordEncoder, one: Any, last_line: int, most: int, **more: Any) -> str:
        if b"bad" in one.target or one.request is not None:
            raise ValueError("it cannot be read")
        return encode(encoder, one, last_line, most, **more)

    monkeypatch.setattr(RecordEncoder, "encode", failing)
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        traffic.record(draft(target=b"/full", request=message(b"x")))
        traffic.record(draft(target=b"/bad?token=abcdef", request=message(b"x")))
        traffic.record(draft())
        await flushed(room)
        found = {one.number: one for one in (await room.store.list("preview_a")).items}
        # The first one lost its headers and bodies, the second one everything.
        assert [found[number].target for number in sorted(found)] == ["/full", "/books?x=1"]
        assert (traffic.lost_records, traffic.lost_bodies) == (1, 1)


async def test_a_record_that_the_driver_refuses_costs_its_preview_only(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        bad, good = await room.open(), await room.open("preview_b")
        # A lone surrogate is no text that a driver can send.
        bad.record(draft(method="\ud800"))
        good.record(draft())
        await flushed(room)
        with trio.fail_after(20):
            await room.writer.flush("preview_b")
        assert (bad.lost_records, good.lost_records) == (1, 0)
        bad.record(draft())
        await flushed(room)
        assert [one.number for one in (await room.store.list("preview_a")).items] == [2]


async def test_a_bad_record_at_the_end_costs_its_preview_only(sqlite_database_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_database_url) as database:
        async with open_traffic_room(database, tmp_path) as room:
            bad, good = await room.open(), await room.open("preview_b")
            bad.record(draft(method="\ud800"))
            good.record(draft())
        assert len((await room.store.list("preview_b")).items) == 1


async def test_previews_may_begin_while_old_records_are_deleted(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_database(sqlite_database_url) as database,
        open_traffic_room(database, tmp_path, preview_requests_mb=1) as room,
    ):
        traffic = await room.open()
        await room.add_preview("preview_b")
        write = database.write
        launched: list[PreviewTraffic] = []

        async def launching(change: Any, **more: object) -> object:
            if "_delete_up_to" in repr(change) and not launched:
                launched.append(room.writer.open("preview_b", room.lines))
            return await write(change, **more)  # type: ignore[arg-type]  # as it is

        monkeypatch.setattr(database, "write", launching)
        large = draft(request=message(b"x" * 60_000, content_type="text/plain"))
        while not launched:
            traffic.record(large)
            await flushed(room)
            await trio.testing.wait_all_tasks_blocked()
        traffic.record(draft())
        await flushed(room)


async def test_an_unexpected_error_of_the_deletion_is_logged(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()

        async def failing(_live: object) -> None:
            await trio.lowlevel.checkpoint()
            raise RuntimeError("unexpected")

        monkeypatch.setattr(room.writer._retention, "trim", failing)
        for _ in range(2):
            traffic.record(draft())
            await flushed(room)
            await trio.testing.wait_all_tasks_blocked()
        assert traffic.stored_number == 2


async def test_an_ended_preview_keeps_neither_its_log_nor_its_secrets(sqlite_database_url: str, tmp_path: Path) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        traffic.listeners.append(lambda _number, _draft: None)
        sent = message(authorization="Bearer abcdef1234567890")
        number = traffic.record(draft(who=Who.OWNER, request=sent))
        assert traffic.originals.find(number) is not None
        room.lines.last_seq = 7
        traffic.close()
        await flushed(room)
        with trio.fail_after(20):
            while room.writer._open:
                await trio.testing.wait_all_tasks_blocked()
        assert room.writer.find("preview_a") is traffic
        assert traffic.originals.find(number) is None
        assert (traffic.listeners, traffic.lines.last_seq, traffic.last_number) == ([], 7, 1)
        assert traffic.lines is not room.lines
        # A request that ends after its preview is stored, and no more.
        late = traffic.record(draft(who=Who.OWNER, request=sent))
        await flushed(room)
        assert traffic.originals.find(late) is None
        assert (await room.store.get("preview_a", late)).number == late
