from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from http_kit import CRASHING, FILES, NEVER_READY, World, open_events, open_world
from http_server_kit import connect

from preview.core.lifecycle import State, StopCause
from preview.http.contracts import shared
from preview.logs import LineFilter, LogPager, Range

CHATTY = {
    # One write a line: a part of a line that stays alone for a while is shown as it is.
    "main.py": "import time\nfor number in range(300):\n    print(f'line {number}', flush=True)\ntime.sleep(60)\n"
    "from fastapi import FastAPI\napp = FastAPI()\n",
    "requirements.txt": "fastapi\n",
}


@pytest.fixture(params=["direct", "ordinary"])
def each_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A test with this fixture is run on both ways that a stream can go."""
    monkeypatch.setenv("PREVIEW_DIRECT_STREAMS", str(request.param == "direct"))
    return str(request.param)


on_each_path = pytest.mark.usefixtures("each_path")


async def launch(world: World, files: dict[str, str]) -> str:
    generation = await world.keep(files)
    await world.launch(generation, wait_s=None)
    return generation


@on_each_path
async def test_a_stream_is_server_sent_events_that_nobody_may_keep(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CHATTY)
        async with open_events(world, generation) as stream:
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.headers["cache-control"] == "no-cache"
            assert stream.headers["x-accel-buffering"] == "no"
            assert "content-encoding" not in stream.headers
            assert await stream.frame() == "retry: 2000"


@pytest.mark.parametrize("contract", ["plan", "v1"])
async def test_lines_are_numbered_from_1_without_gaps_in_the_contract_s_words(tmp_path: Path, contract: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CHATTY)
        async with open_events(world, generation, contract=contract) as stream:
            events = await stream.until_message("line 299")
    lines = [one for one in events if one.kind == "message"]
    assert [int(one.id or 0) for one in lines] == list(range(1, len(lines) + 1))
    assert set(lines[0].data) == {"timestamp", "level", "message", "source"}
    sources = {one.data["source"] for one in lines}
    assert sources <= ({"startup", "request", "preview"} if contract == "plan" else {"subprocess", "system"})


@pytest.mark.parametrize(("contract", "health"), [("plan", "healthStatus"), ("v1", "health")])
async def test_a_change_of_state_is_an_event_of_its_own(tmp_path: Path, contract: str, health: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        async with open_events(world, generation, contract=contract) as stream:
            event = await stream.event()
            while event is not None and event.kind != "status":
                event = await stream.event()
    assert event is not None
    assert (event.data["status"], event.data[health], event.id) == ("running", "healthy", None)


@on_each_path
@pytest.mark.parametrize("how", ["header", "query", "both"])
async def test_a_stream_resumes_right_behind_the_last_event(tmp_path: Path, how: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CHATTY)
        async with open_events(world, generation) as stream:
            last = (await stream.until_message("line 100"))[-1].id
        assert last is not None
        query = {"header": "", "query": f"?last_event_id={last}", "both": "?last_event_id=1"}[how]
        headers = {} if how == "query" else {"Last_Event_ID": last}
        async with open_events(world, generation, query=query, **headers) as stream:
            events = await stream.until_message("line 299")
    numbers = [int(one.id or 0) for one in events if one.kind == "message"]
    assert numbers == list(range(int(last) + 1, int(last) + 1 + len(numbers)))
    assert len(numbers) >= 199


@on_each_path
async def test_random_disconnects_lose_and_repeat_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CHATTY)
        messages: list[str] = []
        last = "0"
        for cut in (1, 7, 40, 3, 100, 2, 60, 1000):
            async with open_events(world, generation, Last_Event_ID=last) as stream:
                left = cut
                while left and not (messages and messages[-1].endswith("line 299")):
                    event = await stream.event()
                    assert event is not None
                    if event.kind == "message":
                        messages.append(event.data["message"])
                        last = event.id or last
                        left -= 1
    lines = [one for one in messages if one.startswith("line ")]
    assert lines == [f"line {number}" for number in range(300)]


@on_each_path
async def test_tail_begins_with_the_last_lines(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CHATTY)
        async with open_events(world, generation) as stream:
            last = int((await stream.until_message("line 299"))[-1].id or 0)
        async with open_events(world, generation, query="?tail=5") as stream:
            events = await stream.until_message("line 299")
    assert [int(one.id or 0) for one in events if one.kind == "message"] == list(range(last - 4, last + 1))


async def test_follow_false_ends_with_the_newest_line(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CHATTY)
        async with open_events(world, generation) as stream:
            await stream.until_message("line 299")
        async with open_events(world, generation, query="?follow=false") as stream:
            events = await stream.events()
        # A number from an earlier preview, which had more lines: this one is read from its start.
        async with open_events(world, generation, query="?follow=false&after=100000") as other:
            again = await other.events()
    assert events[-1].data["message"] == "line 299"
    assert stream.ended
    assert [one.id for one in again if one.kind == "message"] == [one.id for one in events if one.kind == "message"]


@on_each_path
async def test_the_end_closes_the_stream_and_a_reconnect_gets_204(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CRASHING)
        async with open_events(world, generation) as stream:
            events = await stream.events()
        assert stream.ended
        assert events[-1].kind == "end"
        assert (events[-1].data["status"], events[-1].data["exit_code"]) == ("failed", 3)
        last = [one.id for one in events if one.id][-1]
        assert last is not None
        async with open_events(world, generation, Last_Event_ID=last) as again:
            assert again.status == 204
        async with open_events(world, generation, Last_Event_ID="1") as rest:
            events_again = await rest.events()
        assert [one.id for one in events_again if one.id] == [one.id for one in events if one.id][1:]
        assert events_again[-1].kind == "end"


@on_each_path
async def test_a_quiet_stream_carries_comments(tmp_path: Path) -> None:
    async with open_world(tmp_path, keep_alive_s=0.1) as world:
        generation = await launch(world, NEVER_READY)
        async with open_events(world, generation) as stream:
            await stream.until_message("sleeping")
            assert await stream.frame() == ": keep-alive"
            assert await stream.frame() == ": keep-alive"


async def test_an_open_stream_keeps_its_preview_from_being_inactive(tmp_path: Path) -> None:
    async with open_world(tmp_path, keep_alive_s=0.2, inactive_timeout_s=2) as world:
        generation = await launch(world, FILES)
        preview = world.service.previews.require(generation)
        async with open_events(world, generation) as stream:
            # 15 times 0.2 s without a line, whatever its health checks print in between.
            with trio.fail_after(60):
                quiet = 0
                while quiet < 15:
                    frame = await stream.frame()
                    quiet += frame == ": keep-alive" and preview.record.state is State.RUNNING
            assert preview.outcome is None
        await preview.over.wait()
    assert preview.outcome is not None
    assert preview.outcome.cause is StopCause.INACTIVE


@on_each_path
async def test_a_stream_lives_no_longer_than_its_token(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, NEVER_READY)
        token = world.token("ann", ttl_s=2)
        async with open_events(world, generation, user=None, Authorization=f"Bearer {token}") as stream:
            events = await stream.events()
    assert events[-1].kind == "expired"
    assert stream.ended


@on_each_path
async def test_a_stream_outlives_the_framework_s_response_timeout(tmp_path: Path) -> None:
    async with open_world(tmp_path, keep_alive_s=0.1) as world:
        world.app.config["RESPONSE_TIMEOUT"] = 0.2
        generation = await launch(world, NEVER_READY)
        async with open_events(world, generation) as stream:
            comments = 0
            while comments < 5:
                comments += await stream.frame() == ": keep-alive"


@pytest.mark.timed
@on_each_path
async def test_shutdown_says_goodbye_at_once_and_ends_the_body_properly(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, NEVER_READY)
        async with open_events(world, generation) as stream:
            await stream.until_message("sleeping")
            begun = trio.current_time()
            world.stop.set()
            events = await stream.events()
            assert stream.ended
            assert events[-1].kind == "end"
            await world.stopped.wait()
            assert trio.current_time() - begun < 2


async def test_a_ticket_opens_the_stream_of_its_preview_and_nothing_else(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, CHATTY)
        answer = await world.ask("POST", f"/api/v1/generations/{generation}/preview/logs/ticket")
        shared.Ticket.model_validate(answer.json())
        assert (answer.status_code, answer.json()["expires_in"]) == (200, 60)
        ticket = answer.json()["ticket"]
        async with open_events(world, generation, query=f"?ticket={ticket}", user=None) as stream:
            assert stream.status == 200
            await stream.until_message("line 10")
        other = await world.keep(FILES)
        async with open_events(world, other, query=f"?ticket={ticket}", user=None) as stream:
            assert stream.status in {401, 403}
        status = await world.client.get(f"/api/v1/generations/{generation}/preview/status?ticket={ticket}")
        assert status.status_code == 401
        async with open_events(world, generation, query="?ticket=wrong", user=None) as stream:
            assert stream.status == 401


async def test_errors_before_the_stream_are_ordinary_answers(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        path = f"/api/v1/generations/{generation}/preview/logs/stream"
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"user": None}, 401, "unauthenticated"),
            ({"user": "bob"}, 403, "forbidden"),
            ({"user": "ann"}, 404, "no_active_preview"),
        ]
        for options, status, code in cases:
            answer = await world.ask("GET", path, **options)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await world.ask("GET", path + "?tail=x")).status_code == 400


@on_each_path
async def test_too_many_streams_are_429_until_one_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    async def look(look_back: LogPager, asked: Range, chosen: LineFilter) -> None:
        looked.append(asked.limit)

    async with open_world(tmp_path, max_streams_per_user=1) as world:
        generation = await launch(world, NEVER_READY)
        async with open_events(world, generation) as stream:
            await stream.until_message("sleeping")
            monkeypatch.setattr(LogPager, "page", look)
            # Refused ahead of the search for the last lines that pass a filter.
            for query in ("", "?tail=1&q=sleeping"):
                async with open_events(world, generation, query=query) as refused:
                    assert refused.status == 429
            assert looked == []
        with trio.fail_after(60):
            while True:
                async with open_events(world, generation) as again:
                    if again.status == 200:
                        break


@pytest.mark.timed
@on_each_path
async def test_a_stalled_reader_delays_neither_the_others_nor_a_stop(tmp_path: Path) -> None:
    flood = {
        "main.py": "import threading\nfrom fastapi import FastAPI\napp = FastAPI()\n"
        "@app.get('/go')\ndef go():\n    for number in range(20000):\n        print('x' * 200, number)\n"
        "    print('flood over', flush=True)\n    return 1\n",
        "requirements.txt": "fastapi\n",
    }
    async with open_world(tmp_path) as world:
        generation = await world.keep(flood)
        token = (await world.launch(generation))["session_token"]
        path = f"/api/v1/generations/{generation}/preview"
        async with await connect(world.address) as stalled:
            head = (
                f"GET {path}/logs/stream HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {world.token('ann')}\r\n\r\n"
            )
            await stalled.send_all(head.encode())
            async with open_events(world, generation, query="?tail=0") as stream:
                envelope = {"method": "GET", "path": "/go"}
                answer = await world.ask("POST", f"{path}/request", envelope, headers={"X-Preview-Token": token})
                assert answer.json()["status_code"] == 200
                await stream.until_message("flood over")
            begun = trio.current_time()
            await world.stop_preview(generation)
            assert trio.current_time() - begun < 5


async def test_head_of_a_stream_opens_none(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await launch(world, NEVER_READY)
        answer = await world.ask("HEAD", f"/api/v1/generations/{generation}/preview/logs/stream")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        assert world.app.backend.slots.total == 0
