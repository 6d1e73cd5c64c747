"""Relations between operations: an application that loses a value, a filter or an object, and one that does not."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from test_probes_program import Answer, Run, api, run

from preview.replay.probe.messages import Send

TEXT, WHOLE = {"type": "string", "maxLength": 300}, {"type": "integer", "minimum": 0, "maximum": 2000000}
DATE = {"type": "string", "format": "date"}
FIELDS = {"title": TEXT, "credits": WHOLE, "summary": TEXT, "status": TEXT, "start": DATE}
IN = {"type": "object", "required": ["title", "credits"], "properties": FIELDS}
BODY = {"required": True, "content": {"application/json": {"schema": IN}}}
CHANGE = {"required": True, "content": {"application/json": {"schema": {"type": "object", "properties": FIELDS}}}}
OK: dict[str, Any] = {"responses": {"200": {"description": "ok"}}}
FILTERS = [{"name": name, "in": "query", "schema": TEXT} for name in ("title", "min_credits")]
COURSES = api(
    {
        "/courses": {"get": {**OK, "parameters": FILTERS}, "post": {**OK, "requestBody": BODY}},
        "/courses/{id}": {
            "get": OK,
            "put": {**OK, "requestBody": BODY},
            "patch": {**OK, "requestBody": CHANGE},
            "delete": OK,
        },
    }
)


class Courses:
    """Courses with at most one mistake. It trims texts, sets the status itself, and reads 0 as a date."""

    def __init__(self, mistake: str = "") -> None:
        self.mistake = mistake
        self.kept: dict[int, dict[str, Any]] = {
            number: self._made(number, {"title": f"Course {number}", "credits": number * 3}) for number in (1, 2, 3)
        }
        self.next = 4

    def __call__(self, sent: Send) -> Answer:
        path, _, query = sent.target.partition("?")
        last = path.rpartition("/")[2]
        if last == "courses":
            return self._create(sent) if sent.method == "POST" else (200, self._listed(dict(parse_qsl(query))))
        found = self.kept.get(int(last)) if last.isascii() and last.isdigit() and len(last) < 9 else None
        if found is None:
            return 404, {}
        if sent.method == "DELETE":
            del self.kept[found["id"]]
            return 200, {}
        if sent.method == "GET":
            return 200, found
        return self._change(sent, found)

    def _create(self, sent: Send) -> Answer:
        body = _body(sent)
        if body is None or "title" not in body or "credits" not in body:
            return 422, {}
        made = self._made(self.next, body)
        self.next += 1
        kept = dict(made)
        if self.mistake == "stored as another value":
            kept["summary"] = ""
        if self.mistake != "not stored":
            self.kept[made["id"]] = kept
        return 200, made

    def _made(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        points = min(body["credits"], 10) if self.mistake == "cut" else body["credits"]
        summary = None if self.mistake == "left out" else body.get("summary")
        start = "1970-01-01" if body.get("start") == "0" else body.get("start")
        made = {"title": body["title"].strip(), "credits": points, "summary": summary}
        return {"id": number, **made, "status": "new", "start": start}

    def _change(self, sent: Send, found: dict[str, Any]) -> Answer:
        body = _body(sent)
        if body is None or (sent.method == "PUT" and not {"title", "credits"} <= body.keys()):
            return 422, {}
        body.pop("status", None)
        shown = {**found, **body}
        if self.mistake == "an update is not kept":
            body.pop("credits", None)
        if self.mistake == "an update resets others" and "credits" not in body:
            body["credits"] = 0
        found.update(body)
        return 200, shown

    def _listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        items = list(self.kept.values())
        if "title" in query and self.mistake != "a filter without effect":
            items = [one for one in items if query["title"].casefold() in one["title"].casefold()]
        least = query.get("min_credits", "")
        if least.isascii() and least.isdigit() and len(least) < 9:
            is_strict = self.mistake == "a bound that leaves itself out"
            items = [one for one in items if one["credits"] >= int(least) + is_strict]
        return items[:3] if self.mistake == "a list without new ones" else items


def _body(sent: Send) -> dict[str, Any] | None:
    try:
        body = json.loads(sent.body or b"")
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    texts = all(isinstance(body.get(one, ""), str) and len(body.get(one, "")) <= 300 for one in ("title", "summary"))
    points = body.get("credits", 0)
    is_whole = isinstance(points, int) and not isinstance(points, bool) and 0 <= points <= 2000000
    return dict(body) if texts and is_whole and body.get("title", "x").strip() else None


def found(done: Run) -> set[tuple[str, str]]:
    kinds = ("changed_value", "created_not_found", "filter", "paging", "server_error")
    assert done.is_done
    return {(done.operations[one.operation][0], one.kind) for one in done.found if one.kind in kinds}


def test_an_application_that_keeps_what_it_gets_has_no_findings() -> None:
    assert found(run(COURSES, Courses(), seconds=15)) == set()


@pytest.mark.parametrize(
    ("mistake", "finding"),
    [
        ("cut", ("POST", "changed_value")),
        ("left out", ("POST", "changed_value")),
        ("stored as another value", ("GET", "changed_value")),
        ("an update is not kept", ("GET", "changed_value")),
        ("an update resets others", ("GET", "changed_value")),
        ("a filter without effect", ("GET", "filter")),
        ("a bound that leaves itself out", ("GET", "filter")),
        ("a list without new ones", ("GET", "created_not_found")),
    ],
)
def test_each_mistake_is_found(mistake: str, finding: tuple[str, str]) -> None:
    assert finding in found(run(COURSES, Courses(mistake), seconds=15))


def _endpoint(method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    return {"method": method, "path": path, "query": {}, "body": body, "path_parameters": {}}


@pytest.mark.parametrize(("mistake", "is_found"), [("", False), ("an update is not kept", True)])
def test_a_change_that_its_answer_confirms_is_read_again_without_a_document(mistake: str, is_found: bool) -> None:
    """The source names no field of the change: objects do."""
    endpoints = [
        _endpoint("GET", "/courses"),
        _endpoint("POST", "/courses", {"title": "string", "credits": "integer"}),
        _endpoint("GET", "/courses/{id}"),
        _endpoint("PATCH", "/courses/{id}"),
    ]
    assert (("GET", "changed_value") in found(run(None, Courses(mistake), endpoints=endpoints))) is is_found
