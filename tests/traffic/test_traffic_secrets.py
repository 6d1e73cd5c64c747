"""Values that are kept out of recorded requests: those of the launch's settings, and those of requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from traffic_room import TrafficRoom, draft, message, open_traffic_room

from preview.proxy import make_request
from preview.storage.database import open_database
from preview.traffic import PreviewTraffic, RecordedRequest

VALUES = ["Zm9v/YmFy+cXV4PT0=", 'pa"ss\\word12', "pässwörd-long", "two words+a/b", "a+b=c/é x$y", "plain-value"]


async def recorded(room: TrafficRoom, traffic: PreviewTraffic, query: Any, body: Any, note: str) -> RecordedRequest:
    path, query = (query, None) if isinstance(query, str) else ("/x", query)
    asked = make_request("POST", path, query=query, body=body, headers=[], body_limit_bytes=100_000)
    sent = message(asked.body or b"", content_type="application/json", x_note=note)
    number = traffic.record(draft(target=asked.target, request=sent, response=sent))
    with trio.fail_after(60):
        await room.writer.flush(traffic.preview_id)
    return await room.store.get(traffic.preview_id, number)


@pytest.mark.parametrize("value", VALUES)
async def test_a_value_is_removed_in_each_form_in_which_it_is_sent(
    sqlite_database_url: str, tmp_path: Path, value: str
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        traffic.hide([value])
        for query in ({"q": value}, f"/x?q={value}"):
            found = await recorded(room, traffic, query, {"note": value}, value)
            assert found.request is not None
            headers = dict(found.request.headers)
            mark = headers["x-note"]
            assert mark.startswith("[redacted:")
            # Each form has the same mark, so that a reader can follow the value.
            assert (found.target, json.loads(found.request.body)) == (f"/x?q={mark}", {"note": mark})


async def test_values_of_requests_push_out_neither_those_of_the_launch_nor_those_that_are_found(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        traffic = await room.open()
        own = [f"launch value/{number} of the settings" for number in range(450)]
        traffic.hide(own)
        for number in range(100):
            traffic.hide([f"sent value/{number} of a request"], sent=True)
        texts = [*own, "sent value/99 of a request", "sent value/36 of a request", "by-its-name"]
        found = await recorded(room, traffic, {"token": "by-its-name"}, {"notes": texts}, own[0])
        assert found.request is not None
        notes = json.loads(found.request.body)["notes"]
        assert [one for one in notes if not one.startswith("[redacted:")] == []
        assert len(set(notes)) == len(notes)
        # The oldest ones of requests are forgotten; nothing grows without end.
        assert "sent value/35 of a request" not in traffic.secrets.values()
