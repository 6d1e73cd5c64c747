from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from http_kit import World, open_events, open_world

from preview.http.contracts import shared
from preview.http.streams.exports import EXPORTS, ExportKind, ExportStyle
from preview.logs import Contract, Level, LogLine, Source

TALKING = {
    "main.py": """
from fastapi import FastAPI
app = FastAPI()
for number in range(300):
    print("line", number, flush=True)
print("ERROR: \\x1b[31mit broke\\x1b[0m", flush=True)
print("=cmd|' /C calc'!A0", flush=True)
raise SystemExit(3)
""",
    "requirements.txt": "fastapi\n",
}


async def talked(world: World) -> tuple[str, list[dict[str, Any]]]:
    """A generation whose preview is over, and all its lines as they were streamed."""
    generation = await world.keep(TALKING)
    await world.launch(generation, wait_s=None)
    async with open_events(world, generation) as stream:
        events = await stream.events()
    return generation, [one.data | {"seq": int(one.id or 0)} for one in events if one.kind == "message"]


async def look(world: World, generation: str, query: str = "", *, contract: str = "v1", **headers: str) -> Any:
    prefix = "/api/v1/generations" if contract == "v1" else "/api/generations"
    return await world.ask("GET", f"{prefix}/{generation}/preview/logs{query}", headers=headers)


async def test_a_log_is_read_by_pages_filtered_and_as_a_file(tmp_path: Path) -> None:
    """One preview for many questions: a start costs more than all of them."""
    async with open_world(tmp_path) as world:
        generation, lines = await talked(world)
        await pages_have_neighbours(world, generation, lines)
        await filters_give_the_lines_that_pass(world, generation, lines)
        await plan_has_its_own_words(world, generation)
        await files_hold_every_line(world, generation, lines)
        await csv_holds_no_formula(world, generation)
        await the_form_is_negotiated(world, generation)
        await wrong_filters_are_said(world, generation)


async def pages_have_neighbours(world: World, generation: str, lines: list[dict[str, Any]]) -> None:
    read: list[dict[str, Any]] = []
    page = (await look(world, generation, "?limit=100")).json()
    assert page["prev"] is None
    while True:
        shared.LogPage.model_validate(page)
        read += page["lines"]
        if page["next"] is None:
            break
        page = (await world.ask("GET", page["next"])).json()
    assert read == lines
    back: list[dict[str, Any]] = []
    page = (await look(world, generation, "?before=1000000&limit=100")).json()
    while True:
        back = page["lines"] + back
        if page["prev"] is None:
            break
        page = (await world.ask("GET", page["prev"])).json()
    assert back == lines


async def filters_give_the_lines_that_pass(world: World, generation: str, lines: list[dict[str, Any]]) -> None:
    async def given(query: str) -> list[int]:
        page = (await look(world, generation, query)).json()
        assert page["gaps"] == []
        return [line["seq"] for line in page["lines"]]

    def wanted(*, level: tuple[str, ...] = ("ERROR",)) -> list[int]:
        return [line["seq"] for line in lines if line["level"] in level]

    assert await given("?level=error") == wanted()
    assert await given("?level=warn&source=subprocess") == [
        line["seq"] for line in lines if line["level"] in {"WARNING", "ERROR"} and line["source"] == "subprocess"
    ]
    assert await given("?q=LINE%20299") == [one["seq"] for one in lines if one["message"] == "line 299"]
    assert await given("?request_id=%23nobody") == []
    page = (await look(world, generation, "?request_id=%23nobody&q=a%26b&limit=1")).json()
    assert (page["lines"], page["next"]) == ([], None)
    assert await given("?source=system,request") == [one["seq"] for one in lines if one["source"] == "system"]


async def plan_has_its_own_words(world: World, generation: str) -> None:
    page = shared.PlanLogPage.model_validate(
        (await look(world, generation, "?limit=3&source=system", contract="plan")).json()
    )
    assert page.lines[0].source == "startup"
    assert page.next is not None
    assert page.next.startswith(f"/api/generations/{generation}/preview/logs?")
    assert "source=system" in page.next


async def files_hold_every_line(world: World, generation: str, lines: list[dict[str, Any]]) -> None:
    answer = await look(world, generation, "?format=jsonl")
    assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    assert [json.loads(line) for line in answer.text.splitlines()] == [{"type": "line", **one} for one in lines]
    answer = await look(world, generation, "?format=text")
    assert answer.headers["content-disposition"].endswith('.log"')
    assert [line.partition(" ")[2][8:] for line in answer.text.split("\n")[:-1]] == [
        one["message"].replace("\x1b[31m", "").replace("\x1b[0m", "") for one in lines
    ]
    kept = (await look(world, generation, "?format=text&ansi=keep&level=ERROR&source=subprocess")).text
    assert kept.endswith("ERROR   ERROR: \x1b[31mit broke\x1b[0m\n")
    some = (await look(world, generation, "?format=jsonl&before=6&limit=2&ansi=strip")).text
    assert [json.loads(line)["seq"] for line in some.splitlines()] == [4, 5]
    between = (await look(world, generation, "?format=jsonl&after=3&before=7")).text
    assert [json.loads(line)["seq"] for line in between.splitlines()] == [4, 5, 6]


async def csv_holds_no_formula(world: World, generation: str) -> None:
    answer = await look(world, generation, "?format=csv&q=calc")
    rows = list(csv.reader(StringIO(answer.text, newline="")))
    assert rows[0] == ["seq", "timestamp", "level", "source", "request_id", "message", "stream"]
    assert rows[1][5] == "'=cmd|' /C calc'!A0"
    # The reason of its end quotes that line.
    assert [row[3] for row in rows[1:]] == ["subprocess", "system"]


def test_a_request_id_in_a_csv_file_holds_no_formula_either() -> None:
    line = LogLine(7, 0, Level.INFO, Source.PREVIEW, "-1", "+1")
    written = EXPORTS[ExportKind.CSV].write([line], ExportStyle(Contract.V1, colours=False)).decode()
    [cells] = csv.reader(StringIO(written, newline=""))
    assert cells == ["7", "1970-01-01T00:00:00.000Z", "INFO", "subprocess", "'+1", "'-1", ""]


async def the_form_is_negotiated(world: World, generation: str) -> None:
    for accepted, kind in (
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/x-ndjson", "application/x-ndjson; charset=utf-8"),
        ("text/plain;q=0.5, text/csv;q=0.1", "text/plain; charset=utf-8"),
        ("image/png", "application/json"),
    ):
        answer = await look(world, generation, Accept=accepted)
        assert answer.headers["content-type"] == kind
        assert answer.headers["vary"] == "Accept"


async def wrong_filters_are_said(world: World, generation: str) -> None:
    for query, sentence in (
        (
            "level=loud",
            "The query has a wrong value for 'level': 'loud' is not a level; use DEBUG, INFO, WARNING, WARN or ERROR.",
        ),
        (
            "source=nobody",
            (
                "The query has a wrong value for 'source': 'nobody' is not a source; "
                "use one or more of subprocess, system, startup, request, preview, reported, separated by commas."
            ),
        ),
        (
            "request_id=a%20b",
            (
                "The query has a wrong value for 'request_id': 'a b' is not a request id; "
                "send 1 to 64 characters as X-Request-Id has them."
            ),
        ),
        (
            "q=a%00b",
            "The query has a wrong value for 'q': no line holds a NUL character; search for its picture, U+2400.",
        ),
        (f"q={'x' * 201}", "The query has a wrong value for 'q': String should have at most 200 characters."),
    ):
        answer = await look(world, generation, f"?{query}")
        assert answer.status_code == 400
        assert answer.json()["detail"] == sentence
        stream = await world.ask("GET", f"/api/v1/generations/{generation}/preview/logs/stream?{query}")
        assert stream.json()["detail"] == sentence


@pytest.mark.parametrize("accepted", ["text/event-stream", "application/x-ndjson"])
async def test_a_stream_is_filtered_and_counts_its_tail_among_what_passes(tmp_path: Path, accepted: str) -> None:
    async with open_world(tmp_path) as world:
        generation, lines = await talked(world)
        path = f"/api/v1/generations/{generation}/preview/logs/stream"
        for query, wanted in (
            ("?q=line%201", [one for one in lines if "line 1" in one["message"]]),
            ("?q=line%201&tail=2", [one for one in lines if one["message"] in {"line 198", "line 199"}]),
            ("?q=line%201&tail=0", []),
            ("?tail=1", lines[-1:]),
            (f"?after={lines[-2]['seq']}", lines[-1:]),
        ):
            answer = await world.ask("GET", path + query, headers={"Accept": accepted})
            assert answer.headers["content-type"] == accepted
            assert answer.headers["vary"] == "Accept"
            assert numbers(answer.text, accepted) == [one["seq"] for one in wanted], query


def numbers(text: str, kind: str) -> list[int]:
    """The numbers of the lines in a whole stream."""
    if kind == "application/x-ndjson":
        objects = [json.loads(line) for line in text.splitlines()]
        assert objects[-1]["type"] == "end"
        return [one["seq"] for one in objects if one["type"] == "line"]
    frames = [frame.split("\n") for frame in text.split("\n\n")]
    lines = [frame for frame in frames if len(frame) == 2 and frame[0].startswith("id: ")]
    return [int(frame[0][4:]) for frame in lines]
