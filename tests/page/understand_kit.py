"""Made-up requests, failures, tests and alerts of a project: this answers the page in the place of the service."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from data_kit import GENERATION, MadeUpData
from page_kit import Running, Visit
from playwright.sync_api import Route

HOSTILE = "<img src=x onerror=alert(1)>\u202e"
_AT = "2026-11-20T12:00:00.000Z"


def record(number: int, **more: Any) -> dict[str, Any]:
    """A recorded request as a list has it."""
    status = (200, None, 404, 500, 201)[number % 5]
    made = {
        "number": number,
        "preview_id": "preview_data",
        "request_id": f"req-{number}",
        "started_at": f"2026-11-20T12:{number // 60 % 60:02}:{number % 60:02}.000Z",
        "origin": ("browser", "call", "replay", "direct")[number % 4],
        "who": ("owner", "viewer", "agent", "unknown")[number % 4],
        "method": ("GET", "POST", "GET", "DELETE")[number % 4],
        "target": f"/books/{number}?language=eo",
        "path": f"/books/{number}",
        "status": status,
        "error": None,
        "timing": {"queued_ms": 0.4, "connected_ms": 1.2, "first_byte_ms": 18.5, "ended_ms": 24.25},
        "sent_bytes": 120,
        "received_bytes": 90_000,
        "reload": 2,
        "first_line": 3,
        "last_line": 4,
        "is_verified": number % 4 != 3,
        "pinned": number % 7 == 0,
        "failure": "f3" if status == 500 else None,
    }
    return made | more


def whole_record(number: int) -> dict[str, Any]:
    """The same with headers and bodies."""
    body = json.dumps({"id": number, "title": "Emma", "tags": ["new", HOSTILE], "author": {"name": "Jane Austen"}})
    return record(number) | {
        "request": {
            "headers": [["Host", "localhost"], ["Authorization", "Bearer [redacted]"], ["X-<b>", HOSTILE]],
            "body": '{"title": "Emma"}',
            "body_encoding": "utf-8",
            "size_bytes": 17,
            "is_cut": False,
            "note": None,
        },
        "response": {
            "headers": [["Content-Type", "application/json"], ["Server", "uvicorn"]],
            "body": body,
            "body_encoding": "utf-8",
            "size_bytes": 90_000,
            "is_cut": True,
            "note": f"cut at {len(body)} of 90000",
        },
    }


_FRAME = {"path": "main.py", "line": 12, "function": "get_book", "code": "return BOOKS[book_id]", "is_own": True}


def _occurrence(number: int) -> dict[str, Any]:
    return {
        "at": _AT,
        "first_line": number,
        "last_line": number + 8,
        "request_id": f"req-{number}",
        "reload": 2,
        "is_startup": False,
        "message": "",
    }


def failure(number: int, **more: Any) -> dict[str, Any]:
    """A group of failures as a list has it."""
    made = {
        "id": f"f{number}",
        "fingerprint": "0" * 64,
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
        "preview_id": "preview_data",
        "exceptions": [
            {"type": "KeyError", "message": "'7'", "frames": [_FRAME, *[library] * 20], "relation": "raised"},
            {"type": "ValueError", "message": HOSTILE, "frames": [_FRAME], "relation": "cause"},
        ],
        "source": {
            "path": "main.py",
            "line": 12,
            "first_line": 10,
            "lines": [
                '@app.get("/books/{book_id}")',
                "def get_book(book_id: str):",
                "    return BOOKS[book_id]",
                HOSTILE,
            ],
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
                "failure": None,
                "lines": [{"seq": 1, "level": "ERROR", "message": HOSTILE}],
            }
        ],
    }


_DIAGNOSIS = {
    "preview_id": "preview_data",
    "generation_id": GENERATION,
    "status": "running",
    "summary": "It runs, and 3 kinds of requests fail.",
    "reason": "exception",
    "advice": ["Look at main.py:12 in get_book first.", HOSTILE],
    "exit": None,
    "phases": [],
    "reached": [],
    "last_lines": [],
    "failures": [],
}
_CHECKS_RUN = {
    "summary": "1 ok, 1 broke since reload 2",
    "ok": 1,
    "broke": 1,
    "skipped": 0,
    "on": "preview",
    "at": _AT,
    "reload": 2,
    "results": [
        {"name": "books", "request": "GET /books", "is_ok": True, "problems": [], "skipped": None, "status": 200,
         "elapsed_ms": 3.5, "lines": []},
        {"name": HOSTILE, "request": "GET /books/7", "is_ok": False, "problems": ["status: 500 in place of 200"],
         "skipped": None, "status": 500, "elapsed_ms": 4.5, "lines": []},
    ],
}  # fmt: skip
_CHECK: dict[str, Any] = {"headers": {}, "body": None, "body_base64": None, "status": 200, "expect": ["$.id is number"]}


def _answer_of(status: int, line: str) -> dict[str, Any]:
    return {"status": status, "elapsed_ms": 4.2, "error": None, "body": "{}", "size_bytes": 2, "lines": [line]}


_DIFFERENCES = [
    {"path": "status", "kind": "changed", "before": "200", "after": "500"},
    {"path": "$.items[0].title", "kind": "changed", "before": '"Emma"', "after": json.dumps(HOSTILE)},
    {"path": "$.price", "kind": "removed", "before": "9.9", "after": None},
]
_REPLAY = {
    "on": "preview",
    "items": [
        {"number": 38, "method": "GET", "path": "/books/38", "skipped": None, "lacks_secrets": True,
         "request_id": "r", "recorded": _answer_of(200, "a"), "answer": _answer_of(500, "b"), "verdict": "broke",
         "differences": _DIFFERENCES, "noise": ["$.created_at"]},
    ],
}  # fmt: skip
_COMPARED = {
    "number": 38, "method": "GET", "path": "/books/38", "endpoint": "GET /books/{id}", "skipped": None,
    "verdict": "broke", "differences": _DIFFERENCES, "noise": ["$.created_at"], "ignored": [], "is_cut": False,
    "first": _answer_of(200, "found it"), "second": _answer_of(200, "found it"), "candidate": _answer_of(500, HOSTILE),
}  # fmt: skip
_COMPARISON = {
    "verdict": "broke",
    "endpoints": [{"endpoint": "GET /health", "verdict": "same"}, {"endpoint": "GET /books/{id}", "verdict": "broke"}],
    "items": [_COMPARED, _COMPARED | {"endpoint": "GET /health", "path": "/health", "verdict": "same",
                                      "differences": [], "noise": []}],
    "failure": None,
    "last_lines": [],
}  # fmt: skip


def _page(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": items, "next": None, "preview_id": "preview_data"}


@dataclass
class MadeUpProject(MadeUpData):
    """Answers the page's requests about one project. Attributes change what it answers."""

    records: list[dict[str, Any]] = field(default_factory=lambda: [record(number) for number in range(40, 0, -1)])
    failures: list[dict[str, Any]] = field(default_factory=lambda: [failure(number) for number in range(3)])
    rules: list[dict[str, Any]] = field(default_factory=lambda: [rule(number) for number in range(3)])
    checks: dict[str, Any] = field(
        default_factory=lambda: {
            "checks": [{"name": "books", "request": "GET /books"} | _CHECK,
                       {"name": HOSTILE, "request": "GET /books/7"} | _CHECK],
            "ignore": [],
            "text": "",
            "last_run": None,
        }
    )  # fmt: skip
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
            "GET /preview/requests": _page(self.records) | {"lost": 2, "lost_bodies": 0, "capture": "full"},
            "GET /preview/failures": _page(self.failures) | {"further": 0, "unread_lines": 0},
            "GET /preview/diagnosis": _DIAGNOSIS,
            "GET /preview/checks": self.checks,
            "POST /preview/checks/run": _CHECKS_RUN,
            "POST /preview/compare": _COMPARISON,
            "POST /preview/requests/38/replay": _REPLAY,
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
        if call == "POST /preview/firings/trial":
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
