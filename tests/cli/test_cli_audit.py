"""``preview audit``: exports are whole, their check finds each change, and no entry acts on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from preview.auth.audit.entry import FIRST, AuditEntry, Head, chained
from preview.cli.commands.people import audit

HOSTILE = "\x1b[2J\u202e\n|forged="


class _Api:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def trail() -> list[dict[str, Any]]:
    """Five entries as the API answers them, the newest first."""
    made, before = [], Head(0, FIRST)
    for number in range(5):
        entry = AuditEntry.new("ann", "launched", "ann", subject=f"gen_{number}", detail=HOSTILE, via="browser")
        made.append(chained(entry, before.seq + 1, before.hash))
        before = Head(made[-1].seq, made[-1].hash)
    return [entry.as_dict() | {"at": "2026-11-26T09:14:02.000Z"} for entry in reversed(made)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    items = trail()
    asked: list[str] = []

    def collect(_api: object, path: str, *_rest: object) -> list[dict[str, Any]]:
        asked.append(path)
        return items

    monkeypatch.setattr(audit, "open_api", lambda *_: _Api())
    monkeypatch.setattr(audit, "collect", collect)

    def call(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(audit.app, list(words))
        assert done.exit_code == code, done.output
        if words[:1] == ("--all",):
            assert asked[-1] == "/operator/audit"
        return done.output

    return call


def test_a_hostile_entry_is_one_row_and_one_line_in_each_form(run: Callable[..., str]) -> None:
    for words in ([], ["--format", "jsonl"], ["--format", "cef"]):
        shown = run("--all", *words)
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "\nforged" not in shown
        assert shown.count("\n") == (5 if words else 6)
    numbers = [line.partition("externalId=")[2].split()[0] for line in run("--format", "cef").splitlines()]
    assert numbers == ["1", "2", "3", "4", "5"]


def test_an_export_is_intact_and_each_change_of_it_is_named(run: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    lines = run("--all", "--format", "jsonl").splitlines()

    def verify(*changed: str, code: int = 1) -> str:
        file.write_text("".join(f"{line}\n" for line in changed))
        return run("verify", "--file", str(file), code=code)

    assert "is intact: 5 entries" in verify(*lines, code=0)
    # One that begins in the middle is checked from its first entry on.
    assert "is intact" in verify(*lines[2:], code=0)
    assert "#3 was changed, or moved" in verify(*lines[:2], lines[2].replace("gen_2", "gen_9"), *lines[3:])
    assert "#3" in verify(*lines[:2], *lines[3:])
    assert "#2" in verify(lines[0], lines[2], lines[1], *lines[3:])
    head = Head(5, "0" * 64)
    file.write_text("\n".join(lines))
    assert "not intact" in run("verify", "--file", str(file), "--head", f"{head.seq}:{head.hash}", code=1)
    for wrong in ("{", "[]", '{"seq": 1}', "\x00"):
        # The sentence may go over several lines of a frame.
        assert "is not an export" in " ".join(verify(wrong, code=2).replace("│", " ").split())
