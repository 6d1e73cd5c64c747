"""The stream of a user's events: first those who try to read others', then those whose events they are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
from http_kit import FILES, Event, EventStream, World, open_world
from together_kit import GuestClient, new_guest, open_stream

from preview.http.contracts.people.events import AccountEvent
from preview.together import events as together_events

_PLAIN = {"main.py": "print(1)\n"}


@asynccontextmanager
async def reading(
    world: World, user: str = "ann", path: str = "/api/v1/events", **fields: str
) -> AsyncIterator[EventStream]:
    headers = world.headers(user) | {name.replace("_", "-"): value for name, value in fields.items()}
    async with open_stream(world, path, headers) as stream:
        assert stream.status == 200
        yield stream


@asynccontextmanager
async def guest_reading(guest: GuestClient) -> AsyncIterator[EventStream]:
    async with open_stream(guest.world, f"{guest.base}/events", {"Cookie": guest.cookie}) as stream:
        yield stream


async def until(stream: EventStream, kind: str) -> list[Event]:
    found: list[Event] = []
    while not found or found[-1].kind != kind:
        event = await stream.event()
        assert event is not None, [one.kind for one in found]
        # As the OpenAPI document says.
        AccountEvent.model_validate({"type": event.kind, **event.data})
        found.append(event)
    return found


async def rename(world: World, generation: str, name: str, user: str = "ann") -> None:
    answer = await world.ask("PATCH", f"/api/v1/generations/{generation}", {"name": name}, user=user)
    assert answer.status_code == 200, answer.text


async def cut_off_at_once(stream: EventStream) -> None:
    """The stream ends within a second, whatever it still says."""
    with trio.fail_after(1), suppress(h11.RemoteProtocolError, trio.BrokenResourceError):
        while await stream.event() is not None:
            pass


async def test_nobody_reads_the_events_of_another_user(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(_PLAIN)
        assert (await world.ask("GET", "/api/v1/events", user=None)).status_code == 401
        foreign = await world.ask("GET", f"/api/v1/generations/{generation}/events", user="bob")
        assert foreign.status_code in {403, 404}
        async with reading(world) as ann, reading(world, "bob") as bob:
            first = await ann.event()
            await bob.event()
            assert first is not None
            # The id of another user's event resumes nothing.
            async with reading(world, "bob", Last_Event_ID=first.id or "") as again:
                start = await again.event()
                assert start is not None
                assert start.data == {"resumed": False, "items": [], "next": None}
            await rename(world, generation, "secret")
            theirs = await world.keep(_PLAIN, user="bob")
            assert (await until(ann, "generation"))[-1].data["name"] == "secret"
            seen = await bob.event()
            assert seen is not None
            assert (seen.kind, seen.data["id"]) == ("generation", theirs)
            assert "ann" not in json.dumps(seen.data)


async def test_a_guest_sees_their_preview_only_and_is_cut_off_at_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_instances_per_user=3) as world:
        generation, other = await world.keep(FILES), await world.keep(_PLAIN)
        await world.launch(generation)
        guest = await new_guest(world, generation, "use", "Gus")
        assert (await guest.ask("GET", "/api/v1/events")).status_code == 401
        assert (await guest.ask("GET", f"/api/v1/generations/{other}/events")).status_code == 401
        async with reading(world) as ann, guest_reading(guest) as stream:
            start = await stream.event()
            assert start is not None
            assert start.id is None
            assert not start.data["resumed"]
            await rename(world, other, "secret")
            await rename(world, generation, "also secret")
            comment = {"target": {"kind": "line", "id": "1"}, "text": "look"}
            made = await guest.ask("POST", f"{guest.base}/preview/comments", comment)
            assert made.status_code == 201, made.text
            seen = await stream.event()
            assert seen is not None
            assert (seen.kind, seen.id) == ("comment", None)
            assert seen.data["comment"]["text"] == "look"
            # The owner learns of all, and that there is something to read.
            mine = await until(ann, "viewers")
            assert [one.kind for one in mine] == ["start", "generation", "generation", "comment", "viewers"]
            assert mine[-1].data["unread"] == 1
            path = f"{guest.base}/preview/viewers/me"
            assert (await guest.ask("PUT", path, {"comments_read": True})).status_code == 204
            assert (await world.ask("GET", "/api/v1/events")).json()["items"][0]["unread"] == 1
            assert (await world.ask("PUT", path, {"comments_read": True})).status_code == 204
            assert (await until(ann, "viewers"))[-1].data["unread"] == 0
            removed = await world.ask("DELETE", f"{guest.base}/preview/viewers/{guest.me['id']}")
            assert removed.status_code == 204
            await cut_off_at_once(stream)
        assert (await guest.ask("GET", f"{guest.base}/events")).status_code == 401


async def test_a_revoked_token_ends_its_stream_within_a_second(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = (await world.ask("POST", "/api/v1/tokens", {"name": "t"})).json()
        fields = {"Authorization": f"Bearer {made['token']}"}
        async with open_stream(world, "/api/v1/events", fields) as stream:
            assert await stream.event() is not None
            assert (await world.ask("DELETE", f"/api/v1/tokens/{made['id']}")).status_code == 204
            await cut_off_at_once(stream)


async def test_a_slow_reader_costs_nothing_and_is_told_to_read_again(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(_PLAIN)
        async with reading(world) as slow:
            assert await slow.event() is not None
            book = world.app.backend.people.events.of("ann")
            # Far more than a socket holds, which nobody reads meanwhile.
            for number in range(50_000):
                book.tell(f"s {number}", "generation", json.dumps({"name": "x" * 200}), generation_id=generation)
            assert len(book._kept) == together_events.MOST_EVENTS
            found = await until(slow, "start")
            assert not found[-1].data["resumed"]
            await rename(world, generation, "last")
            assert (await until(slow, "generation"))[-1].data.get("name") == "last"


@pytest.mark.long
async def test_a_thousand_readers_see_each_event(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_streams_per_user=1000) as world, AsyncExitStack() as stack:
        generation = await world.keep(_PLAIN)
        readers: list[EventStream] = []

        async def open_one() -> None:
            readers.append(await stack.enter_async_context(reading(world)))

        for _ in range(1000):
            await open_one()
        refused = await world.ask("GET", "/api/v1/events", headers={"Accept": "text/event-stream"})
        assert refused.status_code == 429
        await rename(world, generation, "for all")
        for one in readers:
            assert (await until(one, "generation"))[-1].data["name"] == "for all"


async def test_events_resume_by_number_and_the_newest_state_of_each_thing_is_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(_PLAIN)
        async with reading(world) as first:
            start = await first.event()
            await rename(world, generation, "one")
            seen = await first.event()
        assert start is not None
        assert seen is not None
        await rename(world, generation, "two")
        await rename(world, generation, "three")
        gone = await world.keep(_PLAIN)
        assert (await world.ask("DELETE", f"/api/v1/generations/{gone}")).status_code == 204
        async with reading(world, Last_Event_ID=seen.id or "") as again:
            found = await until(again, "generation_removed")
        assert found[0].data["resumed"]
        assert [(one.kind, one.data.get("name")) for one in found[1:]] == [
            ("generation", "three"),
            ("generation_removed", None),
        ]
        for wrong in ("", "x", "00000000-1", f"{(seen.id or '').split('-')[0]}-{10**14}", "-", "9" * 5000):
            async with reading(world, Last_Event_ID=wrong) as other:
                start = await other.event()
                assert start is not None
                assert not start.data["resumed"], wrong


async def test_the_states_of_a_preview_are_events_and_the_end_ends_a_guests_stream(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        async with reading(world) as stream:
            launched = await world.launch(generation)
            guest = await new_guest(world, generation)
            states: list[Any] = []
            async with guest_reading(guest) as of_guest:
                while not states or states[-1]["status"] != "running":
                    states.append((await until(stream, "preview"))[-1].data)
                await world.stop_preview(generation)
                ending = await of_guest.events()
            assert ending[-1].kind == "end"
            assert [one.data["status"] for one in ending if one.kind == "preview"][-1] == "stopped"
            # A guest does not learn who the owner is.
            assert {(one.data["user_id"], one.data["project_id"]) for one in ending if one.kind == "preview"} == {
                ("", "")
            }
            while states[-1]["status"] != "stopped":
                states.append((await until(stream, "preview"))[-1].data)
        assert {one["id"] for one in states} == {launched["id"]}
        assert states[-1]["cause"] == "user"
        assert "session_token" not in json.dumps(states)
