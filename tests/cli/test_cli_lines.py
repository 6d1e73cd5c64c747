"""Log lines as text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.cells import cell_len

from preview.cli.local.lines import LinePrinter, ShownLine


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def line(message: str, level: str = "INFO", *, system: bool = False) -> ShownLine:
    return ShownLine(7, datetime(2026, 3, 1, 12, 20, 5, 123_000, UTC), level, system, message)


def test_without_colour_a_line_is_time_level_mark_and_text() -> None:
    printer = LinePrinter(colour=False)
    assert printer.text(line("hello")) == "12:20:05.123 INFO    | hello"
    assert printer.text(line("\x1b[31mred\x1b[0m", "WARNING")) == "12:20:05.123 WARNING | red"
    assert printer.text(line("ready", system=True)) == "12:20:05.123 INFO    * ready"


def test_a_terminal_without_colour_tells_standard_error_apart() -> None:
    error = replace(line("hello"), is_stderr=True)
    assert LinePrinter(False, lambda: 80).text(error) == "12:20:05.123 INFO    ! hello"
    assert LinePrinter(False).text(error) == "12:20:05.123 INFO    | hello"


def test_in_colour_the_level_colours_mark_and_text() -> None:
    assert LinePrinter(colour=True).text(line("bad", "ERROR")) == (
        "\x1b[2m12:20:05.123\x1b[0m \x1b[31m│\x1b[0m \x1b[31mbad\x1b[0m"
    )


def test_a_line_that_brings_colours_keeps_them_and_they_end_with_it() -> None:
    text = LinePrinter(colour=True).text(line("\x1b[32mgreen", "ERROR"))
    assert text.endswith("\x1b[32mgreen\x1b[0m")


def test_a_line_cannot_begin_another_one() -> None:
    assert "\n" not in LinePrinter(colour=False).text(line("a\nb"))


def test_the_service_speaks_with_a_mark_of_its_own() -> None:
    assert "●" in LinePrinter(colour=True).text(line("ready", system=True))


FORGED = "12:20:05.123 INFO    * ready in 0.1 s"


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("columns", [8, 30, 60, 80])
@pytest.mark.parametrize(
    "message",
    [
        "x" * 100 + FORGED * 5,
        "漢" * 120 + FORGED * 3,
        "\t" * 40 + FORGED,
        "\x1b[36m" + "ab \x1b[1m" * 60,
        "e\u0301" * 90,
    ],
)
def test_each_row_of_a_long_line_begins_with_its_mark(colour: bool, columns: int, message: str) -> None:
    printer = LinePrinter(colour, lambda: columns)
    for system, mark in ((False, "│" if colour else "|"), (True, "●" if colour else "*")):
        shown = printer.text(line(message, system=system))
        rows = re.sub(r"\x1b\[[0-9;:?]*[a-z]", "", shown).split("\n")
        assert len(rows) > 1
        for row in rows:
            assert re.match(rf"(?:12:20:05\.123 |(?:INFO)? +)*{re.escape(mark)} ", row), row
            assert cell_len(row) <= columns
        text = "".join(row.partition(f"{mark} ")[2] for row in rows)
        assert text.replace(" ", "") == re.sub(r"\x1b\[[0-9;]*m|[\t ]", "", message)


def test_a_row_has_the_colours_that_are_open_and_the_mark_has_none_of_them() -> None:
    shown = LinePrinter(True, lambda: 45).text(line("\x1b[31m" + "a" * 30 + "b" * 5))
    assert shown == (
        "\x1b[?7l\x1b[2m12:20:05.123\x1b[0m \x1b[34m│\x1b[0m \x1b[31m" + "a" * 30 + "\x1b[0m\n"
        "             \x1b[34m│\x1b[0m \x1b[31mbbbbb\x1b[0m\x1b[?7h"
    )


def test_what_acts_unseen_in_a_line_is_shown() -> None:
    shown = LinePrinter(colour=True).text(line("\x1b[32mok\x1b[2J\u202eevil\u2028next\x9b"))
    assert shown.endswith("\x1b[32mok\\u001b[2J\\u202eevil\\u2028next\\u009b\x1b[0m")
