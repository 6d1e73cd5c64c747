"""A preview's own PostgreSQL in a real launch: reached by what the source says, kept over restarts, gone at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, story

from preview.core.isolation import Network
from preview.core.lifecycle import State, StopCause
from preview.core.servers import find_postgresql
from preview.data import Part, PreviewData
from preview.detection import ServiceKind, detect
from preview.errors import DataUnavailable, LaunchFailed, QueryRefused
from preview.runtime.kernel import proctree
from preview.runtime.warm import WarmRuntime
from preview.settings import Settings
from preview.supervisor import FilesChange, LivePreview

# Address, user, password and name are those of a compose file that nobody runs.
SHOP = """
import psycopg
from contextlib import asynccontextmanager
from fastapi import FastAPI

URL = "postgresql://shop:s3cret@db:5432/shop"

def run(query):
    with psycopg.connect(URL, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []

@asynccontextmanager
async def lifespan(app):
    run("CREATE TABLE IF NOT EXISTS books (title text)")
    yield

app = FastAPI(lifespan=lifespan)

@app.get("/")
def home(): return run("SELECT version() LIKE 'PostgreSQL%'")

@app.get("/add")
def add(title: str): return run(f"INSERT INTO books VALUES ('{title}') RETURNING title")

@app.get("/books")
def books(): return sorted(row[0] for row in run("SELECT title FROM books"))

@app.get("/hog")
def hog(): return run("SELECT length(string_agg(repeat(md5(n::text), 3000), '')) FROM generate_series(1, 4000) n")

@app.get("/names")
def names(): return [row[0] for row in run("SELECT current_database() UNION ALL SELECT datname FROM pg_database")]
"""
FILES = {"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\npsycopg[binary]\n"}


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    if find_postgresql() is None:
        pytest.skip("no PostgreSQL on this machine")
    settings = make_settings_in(
        cache_dir=launch_cache_dir, stop_grace_s=2, postgres="auto", warm_templates=2, backing_memory_mb=256
    )
    with trio.fail_after(120):
        async with open_rig(settings, monkeypatch) as opened:
            if ServiceKind.POSTGRESQL not in opened.service.supplied:
                pytest.skip("no sandbox gives previews a network of their own here")
            yield opened


async def start(rig: Rig, folder: Path, files: dict[str, str] = FILES) -> LivePreview:
    for name, text in files.items():
        (folder / name).write_text(text)
    preview = await rig.start(files, detect(folder, supplied=rig.service.supplied))
    assert preview.record.state is State.RUNNING, story(preview)
    return preview


async def answer(preview: LivePreview, path: str) -> Any:
    got = await ask(preview, path)
    assert got.status_code == 200, (got.text, story(preview)[-20:])
    return got.json()


async def stop(rig: Rig, preview: LivePreview) -> None:
    await rig.service.previews.stop(preview.record.generation_id, cause=StopCause.USER)


@pytest.mark.long
async def test_a_source_that_insists_on_encryption_gets_it(rig: Rig, tmp_path: Path) -> None:
    shop = SHOP.replace("autocommit=True", 'autocommit=True, sslmode="require"').replace(
        "version() LIKE 'PostgreSQL%'", "1"
    )
    shop += '\n@app.get("/tls")\ndef tls():\n'
    shop += '    with psycopg.connect(URL, sslmode="require") as one: return bool(one.pgconn.ssl_in_use)\n'
    preview = await start(rig, tmp_path, {**FILES, "main.py": shop})
    assert await answer(preview, "/tls") is True
    await answer(preview, "/add?title=Emma")
    assert await answer(preview, "/books") == ["Emma"]
    assert any("requires TLS" in line and "self-signed" in line for line in story(preview))


async def test_what_the_source_says_leads_to_a_database_of_its_own(rig: Rig, tmp_path: Path) -> None:
    preview = await start(rig, tmp_path)
    assert preview.confinement is not None
    assert preview.confinement.network is Network.NONE
    assert await answer(preview, "/") == [[True]]
    await answer(preview, "/add?title=Emma")
    assert await answer(preview, "/books") == ["Emma"]
    assert any("PostgreSQL: the preview gets a database of its own" in line for line in story(preview))
    [server] = preview.needed_servers
    used = await server.describe()
    assert used.kind is ServiceKind.POSTGRESQL
    assert used.version.startswith("PostgreSQL 1")
    assert used.size_bytes is not None
    assert used.size_bytes > 1024**2
    with trio.fail_after(60):
        # The process of a closed connection takes a moment to end.
        while used.connections:
            used = await server.describe()
    own, *names = await answer(preview, "/names")
    assert own in names
    assert own.startswith("pv_")
    assert preview.id not in own
    await stop(rig, preview)
    # The next one, in the same server, finds an empty database, and none of the last.
    again = await start(rig, tmp_path)
    assert await answer(again, "/books") == []
    assert own not in await answer(again, "/names")


@pytest.mark.long
async def test_a_warm_start_has_it_too_and_a_restart_keeps_the_data(rig: Rig, tmp_path: Path) -> None:
    runtime = rig.service.previews._context.runtime
    if not isinstance(runtime, WarmRuntime) or not runtime.forks:
        pytest.skip("no warm starts here")
    cold = await start(rig, tmp_path)
    while not runtime.templates.ready:  # noqa: ASYNC110  a pool tells nobody that a template is ready
        await trio.sleep(0.05)
    await stop(rig, cold)
    warm = await start(rig, tmp_path)
    assert any("started warm" in line for line in story(warm)), story(warm)
    await answer(warm, "/add?title=Emma")
    for _ in range(2):
        await rig.service.previews.restart(ANN, "g1")
        assert await answer(warm, "/books") == ["Emma"]


@pytest.mark.long
async def test_a_server_that_is_killed_comes_back_and_clients_see_an_error(rig: Rig, tmp_path: Path) -> None:
    preview = await start(rig, tmp_path)
    await answer(preview, "/add?title=Emma")
    [server] = [one for one in proctree.descendants(os.getpid()) if runs_postgres(one)][:1]
    os.kill(server, signal.SIGKILL)
    await until_there(preview)
    if all(one.holds for one in rig.service.rungs):
        # A statement that takes more memory than the server may have ends sessions, and nothing else.
        with suppress(httpx2.HTTPError):
            assert (await ask(preview, "/hog")).status_code == 500
        await until_there(preview)


async def until_there(preview: LivePreview) -> None:
    """Wait until its statements are executed again, and find the data as it was."""
    with trio.fail_after(60):
        while True:
            try:
                got = await ask(preview, "/books")
            except httpx2.HTTPError:
                got = None
            if got is not None and got.status_code == 200:
                break
            await trio.sleep(0.05)
    assert got.json() == ["Emma"]


def runs_postgres(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # Not the server of these tests themselves.
    return words[0].endswith(b"/postgres") and b"unix_socket_directories=../socket" in words


LAST = """    run("INSERT INTO books VALUES ('last')")
    print("stored")
"""
ENDS = SHOP.replace("    yield\n", f"    yield\n{LAST}")


@pytest.mark.long
async def test_the_database_is_there_until_the_program_has_ended(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(ENDS)
    (tmp_path / "requirements.txt").write_text(FILES["requirements.txt"])
    preview = await rig.start({**FILES, "main.py": ENDS}, detect(tmp_path, supplied=rig.service.supplied))
    assert preview.record.state is State.RUNNING, story(preview)
    await stop(rig, preview)
    assert "stored" in story(preview)


@pytest.mark.long
async def test_its_data_is_saved_compared_and_brought_back(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[bool] = []
    save = PreviewData.save

    async def noted(self: PreviewData, folder: Path, *, with_copies: bool = False) -> tuple[Part, ...]:
        copied.append(with_copies)
        return await save(self, folder, with_copies=with_copies)

    monkeypatch.setattr(PreviewData, "save", noted)
    preview, data = await start(rig, tmp_path), rig.service.data
    await answer(preview, "/add?title=Emma")
    generation = await rig.service.generations.get("g1")
    assert [row[0] for row in (await data.query("g1", None, "select title from books", most_rows=9)).rows] == ["Emma"]
    with pytest.raises(QueryRefused):
        await data.query("g1", "postgresql", "delete from books", most_rows=9)
    kept = await data.save(generation, "")
    assert [part.kind for part in kept.parts] == ["PostgreSQL"]
    await answer(preview, "/add?title=Persuasion")
    found = await data.compare(generation, kept.id, "now")
    # What is saved for a comparison is never loaded.
    assert copied == [True, False]
    [table] = found.databases[0].tables
    assert (found.databases[0].name, table.name, table.added) == ("PostgreSQL", "public.books", 1)
    replaced = await data.restore(ANN, generation, kept.id)
    assert copied[2:] == [False]
    assert await answer(preview, "/books") == ["Emma"]
    await data.reset(ANN, generation)
    assert await answer(preview, "/books") == []
    await data.restore(ANN, generation, replaced.before.id)
    assert await answer(preview, "/books") == ["Emma", "Persuasion"]
    # Nothing is restored into code that does not start: neither the new data nor the old would be served.
    with pytest.raises(LaunchFailed):
        await rig.service.previews.reload(ANN, "g1", FilesChange({"main.py": b"raise SystemExit('broken')"}))
    with pytest.raises(DataUnavailable, match="fix it first"):
        await data.restore(ANN, generation, kept.id)
    assert await answer(preview, "/books") == ["Emma", "Persuasion"]
    await rig.service.previews.reload(ANN, "g1", FilesChange({"main.py": SHOP.encode()}))
    await data.restore(ANN, generation, kept.id)
    assert await answer(preview, "/books") == ["Emma"]
