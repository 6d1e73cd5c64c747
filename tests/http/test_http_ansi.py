"""Colours in messages: plain text is what the API sends; `ansi=keep` keeps them, in every way to read a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from http_kit import FILES, World, open_events, open_world
from http_socket_kit import open_log_socket

KEPT, PLAIN = "\x1b[32mgreen\x1b[0m line", "green line"
COLOURED = FILES | {"main.py": FILES["main.py"] + '\nprint("\\x1b[32mgreen\\x1b[0m line", flush=True)\n'}
CHOICES = (("", PLAIN), ("&ansi=strip", PLAIN), ("&ansi=keep", KEPT))
# The text goes over the end of a colour.
CHOSEN = "q=green%20line&tail=1"


@pytest.mark.parametrize("direct", [True, False])
async def test_messages_are_plain_unless_colours_are_asked_for(tmp_path: Path, *, direct: bool) -> None:
    async with open_world(tmp_path, direct_streams=direct) as world:
        generation = await world.keep(COLOURED)
        await world.launch(generation)
        for choice, message in CHOICES:
            number = await of_a_live_stream(world, generation, choice, message)
            await of_a_socket(world, generation, choice, message)
            for prefix in ("/api/v1", "/api"):
                path = f"{prefix}/generations/{generation}/preview/logs"
                await of_answers(world, path, choice, message, number)
                refused = await world.ask("GET", f"{path}/stream?ansi=perhaps")
                assert refused.status_code == 400
                assert "ansi" in refused.text
                assert (await world.ask("GET", f"{path}?ansi=perhaps")).status_code == 400


async def of_a_live_stream(world: World, generation: str, choice: str, message: str) -> int:
    """The line's number."""
    async with open_events(world, generation, query=f"?{CHOSEN}{choice}") as stream:
        while True:
            event = await stream.event()
            assert event is not None
            if event.kind == "message":
                assert event.data["message"] == message
                break
    number = int(event.id or 0)
    async with open_events(world, generation, query=f"?q=green{choice}", Last_Event_ID=str(number - 1)) as stream:
        while True:
            event = await stream.event()
            assert event is not None
            if event.kind == "message":
                assert (int(event.id or 0), event.data["message"]) == (number, message)
                return number


async def of_a_socket(world: World, generation: str, choice: str, message: str) -> None:
    for contract in ("v1", "plan"):
        async with open_log_socket(world, generation, f"?{CHOSEN}{choice}", contract=contract) as client:
            assert (await client.of_type("line"))["message"] == message


async def of_answers(world: World, path: str, choice: str, message: str, number: int) -> None:
    assert json.dumps(message) in (await world.ask("GET", f"{path}/stream?follow=false&{CHOSEN}{choice}")).text
    page = (await world.ask("GET", f"{path}?q=green%20line&before={number + 1}&limit=1{choice}")).json()
    assert [line["message"] for line in page["lines"]] == [message]
    # The neighbours of a page are as it is.
    assert all(("ansi=keep" in page[name]) == (message == KEPT) for name in ("next", "prev") if page[name])
    for kind in ("text", "jsonl", "csv"):
        file = (await world.ask("GET", f"{path}?format={kind}&q=green%20line{choice}")).text
        assert (json.dumps(message)[1:-1] if kind == "jsonl" else message) in file
