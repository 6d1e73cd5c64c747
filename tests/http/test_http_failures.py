"""Failures and diagnosis over HTTP: a bug, its record, the fix, and what is new since the reload."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import trio
from http_kit import World, open_world

BACKEND = """
from fastapi import FastAPI

app = FastAPI()
USERS = {"ann": {"mail": "ann@example.com"}}


def load(name):
    return USERS[name]


@app.get("/users/{name}")
def user(name: str):
    return load(name)


@app.get("/health")
def health():
    return {}
"""
REQUIREMENTS = {"requirements.txt": "fastapi\n"}
BROKEN = {
    "main.py": "from fastapi import FastAPI\nimport helpers\napp = FastAPI()\n",
    "helpers.py": "LIMIT = int('many')\n",
}


async def call(world: World, launched: dict[str, Any], path: str) -> int:
    answer = await world.ask(
        "POST",
        f"/api/v1/generations/{launched['generation_id']}/preview/request",
        {"method": "GET", "path": path},
        headers={"X-Preview-Token": launched["session_token"]},
    )
    assert answer.status_code == 200, answer.text
    status: int = answer.json()["status_code"]
    return status


async def tell(world: World, *words: str) -> str:
    """Return the output of a command, as a person with a token calls it."""
    environment = {**os.environ, "PREVIEW_URL": world.url, "PREVIEW_TOKEN": world.token("ann")}
    program = [sys.executable, "-c", "from preview.cli import main; main()"]
    done = await trio.run_process([*program, *words], capture_stdout=True, env=environment)
    return done.stdout.decode()


async def failures_of(world: World, base: str, count: int) -> list[dict[str, Any]]:
    """The records, once so many failures are counted: Uvicorn prints a traceback after it has sent the 500."""
    with trio.fail_after(30):
        while True:
            items: list[dict[str, Any]] = (await world.ask("GET", f"{base}/failures")).json()["items"]
            if sum(one["count"] for one in items) >= count:
                return items


async def test_the_story_of_a_bug_its_record_and_its_fix(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep({"main.py": BACKEND, **REQUIREMENTS})
        launched = await world.launch(made)
        base = f"/api/v1/generations/{made}/preview"
        assert await call(world, launched, "/users/ann") == 200
        assert (await world.ask("GET", f"{base}/failures")).json()["items"] == []
        assert [await call(world, launched, f"/users/{name}") for name in ("bob", "eve")] == [500, 500]

        (shown,) = await failures_of(world, base, 2)
        assert (shown["type"], shown["count"], shown["first"]["reload"]) == ("KeyError", 2, 0)
        assert (shown["frame"]["path"], shown["frame"]["line"], shown["frame"]["function"]) == ("main.py", 9, "load")
        assert shown["last"]["request_id"]
        detail = (await world.ask("GET", f"{base}/failures/{shown['id']}")).json()
        assert detail["source"]["lines"][detail["source"]["line"] - detail["source"]["first_line"]] == (
            "    return USERS[name]"
        )
        request = detail["request"]
        assert (request["method"], request["target"], request["status"]) == ("GET", "/users/eve", 500)
        linked = [(await world.ask("GET", f"{base}/requests/{number}")).json()["failure"] for number in (1, 2, 3)]
        assert linked == [None, shown["id"], shown["id"]]
        listed = (await world.ask("GET", f"{base}/requests")).json()["items"]
        assert [one["failure"] for one in listed] == linked[::-1]
        assert [one["function"] for one in detail["exceptions"][0]["frames"] if one["is_own"]] == ["load", "user"]
        lines = (await world.ask("GET", f"{base}/logs?after={shown['last']['first_line'] - 1}&limit=1")).json()
        assert "Traceback" in lines["lines"][0]["message"]
        text = (await world.ask("GET", f"{base}/failures/{shown['id']}?format=text")).text
        assert "# KeyError: 'bob'" in text
        assert "GET /users/eve -> 500 (record 3)" in text
        assert ">     9 |     return USERS[name]" in text

        queries = (("KeyError", 1), ("-KeyError", 0), ("load", 1), ("since:1m", 1), ("/Value.*/", 0))
        by_request = (
            ("path:/users/eve", 1),
            ("status:500 req:3", 1),
            ("status:200 OR req:2", 0),
            ("-path:/users/*", 0),
        )
        for query, count in queries + by_request:
            answer = await world.client.get(f"{base}/failures", params={"filter": query}, headers=world.headers("ann"))
            found = answer.json()
            assert len(found["items"]) == count, query
        assert (
            await world.client.get(f"{base}/failures?filter=status:", headers=world.headers("ann"))
        ).status_code == 400
        for path in ("failures", f"failures/{shown['id']}", "diagnosis"):
            assert (await world.ask("GET", f"{base}/{path}", user="bob")).status_code == 404
        assert (await world.ask("GET", f"{base}/failures/none")).json()["code"] == "failure_not_found"

        # The fix, in which another bug comes in.
        fixed = BACKEND.replace("return USERS[name]", "return USERS.get(name).copy()")
        await world.ask("PATCH", f"/api/v1/generations/{made}/files", {"files": {"main.py": fixed}})
        assert await call(world, launched, "/users/bob") == 500
        items = await failures_of(world, base, 3)
        assert [(one["type"], one["first"]["reload"]) for one in items] == [("AttributeError", 1), ("KeyError", 0)]
        why = (await world.ask("GET", f"{base}/diagnosis")).json()
        assert (why["status"], why["reason"], why["exit"]) == ("running", "exception", None)
        assert why["advice"] == ["Look at main.py:9 in load."]
        assert [one["type"] for one in why["failures"]] == ["AttributeError", "KeyError"]

        told = await tell(world, "why")
        assert told.startswith(f"{made}: running\nThe preview is running; its newest failure is AttributeError")
        assert "- Look at main.py:9 in load." in told
        assert shown["id"] in await tell(world, "failures", made)
        assert "return USERS[name]" in await tell(world, "failures", made, shown["id"])

        await world.stop_preview(made)
        assert (await world.ask("GET", f"{base}/failures")).json()["items"] == items

        # A start that fails.
        broken = await world.keep({**BROKEN, **REQUIREMENTS})
        base = f"/api/v1/generations/{broken}/preview"
        failed = await world.ask("POST", f"{base}/launch", {}, headers={"Prefer": "wait=60"})
        assert failed.status_code == 500
        why = (await world.ask("GET", f"{base}/diagnosis")).json()
        assert (why["status"], why["reason"]) == ("failed", "exception")
        assert why["exit"]["code"] not in (0, None)
        assert why["exit"]["words"]
        assert why["summary"] == failed.json()["detail"]
        assert "Look at helpers.py:1." in why["advice"]
        assert [one["state"] for one in why["phases"]] == ["done", "done", "done", "failed"]
        assert any("invalid literal" in line["message"] for line in why["last_lines"])
        (one,) = why["failures"]
        assert one["last"]["is_startup"]
        told = await tell(world, "why")
        assert told.startswith(f"{broken}: failed\n")
        assert "- Look at helpers.py:1." in told
        detail = (await world.ask("GET", f"{base}/failures/{one['id']}")).json()
        assert detail["source"]["lines"][0] == "LIMIT = int('many')"

    # After a restart of the service.
    async with open_world(tmp_path) as world:
        assert (await world.ask("GET", f"/api/v1/generations/{made}/preview/failures")).json()["items"] == items
