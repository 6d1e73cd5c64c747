"""A project whose preview has made-up data: this answers the page in the place of the service."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from page_kit import Running, Visit
from playwright.sync_api import Route

GENERATION = "gen_data"
_TIMES = {
    "created_at": "2026-11-20T12:00:00.000Z",
    "started_at": "2026-11-20T12:00:01.000Z",
    "stopped_at": None,
    "expires_at": "2026-11-20T13:00:00.000Z",
}
_INSTANCE = _TIMES | {
    "id": "preview_data",
    "generation_id": GENERATION,
    "project_id": "bookshop",
    "user_id": "ada",
    "health": "healthy",
    "port": 3001,
    "base_url": "http://localhost:3001",
    "reason": None,
    "cause": None,
    "exit_code": None,
    "exit_signal": None,
}
_TABLES = [
    {"name": "public.authors", "rows": 12, "size_bytes": 24_576},
    {"name": "public.books", "rows": 1_204, "size_bytes": 1_310_720},
    {"name": "public.orders", "rows": None, "size_bytes": 8_192},
    {"name": "<img src=x onerror=alert(1)>\u202e", "rows": 0, "size_bytes": 0},
]
_COLUMNS = [
    {"name": "id", "type": "integer"},
    {"name": "title", "type": "text"},
    {"name": "price", "type": "numeric(10,2)"},
    {"name": "published", "type": "date"},
    {"name": "description", "type": "text"},
]
_LONG = "A long description of a book that nobody can read in one line of a table. " * 12
_DIFF = {
    "files": [
        {"path": "uploads/cover.png", "change": "added", "size_before": None, "size_after": 48_213},
        {"path": "settings.json", "change": "changed", "size_before": 812, "size_after": 845},
        {"path": "cache/old-thumbnail-of-a-cover-with-a-long-name.webp", "change": "removed", "size_before": 9_120,
         "size_after": None},
    ],
    "databases": [
        {
            "name": "PostgreSQL",
            "tables": [
                {
                    "name": "public.books",
                    "added": 2,
                    "changed": 1,
                    "removed": 1,
                    "samples": [
                        {"change": "added", "before": None, "after": {"id": "8", "title": "Dune", "price": None}},
                        {
                            "change": "changed",
                            "before": {"id": "3", "title": "Emma", "price": "9.90"},
                            "after": {"id": "3", "title": "Emma", "price": "8.50"},
                        },
                        {"change": "removed", "before": {"id": "5", "title": _LONG, "price": "4.00"}, "after": None},
                    ],
                    "note": None,
                },
                {"name": "public.log", "added": 240, "changed": 0, "removed": 0, "samples": [],
                 "note": "The table has no primary key, so a changed row counts as one removed and one added."},
            ],
        },
        {"name": "SQLite instance/app.db", "tables": []},
    ],
    "is_cut": False,
}  # fmt: skip


def snapshot(number: int, name: str, kind: str = "manual") -> dict[str, Any]:
    """A snapshot as the service answers it."""
    return {
        "id": f"snapshot_{number}",
        "generation_id": GENERATION,
        "name": name,
        "kind": kind,
        "created_at": f"2026-11-20T12:{number:02}:00.000Z",
        "size_bytes": 1_000_000 * number + 234_567,
        "sha256": "0" * 64,
        "parts": [
            {"kind": "files", "size_bytes": 81_920, "files": 34},
            {"kind": "PostgreSQL", "size_bytes": 1_000_000 * number, "files": None},
            {"kind": "Redis", "size_bytes": 412, "files": None},
        ],
    }


@dataclass
class MadeUpData:
    """Answers the page's requests about one project. Attributes change what it answers."""

    state: str = "running"
    services: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"kind": "PostgreSQL", "version": "PostgreSQL 17.2", "connections": 3, "size_bytes": 8_812_339},
            {"kind": "Redis", "version": "Redis 7.0.15", "connections": 0, "size_bytes": None},
        ]
    )
    databases: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": "postgresql", "kind": "PostgreSQL", "name": "PostgreSQL", "size_bytes": 8_812_339,
             "tables": _TABLES, "problem": None},
            {"id": "sqlite:instance/app.db", "kind": "SQLite", "name": "instance/app.db", "size_bytes": 16_384,
             "tables": [], "problem": "The file is not a database that SQLite can read."},
        ]
    )  # fmt: skip
    snapshots: list[dict[str, Any]] = field(
        default_factory=lambda: [
            snapshot(9, "before the restore of “nightly”", "before_restore"),
            snapshot(4, "before the change"),
            snapshot(2, ""),
        ]
    )
    # In the place of the books, and of their changes.
    rows: dict[str, Any] | None = None
    diff: dict[str, Any] = field(default_factory=lambda: _DIFF)
    asked: list[str] = field(default_factory=list)

    def open(self, seen: Visit, running: Running, user: str) -> None:
        """Sign in, with the project in the place of the user's own."""
        seen.page.route(re.compile(r"/api/v1/(previews|generations)|/api/generations"), self._answer)
        seen.sign_in(running, user)
        seen.page.get_by_role("heading", name="bookshop", level=2).wait_for()

    def _answer(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        path = address.path.removeprefix("/api/v1").removeprefix(f"/generations/{GENERATION}")
        call = f"{route.request.method} {path}"
        self.asked.append(call)
        if path == "/preview/logs/stream":
            route.fulfill(status=204)
            return
        status, body = self._answer_to(call, parse_qs(address.query), route.request.post_data)
        route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    def _answer_to(self, call: str, query: dict[str, list[str]], body: str | None) -> tuple[int, Any]:
        instance = _INSTANCE | {"status": self.state}
        made = {"id": GENERATION, "project_id": "bookshop", "name": "bookshop", "file_count": 9, "size_bytes": 9_000}
        known = {
            "GET /previews": {"previews": [instance]},
            "GET /previews/preview_data": instance | {"watchers": 1},
            "GET /generations": {"generations": [made | {"created_at": _TIMES["created_at"]}]},
            "GET /preview/status": instance | {"uptime_seconds": 9, "memory_usage_mb": 61, "cpu_usage_percent": 2},
            "GET /preview/services": {"services": self.services},
            "GET /preview/data": {"databases": self.databases},
            "GET /preview/snapshots": {"snapshots": self.snapshots},
        }
        if call in known:
            return 200, known[call]
        if call == "GET /preview/data/rows" and self.rows is not None:
            return 200, self.rows | {"offset": 0, "has_more": False}
        if call == "GET /preview/data/rows":
            return 200, _rows(int(query["offset"][0]), 0 if query["table"][0].startswith("<") else 1_204)
        if call == "POST /preview/data/query":
            return self._query(json.loads(body or "")["sql"])
        if "/diff/" in call:
            return 200, self.diff
        return self._change(call, json.loads(body or "{}"))

    def _query(self, sql: str) -> tuple[int, Any]:
        if "bookz" in sql:
            said = 'relation "bookz" does not exist\nLINE 1: select * from bookz'
            return 422, {"status": 422, "title": "Statement refused", "detail": said, "code": "query_refused"}
        return 200, _rows(0, 40) | {"is_cut": True, "elapsed_ms": 12}

    def _change(self, call: str, body: Any) -> tuple[int, Any]:
        number = 10 + len(self.snapshots)
        if call == "POST /preview/snapshots":
            self.snapshots.insert(0, snapshot(number, body["name"]))
            return 201, self.snapshots[0]
        if call == "POST /fork":
            return 201, {"id": "gen_fork", "name": body["name"]}
        if call.startswith("DELETE /preview/snapshots/"):
            self.snapshots = [one for one in self.snapshots if one["id"] != call.rpartition("/")[2]]
            return 200, None
        if call.endswith("/restore"):
            name = next(one["name"] for one in self.snapshots if one["id"] in call)
            self.snapshots.insert(
                0, snapshot(number, f"before the restore of “{name}”" if name else "before a restore", "before_restore")
            )
            return 200, {"before": self.snapshots[0], "elapsed_ms": 314}
        if call == "POST /preview/data/reset":
            self.snapshots.insert(0, snapshot(number, "before the reset", "before_reset"))
            return 200, {"before": self.snapshots[0], "elapsed_ms": 1_250}
        return 404, {"status": 404, "detail": "There is nothing here.", "code": "not_found"}


def _rows(offset: int, total: int) -> dict[str, Any]:
    rows = [
        [str(number), f"Book {number}", f"{number}.90", None if number % 4 == 0 else "2019-04-01", _LONG]
        for number in range(offset + 1, min(offset + 50, total) + 1)
    ]
    return {"columns": _COLUMNS, "rows": rows, "offset": offset, "has_more": offset + 50 < total}
