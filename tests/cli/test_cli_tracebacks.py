"""Tracebacks as a person sees them at a terminal: the project's own frames, and a note for those of packages."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.cli.local.lines import ShownLine
from preview.cli.local.story import TextStory
from preview.cli.tracebacks import TracebackFolder
from preview.logs import Batch
from preview.logs.model.events import Level, Source, mark_of

COPY = "/srv/data/previews/preview_23456789abcdefgh/project"
PACKAGE = "/srv/cache/env/lib/python3.12/site-packages"
PYTHON = (
    "ERROR:    Exception in ASGI application",
    "Traceback (most recent call last):",
    f'  File "{PACKAGE}/uvicorn/h11_impl.py", line 415, in run_asgi',
    "    result = await app(",
    "             ^^^^^^^^^",
    f'  File "{PACKAGE}/fastapi/routing.py", line 300, in app',
    "    raw_response = await run()",
    f'  File "{COPY}/app/main.py", line 12, in read',
    "    return BOOKS['x']",
    '  File "/usr/lib/python3.12/collections/__init__.py", line 1, in __getitem__',
    "KeyError: 'x'",
    "INFO: the next line",
)
NODE = (
    "TypeError: undefined is not a function",
    f"    at read ({COPY}/server.js:7:15)",
    "    at Layer.handle (/srv/node_modules/express/lib/router/layer.js:95:5)",
    "    at node:internal/process/task_queues:95:5",
    "listening again",
)


def shown(texts: Sequence[str], *, is_on: bool = True) -> list[str]:
    folder = TracebackFolder(is_on)
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    lines = [ShownLine(at, moment, "ERROR", False, text) for at, text in enumerate(texts, 1)]
    return [one.message for line in lines for one in folder.take(line)]


def test_the_projects_own_frames_stay_and_those_of_packages_become_a_note() -> None:
    assert shown(PYTHON) == [
        PYTHON[0],
        PYTHON[1],
        "  … 2 frames of packages hidden (`preview logs --no-fold`)",
        '  File "app/main.py", line 12, in read',
        "    return BOOKS['x']",
        "  … 1 frame of packages hidden (`preview logs --no-fold`)",
        "KeyError: 'x'",
        "INFO: the next line",
    ]
    assert shown(NODE) == [
        NODE[0],
        "    at read (server.js:7:15)",
        "  … 2 frames of packages hidden (`preview logs --no-fold`)",
        "listening again",
    ]


@pytest.mark.parametrize("texts", [PYTHON, NODE])
def test_without_folding_each_line_stays_as_it_is(texts: Sequence[str]) -> None:
    assert shown(texts, is_on=False) == list(texts)


def test_a_pipe_is_never_folded() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    mark = mark_of(Level.ERROR.value, Source.PREVIEW.value)
    batch = Batch("p", 1, [0] * len(PYTHON), bytes([mark]) * len(PYTHON), PYTHON)
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        TextStory(stream, colour=False).events([batch])
    assert pipe.getvalue().count("\n") == len(PYTHON)
    assert "h11_impl" in pipe.getvalue()
    assert "h11_impl" not in terminal.getvalue()


_PARTS = st.sampled_from(
    [*PYTHON, *NODE, "  | x", "    plain", "", "  + Exception Group Traceback (most recent call last):"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_PARTS | st.text(max_size=30), max_size=30))
def test_nothing_but_frames_of_packages_and_their_code_is_hidden(texts: list[str]) -> None:
    folded = shown(texts)
    for text in texts:
        if text and not text[0].isspace() and not text.startswith(("|", "+")):
            assert text in folded


def test_a_hostile_line_costs_little() -> None:
    hostile = ["    at " + "a (" * 20_000, '  File "' + "/" * 60_000, " " * 60_000 + "at x", "x" * 60_000 + "Traceback"]
    assert shown([PYTHON[1], *hostile, *PYTHON, *hostile])
