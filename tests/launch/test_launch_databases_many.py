"""Fifty previews with three databases each: healthy, over the end of each server, and gone, also with the service."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, story, target
from planned_kit import give_plan

from preview.backing.mysql import MysqlEngine
from preview.backing.postgresql import PostgresqlEngine
from preview.core.lifecycle import State, StopCause
from preview.core.servers import find_mysql, find_postgresql, find_redis
from preview.detection import Server, ServiceKind, ServiceNeed, StartPlan, Toolchain
from preview.runtime.kernel import proctree
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview

pytestmark = pytest.mark.long

# A machine that is busy, or small, bears fewer.
MANY = int(os.environ.get("MANY_PREVIEWS", "50"))
# Addresses, users and passwords are those of a compose file that nobody runs.
SHOP = """
import socket
import psycopg, pymysql
from fastapi import FastAPI

def in_postgresql():
    with psycopg.connect("postgresql://shop:s3cret@db:5432/shop", autocommit=True, connect_timeout=5) as base:
        base.execute("create table if not exists books (title text)")
        base.execute("insert into books values ('Emma')")
        return base.execute("select count(*) from books").fetchone()[0]

def in_mysql():
    with pymysql.connect(host="mysql", user="root", password="secret", database="shop", autocommit=True) as base:
        cursor = base.cursor()
        cursor.execute("create table if not exists books (title text)")
        cursor.execute("insert into books values ('Emma')")
        cursor.execute("select count(*) from books")
        return cursor.fetchone()[0]

def in_redis():
    with socket.create_connection(("redis", 6379), timeout=5) as base:
        base.sendall(b"INCR n\\r\\n")
        return int(base.makefile("rb").readline()[1:])

app = FastAPI()

@app.get("/")
def home(): return {"ok": True}

@app.get("/use")
def use(): return [in_postgresql(), in_mysql(), in_redis()]
"""
FILES = {"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\npsycopg[binary]\npymysql\n"}
PLAN = StartPlan(
    "fastapi",
    Toolchain.PYTHON,
    Server.ASGI,
    target("main", "app", framework="fastapi"),
    services=tuple(
        ServiceNeed(kind, None, "main.py:1", address=address, supplied=True)
        for kind, address in (
            (ServiceKind.POSTGRESQL, ("db", 5432)),
            (ServiceKind.MYSQL, ("mysql", 3306)),
            (ServiceKind.REDIS, ("redis", 6379)),
        )
    ),
)
SERVERS = ("postgres", "mariadbd", "redis-server", "valkey-server")


def settings_in(folder: Path, cache: Path) -> Settings:
    base = 20_000 + 100 * random.SystemRandom().randrange(100)
    return Settings(
        data_dir=folder / "data",
        cache_dir=cache,
        port_min=base,
        port_max=base + 99,
        launches_per_minute=100_000,
        max_instances_enterprise=2 * MANY,
        max_previews=2 * MANY,
        postgres="auto",
        mysql="auto",
        redis="auto",
        warm_templates=2,
        stop_grace_s=2,
        startup_timeout_s=120,
    )


@asynccontextmanager
async def open_many(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    if not all((find_postgresql(), find_mysql(), find_redis())):
        pytest.skip("PostgreSQL, MariaDB or Redis is missing")
    async with open_rig(settings, monkeypatch) as rig:
        if ServiceKind.REDIS not in rig.service.supplied:
            pytest.skip("no sandbox gives previews a network of their own here")
        yield rig


async def launch_many(rig: Rig) -> list[LivePreview]:
    """Launch them at once; each has used its databases."""
    give_plan(rig.monkeypatch, PLAN)
    previews: list[LivePreview] = []

    async def launch(number: int) -> None:
        rig.source.projects[f"g{number}"] = FILES
        launched = await rig.service.previews.launch(LaunchRequest(ANN, f"g{number}"))
        preview = rig.service.previews.find(launched.record.id)
        assert preview is not None
        await preview.settled.wait()
        assert preview.record.state is State.RUNNING, story(preview)
        previews.append(preview)

    # The first one builds the environment for all.
    await launch(0)
    async with trio.open_nursery() as nursery:
        for number in range(1, MANY):
            nursery.start_soon(launch, number)
    return previews


async def use_all(previews: list[LivePreview], least: int) -> None:
    """Each answers within a bound of time, with an error or with what it has stored; in the end with the latter."""

    async def use(preview: LivePreview) -> None:
        with trio.fail_after(60):
            while True:
                with trio.fail_after(20):
                    try:
                        got = await ask(preview, "/use")
                    except httpx2.HTTPError:
                        continue
                if got.status_code == 200:
                    # MariaDB may lose the last second over the end of its server, and Redis keeps nothing.
                    assert got.json()[0] >= least, got.text
                    return

    async with trio.open_nursery() as nursery:
        for preview in previews:
            nursery.start_soon(use, preview)


def servers_of(pid: int) -> list[int]:
    """Database servers below a process: the first of each tree of them."""
    found = []
    for one in proctree.descendants(pid):
        stat = proctree.read_stat(one)
        above = proctree.read_stat(stat.parent) if stat is not None else None
        if stat is not None and stat.name in SERVERS and (above is None or above.name not in SERVERS):
            found.append(one)
    return found


async def left(rig: Rig) -> list[str]:
    """Databases of previews in the shared servers, without those that were made in advance."""
    names: list[str] = []
    for engine in rig.service.backing.engines:
        if isinstance(engine, PostgresqlEngine):
            made = [name for name in await engine.list_names() if name.startswith("pv_")]
            names += made[rig.service.settings.databases_ahead :]
        elif isinstance(engine, MysqlEngine):
            names += [name for name in await engine.list_names() if name.startswith("pv_")]
    return names


async def wait_left_nothing(rig: Rig) -> None:
    """Wait until no database is left: on a busy machine some are dropped after their preview's end."""
    with trio.fail_after(60):
        while await left(rig):  # noqa: ASYNC110  nothing tells of it
            await trio.sleep(0.1)


async def test_fifty_at_once_outlast_their_servers_and_leave_nothing(
    tmp_path: Path, launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(280):
        async with open_many(settings_in(tmp_path, launch_cache_dir), monkeypatch) as rig:
            previews = await launch_many(rig)
            await use_all(previews, least=1)
            killed = servers_of(os.getpid())
            assert len(killed) >= MANY + 2
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            await use_all(previews, least=2)
            assert all(preview.record.state is State.RUNNING for preview in previews)
            stop = partial(rig.service.previews.stop, cause=StopCause.USER)
            async with trio.open_nursery() as nursery:
                for preview in previews:
                    nursery.start_soon(stop, preview.record.generation_id)
            await wait_left_nothing(rig)
            # The two that all share, and none of a preview.
            assert len(servers_of(os.getpid())) == 2
            assert list((tmp_path / "data" / "backing" / "redis").glob("*")) == []
        assert servers_of(os.getpid()) == []


async def test_fifty_end_with_a_service_that_is_killed(
    tmp_path: Path, launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, __file__, str(tmp_path), str(launch_cache_dir)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with trio.fail_after(280):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as service:  # noqa: ASYNC220  a moment
            try:
                assert service.stdout is not None
                # Its own log comes first.
                said = b"-"
                while said and said != b"used\n":
                    said = await trio.to_thread.run_sync(service.stdout.readline)
                assert said
                below = [one for one in map(proctree.identify, proctree.descendants(service.pid)) if one is not None]
                assert len(below) > 2 * MANY
            finally:
                service.kill()
        for one in below:
            await proctree.wait_ended(one)
        async with open_many(settings_in(tmp_path, launch_cache_dir), monkeypatch) as rig:
            # The next preview starts the servers.
            give_plan(rig.monkeypatch, PLAN)
            rig.source.projects["g1"] = FILES
            launched = await rig.service.previews.launch(LaunchRequest(ANN, "g1"))
            preview = rig.service.previews.find(launched.record.id)
            assert preview is not None
            await preview.settled.wait()
            await use_all([preview], least=1)
            await rig.service.previews.stop("g1", cause=StopCause.USER)
            await wait_left_nothing(rig)


async def _serve(folder: Path, cache: Path) -> None:
    async with open_many(settings_in(folder, cache), pytest.MonkeyPatch()) as rig:
        await use_all(await launch_many(rig), least=1)
        print("used", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(_serve, Path(sys.argv[1]), Path(sys.argv[2]))
