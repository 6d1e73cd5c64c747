"""The story that ``preview run`` tells."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from preview.cli.local.story import Addresses, Freed, JsonStory, TextStory
from preview.logs import Batch, End, Gap, Level, Source, StatusChange
from preview.logs.model.batch import batches_of

ROWS = [
    (1, 1_700_000_000_123, Level.INFO.value, Source.SYSTEM_STARTUP.value, "environment ready", None),
    (2, 1_700_000_000_456, Level.ERROR.value, Source.STARTUP.value, "it broke", None),
]
ADDRESSES = Addresses(
    "http://127.0.0.1:8000/login/x",
    "http://preview-x.localhost:8000/.preview/open?code=y",
    "http://localhost:3001",
    "curl http://localhost:3001/books",
)


def batch() -> Batch:
    return batches_of("preview_x", ROWS)[0]


def text_story() -> tuple[TextStory, io.StringIO]:
    stream = io.StringIO()
    return TextStory(stream, colour=False), stream


def test_each_line_is_a_line_and_a_gap_is_said() -> None:
    story, stream = text_story()
    story.events([batch(), Gap(3, 9, "lost"), StatusChange("preview_x", "running", "healthy", None, 1)])
    lines = stream.getvalue().splitlines()
    assert [line.split(" ", 1)[1] for line in lines[:2]] == ["INFO    * environment ready", "ERROR   | it broke"]
    assert lines[2:] == ["… lines 3 to 9 are missing …"]


def test_nothing_to_tell_writes_nothing() -> None:
    story, stream = text_story()
    story.events([StatusChange("preview_x", "running", "healthy", None, 1)])
    assert stream.getvalue() == ""


@pytest.mark.parametrize("colour", [False, True])
def test_the_addresses_stand_in_a_block_of_their_own(colour: bool) -> None:
    stream = io.StringIO()
    TextStory(stream, colour=colour).ready(ADDRESSES)
    text = stream.getvalue()
    assert text.startswith("\n")
    assert text.endswith("\n\n")
    assert all(one in text for one in (ADDRESSES.page, ADDRESSES.preview, ADDRESSES.example, "Ctrl-C"))
    assert ("\x1b[" in text) is colour


def test_a_project_with_a_database_has_a_line_for_its_data() -> None:
    story, stream = text_story()
    story.ready(replace(ADDRESSES, data="preview data shop"))
    assert "  Data     preview data shop  (in another terminal)\n" in stream.getvalue()
    story.ready(ADDRESSES)
    assert stream.getvalue().count("  Data ") == 1


GONE = "1 process, port 3001 and 1 folder freed\n"
EXPIRED = "stopped: time limit reached"


@pytest.mark.parametrize(
    ("freed", "reason", "said"),
    [
        (Freed(1, 3001, 1), None, f"stopped; {GONE}"),
        (Freed(3, 3001, 2), EXPIRED, f"{EXPIRED}; 3 processes, port 3001 and 2 folders freed\n"),
        (Freed(1, None, 0), "failed", "failed; 1 process and 0 folders freed\n"),
        (
            Freed(1, 3001, 1, ["process 7 (x)"]),
            None,
            f"stopped; {GONE}not removed: process 7 (x); stop or delete it yourself\n",
        ),
    ],
)
def test_the_end_says_what_was_freed(freed: Freed, reason: str | None, said: str) -> None:
    story, stream = text_story()
    story.freed(freed, reason)
    assert stream.getvalue() == said


def test_stopping_takes_the_place_of_the_key_in_a_terminal_alone() -> None:
    story, stream = text_story()
    story.stopping()
    assert stream.getvalue() == "stopping…\n"
    stream = io.StringIO()
    TextStory(stream, colour=True).stopping()
    assert stream.getvalue().startswith("\r\x1b[K")


def test_as_json_each_event_is_one_object_on_its_line() -> None:
    stream = io.StringIO()
    story = JsonStory(stream)
    story.events([batch(), Gap(3, 9, "lost"), StatusChange("preview_x", "running", "healthy", None, 1)])
    story.ready(ADDRESSES)
    story.events([End("preview_x", "stopped", "stopped on request", 0, None, 1)])
    story.stopping()
    story.freed(Freed(1, 3001, 1), None)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["log", "log", "gap", "status", "ready", "end", "stopping", "freed"]
    assert events[1] == {
        "event": "log",
        "seq": 2,
        "timestamp": "2023-11-14T22:13:20.456Z",
        "level": "ERROR",
        "source": "subprocess",
        "message": "it broke",
    }
    assert events[4]["base_url"] == ADDRESSES.preview
    assert events[7]["left"] == []


def test_lines_of_health_checks_are_left_out_for_people_and_programs_alike() -> None:
    rows = [
        (1, 1_700_000_000_000, Level.INFO.value, Source.REQUEST.value, "GET /health 200", "abc.check"),
        (2, 1_700_000_000_000, Level.ERROR.value, Source.PREVIEW.value, "the check failed", "abc.check"),
        (3, 1_700_000_000_000, Level.INFO.value, Source.PREVIEW.value, "a user's line", "abc"),
    ]
    people, programs = io.StringIO(), io.StringIO()
    for story in (TextStory(people, colour=False), JsonStory(programs)):
        story.events(batches_of("preview_x", rows))
    assert "GET /health" not in people.getvalue()
    assert [json.loads(line)["seq"] for line in programs.getvalue().splitlines()] == [2, 3]
