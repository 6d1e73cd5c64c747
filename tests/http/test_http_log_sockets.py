from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trio
from http_kit import FILES, World, open_events, open_world
from http_server_kit import connect
from http_socket_kit import LogSocketClient, open_log_socket, shake_hands

from preview.http.streams.log_socket import CLOSE_CODES
from preview.http.streams.log_streams import Ending, StreamSlots

TALKING = {
    "main.py": """
from fastapi import FastAPI
app = FastAPI()
for number in range(200):
    print("line", number, flush=True)
raise SystemExit(3)
""",
    "requirements.txt": "fastapi\n",
}


async def refused(
    world: World, generation: str, query: str = "", *, user: str | None = "ann", **fields: str
) -> tuple[int, dict[str, Any]]:
    """Status and problem of a handshake that is refused."""
    async with await connect(world.address) as stream:
        target = f"/api/v1/generations/{generation}/preview/logs/ws{query}"
        status, body = await shake_hands(stream, target, world.headers(user) | fields)
    return status, json.loads(body)


async def test_what_is_over_is_told_once_and_from_any_line_on(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(TALKING)
        await world.launch(generation, wait_s=None)
        async with open_events(world, generation) as stream:
            streamed = [one for one in await stream.events() if one.kind == "message"]
        lines = [{"type": "line", "seq": int(one.id or 0), **one.data} for one in streamed]
        for query, wanted in (
            ("", lines),
            ("?after=100", lines[100:]),
            ("?last_event_id=150&after=1", lines[150:]),
            ("?tail=3", lines[-3:]),
            ("?q=line%2019&tail=2", [one for one in lines if "line 19" in one["message"]][-2:]),
            (
                "?level=error&source=system",
                [one for one in lines if one["level"] == "ERROR" and one["source"] == "system"],
            ),
        ):
            async with open_log_socket(world, generation, query) as client:
                events = await client.events()
                assert [one for one in events if one["type"] == "line"] == wanted, query
                assert events[-1]["type"] == "end"
                assert events[-1]["exit_code"] == 3
                assert client.closed == (1000, "All lines were sent.")
        async with open_log_socket(world, generation, "?tail=1", contract="plan") as client:
            assert (await client.of_type("line"))["source"] == "startup"
            assert (await client.of_type("end"))["exitCode"] == 3
        status, problem = await refused(world, generation, "?level=loud")
        assert (status, problem["code"]) == (400, "invalid_request")


async def test_a_live_preview_is_watched_and_filtered_on_the_way(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        async with open_log_socket(world, generation) as client:
            assert (await client.of_type("status"))["status"] == "running"
            await filters_change_on_the_way(world, generation, launched, client)
            await bad_messages_are_answered(client)
        await handshakes_are_refused_like_requests(world, generation)
        await tickets_and_sessions_open_one_too(world, generation)
        await streams_of_a_user_are_counted_together(world, generation)
        await what_is_no_message_closes(world, generation)
        await the_end_of_the_token_closes(world, generation)
        async with open_log_socket(world, generation) as client:
            await client.of_type("line")
            world.stop.set()
            assert "shutting down" in (await client.of_type("end"))["reason"]
            assert await client.event() is None
            assert client.closed is not None
            assert client.closed[0] == 1001


async def say(world: World, generation: str, launched: dict[str, Any], count: int) -> None:
    body = {"method": "GET", "path": f"/say/{count}"}
    headers = {"X-Preview-Token": launched["session_token"]}
    answer = await world.ask("POST", f"/api/v1/generations/{generation}/preview/request", body, headers=headers)
    assert answer.json()["status_code"] == 200


async def filters_change_on_the_way(
    world: World, generation: str, launched: dict[str, Any], client: LogSocketClient
) -> None:
    await client.say(type="filter", q="SAID 7", source="subprocess")
    told = await client.of_type("filter")
    assert (told["q"], told["source"], told["level"]) == ("SAID 7", "subprocess", None)
    await say(world, generation, launched, 9)
    line = await client.of_type("line")
    assert line["message"] == "said 7"
    assert line["seq"] > told["after"]
    await client.say(type="filter")
    assert (await client.of_type("filter"))["q"] is None
    await say(world, generation, launched, 3)
    while line["message"] != "said 0":
        line = await client.of_type("line")
    following = await client.of_type("line")
    assert (following["message"], following["seq"]) == ("said 1", line["seq"] + 1)


async def bad_messages_are_answered(client: LogSocketClient) -> None:
    await client.say(type="ping")
    assert await client.of_type("pong") == {"type": "pong"}
    for said, sentence in (
        ('{"type": "filter", "level": "loud"}', "'loud' is not a level; use DEBUG, INFO, WARNING, WARN or ERROR."),
        ('{"type": "dance"}', "The message has a wrong value for 'type'"),
        ('{"type": "filter", "lvel": "INFO"}', "The message has a wrong value for 'lvel'"),
        ("no json", "The message cannot be used: Invalid JSON"),
        ("[" * 4000, "The message cannot be used: Invalid JSON"),
    ):
        await client.connection.send_message(said)
        told = await client.of_type("error")
        assert told["code"] == "invalid_request"
        assert sentence in told["detail"]


async def handshakes_are_refused_like_requests(world: World, generation: str) -> None:
    assert (await refused(world, generation, user=None))[0] == 401
    assert (await refused(world, generation, user="eve"))[0] == 403
    status, problem = await refused(world, "gen_0000000000000000")
    assert (status, problem["code"]) == (404, "generation_not_found")
    assert (await refused(world, generation, "?ticket=nonsense", user=None))[0] == 401
    answer = await world.ask("GET", f"/api/v1/generations/{generation}/preview/logs/ws")
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


async def tickets_and_sessions_open_one_too(world: World, generation: str) -> None:
    ticket = (await world.ask("POST", f"/api/v1/generations/{generation}/preview/logs/ticket")).json()["ticket"]
    async with open_log_socket(world, generation, f"?ticket={ticket}", user=None) as client:
        await client.of_type("status")
    session = await world.ask("POST", "/api/v1/session")
    cookie = session.headers["set-cookie"].partition(";")[0].encode()
    here = world.url.encode()
    async with open_log_socket(
        world, generation, user=None, headers=[(b"Cookie", cookie), (b"Origin", here)]
    ) as client:
        await client.of_type("status")
    elsewhere = {"Cookie": cookie.decode(), "Origin": "http://evil.example"}
    status, problem = await refused(world, generation, user=None, **elsewhere)
    assert (status, problem["details"]["reason"]) == (403, "cross_origin")


async def streams_of_a_user_are_counted_together(world: World, generation: str) -> None:
    slots = world.app._backend.slots  # type: ignore[union-attr]
    await all_given_back(slots)
    async with open_log_socket(world, generation) as client, open_events(world, generation) as stream:
        await client.of_type("status")
        await stream.event()
        assert slots.total == 2
    await all_given_back(slots)


async def all_given_back(slots: StreamSlots) -> None:
    with trio.fail_after(60):
        while slots.total:  # noqa: ASYNC110  the server's own tasks tell nobody
            await trio.sleep(0.01)


async def what_is_no_message_closes(world: World, generation: str) -> None:
    for said, code in ((b"bytes", 1003), ("x" * 4097, 1009)):
        async with open_log_socket(world, generation) as client:
            await client.connection.send_message(said)
            await client.events()
            assert client.closed is not None
            assert client.closed[0] == code


async def the_end_of_the_token_closes(world: World, generation: str) -> None:
    token = world.token("ann", ttl_s=1.5)
    field = (b"Authorization", f"Bearer {token}".encode())
    async with open_log_socket(world, generation, user=None, headers=[field]) as client:
        assert (await client.events())[-1] == {"type": "expired"}
        assert client.closed is not None
        assert client.closed[0] == 4401


async def test_a_peer_that_answers_no_ping_is_let_go_and_one_that_does_is_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path, keep_alive_s=0.4) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        async with open_log_socket(world, generation) as client, await connect(world.address) as silent:
            target = f"/api/v1/generations/{generation}/preview/logs/ws"
            assert (await shake_hands(silent, target, world.headers("ann")))[0] == 101
            seen: list[dict[str, Any] | None] = []

            async def read() -> None:
                while True:
                    seen.append(await client.event())

            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read)
                    last = b""
                    while data := await silent.receive_some():
                        last = data
                    nursery.cancel_scope.cancel()
            # A close frame of the server (RFC 6455 section 5.5.1): FIN and opcode 8, its length, its code.
            assert (4408).to_bytes(2) in last
            assert None not in seen


async def test_a_client_that_does_not_read_falls_behind_and_misses_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_log_lines=50, subscriber_batches=2) as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        async with open_log_socket(world, generation) as client:
            preview = world.service.previews.find(launched["id"])
            assert preview is not None
            for number in range(3000):
                preview.log.say(f"{number} {'x' * 2000}")
                if not number % 100:
                    await trio.lowlevel.checkpoint()
            assert preview.log.backlog.size_bytes < 1_000_000
            seqs = [0]
            while seqs[-1] < preview.log.last_seq:
                event = await client.of_type("line", "gap")
                assert event["type"] == "line"
                seqs.append(event["seq"])
            assert seqs == list(range(preview.log.last_seq + 1))


def test_every_ending_but_a_cut_has_a_close_code_whose_reason_fits() -> None:
    assert set(CLOSE_CODES) == set(Ending) - {Ending.CUT}
    assert all(len(close.reason.encode()) <= 123 for close in CLOSE_CODES.values())
