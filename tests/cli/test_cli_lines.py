"""Log lines as text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from preview.cli.lines import LinePrinter, ShownLine


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
