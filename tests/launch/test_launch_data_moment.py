"""A snapshot is of one moment: files, SQLite, PostgreSQL and Redis of a writer that never rests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, story

from preview.core.lifecycle import State
from preview.core.servers import find_postgresql, find_redis
from preview.detection import ServiceKind, ServiceNeed, detect
from preview.settings import Settings

# One number goes into all four, one after the other, by a process of its own.
COUNTER = """
import multiprocessing, os, pathlib, socket, sqlite3, time
import psycopg
from fastapi import FastAPI

FILE = pathlib.Path("counter.txt")

def in_file(number=None):
    if number is None:
        return int(FILE.read_text()) if FILE.exists() else 0
    FILE.with_suffix(".new").write_text(str(number))
    os.replace(FILE.with_suffix(".new"), FILE)

def in_sqlite(number=None):
    base = sqlite3.connect("counter.db")
    with base:
        base.execute("create table if not exists counter (id integer primary key, n int)")
        if number is not None:
            base.execute("insert or replace into counter values (1, ?)", (number,))
        found = base.execute("select n from counter").fetchone()
    base.close()
    return found[0] if found else 0

def in_postgresql(number=None):
    with psycopg.connect("postgresql://shop:s3cret@db:5432/shop", autocommit=True) as base:
        base.execute("create table if not exists counter (id int primary key, n int)")
        if number is not None:
            base.execute("insert into counter values (1, %s) on conflict (id) do update set n = %s", (number, number))
        found = base.execute("select n from counter").fetchone()
    return found[0] if found else 0

def in_redis(number=None):
    with socket.create_connection(("redis", 6379)) as base:
        base.sendall(b"GET n\\r\\n" if number is None else b"SET n %d\\r\\n" % number)
        said = base.makefile("rb")
        first = said.readline()
        return int(said.readline()) if first.startswith(b"$") and not first.startswith(b"$-1") else 0

ALL = (in_file, in_sqlite, in_postgresql, in_redis)
FOUND = [one() for one in ALL]

def write():
    number = max(FOUND)
    while True:
        number += 1
        for one in ALL:
            one(number)

app = FastAPI()
running = []

@app.get("/found")
def found(): return FOUND

@app.get("/now")
def now(): return in_redis()

@app.get("/go")
def go():
    running.append(multiprocessing.get_context("spawn").Process(target=write, daemon=True))
    running[0].start()
    return True
"""
FILES = {"main.py": COUNTER, "requirements.txt": "fastapi\nuvicorn\npsycopg[binary]\n"}
SNAPSHOTS = 2


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    if find_postgresql() is None or find_redis() is None:
        pytest.skip("no PostgreSQL or no Redis on this machine")
    settings = make_settings_in(
        cache_dir=launch_cache_dir, stop_grace_s=1, postgres="auto", redis="auto", warm_templates=0
    )
    with trio.fail_after(120):
        async with open_rig(settings, monkeypatch) as opened:
            if not {ServiceKind.POSTGRESQL, ServiceKind.REDIS} <= opened.service.supplied:
                pytest.skip("no sandbox gives previews a network of their own here")
            yield opened


@pytest.mark.long
async def test_no_part_is_older_than_another(rig: Rig, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    plan = detect(tmp_path, supplied=rig.service.supplied)
    redis = ServiceNeed(ServiceKind.REDIS, None, "main.py:1", address=("redis", 6379), supplied=True)
    preview = await rig.start(FILES, replace(plan, services=(*plan.services, redis)))
    assert preview.record.state is State.RUNNING, story(preview)

    async def answer(path: str) -> Any:
        got = await ask(preview, path)
        assert got.status_code == 200, (got.text, story(preview)[-20:])
        return got.json()

    assert await answer("/go")
    generation = await rig.service.generations.get("g1")
    kept = []
    for _ in range(SNAPSHOTS):
        before = await answer("/now")
        while await answer("/now") < before + 3:
            pass
        kept.append(await rig.service.data.save(generation, ""))
    # The writer goes on after it.
    last = await answer("/now")
    while await answer("/now") == last:
        pass
    for snapshot in kept:
        assert {part.kind for part in snapshot.parts} == {"files", "PostgreSQL", "Redis"}
        await rig.service.data.restore(ANN, generation, snapshot.id)
        found = await answer("/found")
        # The one that was being written is in the first of them only.
        assert found == sorted(found, reverse=True)
        assert found[0] - found[-1] <= 1, found
        assert found[-1] > 0
    assert sum("the application was paused" in line for line in story(preview)) == SNAPSHOTS
