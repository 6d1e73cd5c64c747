"""The Markdown summary of checks: an application's text is only text in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.cli.commands.understand.junit import Case
from preview.cli.commands.understand.summary import append_summary, markdown_summary
from preview.cli.exits import CommandFailed


def test_failures_come_first_and_nothing_of_them_is_markup() -> None:
    evil = Case("a|b\n| x", 1.4, "<script>x</script> [a](http://b) `c`\x1b[31m")
    text = markdown_summary("checks", [Case("good", 2.0), Case("later", skipped="why"), evil])
    rows = text.splitlines()[4:7]
    assert rows[0].startswith("| broke | a\\|b \\| x | 1 | \\<script\\>")
    assert rows[1:] == ["| ok | good | 2 |  |", "| skipped | later | 0 | why |"]
    assert "\x1b" not in text


@given(st.text(max_size=60), st.text(max_size=60))
def test_each_case_is_one_row_of_four_cells(name: str, failure: str) -> None:
    row = markdown_summary("t", [Case(name, 1.0, failure)]).splitlines()[4]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 5
    assert len(markdown_summary("t", [Case(name, 1.0, failure)]).splitlines()) == 6


def test_it_is_appended(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    append_summary(file, "a\n")
    append_summary(file, "b\n")
    assert file.read_text() == "a\nb\n"
    append_summary(None, "c")
    with pytest.raises(CommandFailed, match="cannot be written"):
        append_summary(tmp_path / "none" / "x", "c")
