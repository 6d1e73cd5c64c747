"""Made-up requests, failures, tests and alerts of a project: this answers the page in the place of the service."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from data_kit import GENERATION, MadeUpData
from page_kit import Running, Visit
from playwright.sync_api import Route

HOSTILE = "<img src=x onerror=alert(1)>\u202e"
_AT = "2026-11-20T12:00:00.000Z"


def record(number: int, **more: Any) -> dict[str, Any]:
    """A recorded request as a list has it."""
    status = (200, 200, 404, 500, 201)[number % 5]
    made = {
        "number": number,
        "preview_id": "preview_data",
        "request_id": f"req-{number}",
        "started_at": f"2026-11-20T12:{number // 60 % 60:02}:{number % 60:02}.000Z",
        "origin": ("browser", "call", "replay", "direct")[number % 4],
        "who": ("owner", "viewer", "agent", "unknown")[number % 4],
        "method": ("GET", "POST", "GET", "DELETE")[number % 4],
        "target": f"/books/{number}?language=eo",
        "status": status,
        "error": None,
        "timing": {"queued_ms": 0.4, "connected_ms": 1.2, "first_byte_ms": 18.5, "ended_ms": 24.25},
        "sent_bytes": 120,
        "received_bytes": 90_000,
        "reload": 2,
        "first_line": 3,
        "last_line": 4,
        "pinned": number % 7 == 0,
    }
    return made | more


def whole_record(number: int) -> dict[str, Any]:
    """The same with headers and bodies."""
    body = json.dumps({"id": number, "title": "Emma", "tags": ["new", HOSTILE], "author": {"name": "Jane Austen"}})
    return record(number) | {
        "request": {
            "headers": [["Host", "localhost"], ["Authorization", "Bearer [redacted]"], ["X-<b>", HOSTILE]],
            "body": '{"title": "Emma"}',
            "encoding": None,
            "kept_bytes": 17,
            "size_bytes": 17,
        },
        "response": {
            "headers": [["Content-Type", "application/json"], ["Server", "uvicorn"]],
            "body": body,
            "encoding": None,
            "kept_bytes": len(body),
            "size_bytes": 90_000,
        },
    }


_FRAME = {"path": "main.py", "line": 12, "function": "get_book", "code": "return BOOKS[book_id]", "is_own": True}


def _occurrence(number: int) -> dict[str, Any]:
    return {
        "timestamp": _AT,
        "first_line": number,
        "last_line": number + 8,
        "request_id": f"req-{number}",
        "request": number,
        "reload": 2,
        "is_startup": False,
        "message": "",
    }


def failure(number: int, **more: Any) -> dict[str, Any]:
    """A group of failures as a list has it."""
    made = {
        "id": f"f{number}",
        "preview_id": "preview_data",
        "language": "python",
        "type": ("KeyError", "sqlalchemy.exc.IntegrityError", HOSTILE)[number % 3],
        "message": ("'7'", "UNIQUE constraint failed: books.title\n[SQL: INSERT INTO books]", HOSTILE)[number % 3],
        "frame": _FRAME if number != 1 else None,
        "count": number * 3 + 1,
        "first": _occurrence(3),
        "last": _occurrence(40),
    }
    return made | more


def whole_failure(number: int) -> dict[str, Any]:
    """The same with source, frames and occurrences."""
    library = {"path": "starlette/routing.py", "line": 74, "function": "app", "code": "await func()", "is_own": False}
    return failure(number) | {
        "exceptions": [
            {"type": "KeyError", "message": "'7'", "frames": [_FRAME, *[library] * 20], "relation": "raised"},
            {"type": "ValueError", "message": HOSTILE, "frames": [_FRAME], "relation": "cause"},
        ],
        "source": {
            "path": "main.py",
            "line": 12,
            "first_line": 10,
            "lines": ['@app.get("/books/{book_id}")', "def get_book(book_id: str):", "    return BOOKS[book_id]", HOSTILE],
        },
        "occurrences": [_occurrence(3), _occurrence(40)],
    }


def rule(number: int, **more: Any) -> dict[str, Any]:
    """An alert rule."""
    made = {
        "id": f"alert_{number}",
        "name": ("Errors", HOSTILE, "Silence")[number % 3],
        "condition": {"kind": "matches", "filter": "error", "on": "lines", "count": 5, "within_s": 60},
        "summary": "5 lines in 60 s match 'error'",
        "scope": {"generation_id": GENERATION, "project_id": None},
        "cooldown_s": 60,
        "enabled": number != 2,
        "state": ("active", "paused", "off")[number % 3],
        "webhook": {"url": "https://hooks.example.com/preview", "has_secret": True, "body": None},
        "created_at": _AT,
        "updated_at": _AT,
    }
    return made | more


def _firing(number: int) -> dict[str, Any]:
    delivery = {"state": ("delivered", "failed")[number % 2], "attempts": 3, "status": 500, "at": _AT}
    return {
        "id": f"firing_{number}",
        "alert_id": "alert_0",
        "alert": "Errors",
        "generation_id": GENERATION,
        "project_id": "bookshop",
        "preview_id": "preview_data",
        "fired_at": _AT,
        "summary": "5 lines in 60 s match 'error'",
        "matches": 5,
        "line": f"ValueError: {HOSTILE}",
        "first_line": 40,
        "last_line": 48,
        "request": 3,
        "suppressed": 2,
        "test": number == 1,
        "delivery": delivery | {"problem": None if number % 2 == 0 else "The receiver answered 500."},
    }


def _probe() -> dict[str, Any]:
    row = {"method": "GET", "path": "/books/{id}", "is_documented": True, "requests": 40, "ok": 12}
    row |= {"client_errors": 21, "server_errors": 7, "no_answers": 0, "mismatches": 1, "is_reached": True}
    step = {"number": 1, "method": "GET", "target": "/books/0", "body": None, "status": 500}
    return {
        "id": "probe_1",
        "generation_id": GENERATION,
        "revision": 1,
        "state": "done",
        "phase": "",
        "started_at": _AT,
        "finished_at": _AT,
        "seconds": 30,
        "elapsed_s": 12.5,
        "requests": 240,
        "engine": "own",
        "notes": ["The document names no example values."],
        "error": None,
        "rows": [row, row | {"method": "POST", "path": "/orders", "ok": 0, "server_errors": 0, "is_reached": False}],
        "findings": [
            {
                "number": 1,
                "kind": "server_error",
                "is_doubtful": False,
                "method": "GET",
                "path": "/books/{id}",
                "sentence": "A valid request was answered with 500.",
                "steps": [step | {"curl": 'curl "$PREVIEW/books/0"'}],
                "answer": "Internal Server Error",
                "error": "ZeroDivisionError: division by zero",
                "frame": "main.py:12 in get_book",
                "lines": [{"seq": 1, "level": "ERROR", "message": HOSTILE}],
            }
        ],
    }


@dataclass
class MadeUpProject(MadeUpData):
    """Answers the page's requests about one project. Attributes change what it answers."""

    records: list[dict[str, Any]] = field(default_factory=lambda: [record(number) for number in range(40, 0, -1)])
    failures: list[dict[str, Any]] = field(default_factory=lambda: [failure(number) for number in range(3)])
    rules: list[dict[str, Any]] = field(default_factory=lambda: [rule(number) for number in range(3)])
    sent: list[tuple[str, Any]] = field(default_factory=list)

    def open(self, seen: Visit, running: Running, user: str) -> None:
        seen.page.route(re.compile(r"/api/v1/(alerts|filter)"), self._answer)
        super().open(seen, running, user)

    def _answer(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        is_stream = route.request.headers.get("accept") == "text/event-stream"
        if is_stream and address.path.endswith("/preview/requests"):
            route.fulfill(status=204)
            return
        if route.request.method != "GET" and "generations" not in address.path:
            body = route.request.post_data
            self.sent.append((f"{route.request.method} {address.path}", json.loads(body) if body else None))
        super()._answer(route)

    def _answer_to(self, call: str, query: dict[str, list[str]], body: str | None) -> tuple[int, Any]:
        known = {
            "GET /preview/requests": {"items": self.records, "next": None, "lost": 2},
            "GET /preview/capture": {"capture": "full"},
            "GET /preview/failures": {"items": self.failures, "next": None},
            "GET /preview/firings": {"items": [_firing(0), _firing(1)], "next": None},
            "GET /alerts": {"items": self.rules, "next": None},
            "GET /preview/probe": _probe(),
        }
        if call in known:
            return 200, known[call]
        if call == "GET /filter":
            return self._explain(query["text"][0])
        if found := re.fullmatch(r"GET /preview/(requests|failures)/f?(\d+)", call):
            return 200, (whole_record if found[1] == "requests" else whole_failure)(int(found[2]))
        if call.startswith("GET /alerts/"):
            return 200, {"items": [_firing(0)], "next": None}
        if re.fullmatch(r"(POST|PUT) /alerts(/alert_\d+)?", call):
            return 200, rule(0)
        if call == "POST /alerts/preview":
            return 200, {"preview_id": "preview_data", "examined": 900, "first_line": 1, "last_line": 900, "matched": 7,
                         "samples": [], "is_cut": False,
                         "firings": [{"at": _AT, "summary": "5 lines", "line": 40, "text": HOSTILE}]}  # fmt: skip
        if re.fullmatch(r"DELETE /alerts/alert_\d", call):
            self.rules = [one for one in self.rules if not call.endswith(one["id"])]
            return 200, None
        if call == "POST /alerts/alert_0/test":
            return 200, _firing(1)
        return super()._answer_to(call, query, body)

    @staticmethod
    def _explain(text: str) -> tuple[int, Any]:
        if "colour:" in text:
            said = "“colour:red” is not known; did you mean “source:”?"
            return 400, {"status": 400, "detail": said, "code": "invalid_filter"}
        facts = {"negated": False, "on_lines": True, "on_requests": True}
        return 200, {"terms": [{"text": one, "sentence": f"Has {one}."} | facts for one in text.split()]}
