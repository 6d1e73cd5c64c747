"""``preview trace`` shows what a stranger's application has reported: nothing of it acts on the terminal, or loops."""

from __future__ import annotations

from typing import Any

import pytest

from preview.cli.commands.history import trace
from preview.cli.commands.understand import metrics
from preview.cli.exits import CommandFailed

HOSTILE = "\x1b[2J\u202e\n"


def span(number: int, parent: int | None = 0, **more: Any) -> dict[str, Any]:
    made = {
        "span_id": f"{number:016x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "kind": "sql",
        "name": "SELECT authors",
        "offset_ms": float(number),
        "duration_ms": 0.5,
        "detail": "select name from authors where id = ?",
        "status": None,
        "error": None,
        "source": "launcher",
    }
    return made | more


def found(*spans: dict[str, Any]) -> dict[str, Any]:
    hint = {"sentence": f"The same statement ran 12 times. {HOSTILE}"}
    return {
        "name": f"GET /books{HOSTILE}", "status": 200, "duration_ms": 48.2, "sql_count": 12, "sql_ms": 6.0,
        "call_count": 1, "request_id": "r1", "dropped": 3, "hints": [hint], "spans": list(spans),
    }  # fmt: skip


def test_hostile_names_circles_and_repeated_ids_are_shown_once_and_without_effect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = span(1, None, name=HOSTILE, detail=HOSTILE * 50, error=HOSTILE)
    chain = [span(number, number - 1, name=f"s{number}") for number in range(2, 900)]
    circle = [span(1000, 1001, name="a"), span(1001, 1000, name="b"), span(1002, 1002, name="self"), span(2, 1)]
    trace._print_one(found(root, *chain, *circle), whole=True)
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    assert "hint: The same statement ran 12 times." in said.err
    assert "3 spans of this request were not kept" in said.err
    ids = {one["span_id"] for one in [root, *chain, *circle]}
    # Two lines of facts before the spans.
    assert len(said.out.splitlines()) == len(ids) + 2


def test_the_same_statement_is_folded_unless_all_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    spans = [span(1, None, kind="request", name="GET /books", detail="")]
    spans += [span(number, 1) for number in range(2, 14)]
    trace._print_one(found(*spans), whole=False)
    folded = capsys.readouterr().out
    assert folded.count("select name") == 3
    assert "… 9 more of the same (--all)" in folded
    trace._print_one(found(*spans), whole=True)
    assert capsys.readouterr().out.count("select name") == 12


class Answers:
    """In the place of the service."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.asked: list[dict[str, Any]] = []

    def get_json(self, _path: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(params)
        return {"items": self.items}


def test_a_trace_is_named_by_its_number_its_id_or_its_request() -> None:
    api: Any = Answers([{"number": 7, "trace_id": "t7"}])
    assert trace._find(api, "/traces", "7") == "t7"
    assert trace._find(api, "/traces", "of-a-client") == "t7"
    assert trace._find(api, "/traces", "ab" * 16) == "ab" * 16
    assert api.asked == [{"limit": 1, "before": 8}, {"limit": 1, "request_id": "of-a-client"}]
    with pytest.raises(CommandFailed):
        trace._find(api, "/traces", "8")


def test_a_list_says_that_tracing_is_off_and_what_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    trace._print_list({"items": [], "tracing": False, "dropped": 5, "removed": 6})
    said = capsys.readouterr().err
    assert "preview env start GEN --trace" in said
    assert "5 spans were lost" in said
    assert "6 spans of older requests" in said
    trace._print_list({"items": [], "tracing": True, "dropped": 1, "removed": 1})
    said = capsys.readouterr().err
    assert "1 span was lost" in said
    assert "1 span of older requests was removed" in said


def test_reported_metrics_are_shown_without_effect(capsys: pytest.CaptureFixture[str]) -> None:
    empty = {"value": None, "count": None, "sum": None, "max": None}
    gauge = empty | {"name": f"queue{HOSTILE}", "kind": "gauge", "unit": HOSTILE, "attributes": {HOSTILE: "[red]"}}
    histogram = empty | {"name": "took", "kind": "histogram", "unit": "s", "attributes": {}, "count": 41, "sum": 12.5}
    metrics._show_reported({"dropped": 1200, "items": [gauge | {"value": 3.0}, histogram]})
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out
    assert "1,200 values were dropped" in said.err
    head, *_, last = said.out.splitlines()
    assert head.split() == ["METRIC", "KIND", "VALUE", "COUNT", "SUM", "MAX", "UNIT"]
    assert "[red]" in said.out
    assert last.split() == ["took", "histogram", "-", "41", "12.5", "-", "s"]
    metrics._show_reported({"dropped": 0, "items": []})
    assert capsys.readouterr().err == "The program has reported no metrics.\n"
