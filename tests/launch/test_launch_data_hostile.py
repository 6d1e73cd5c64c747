"""What a preview leaves in its folders on purpose: nobody is harmed when its data is saved, read and brought back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import trio
from launch_kit import ANN, Rig, ask, command, open_rig, story

from preview.core.lifecycle import State
from preview.errors import DataUnavailable, QueryRefused
from preview.generations import Generation
from preview.settings import Settings
from preview.supervisor import LivePreview

# It runs any code that it is sent, as a stranger's would by itself.
OPEN = """
import os, sqlite3, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        said = "done"
        try:
            exec(unquote(self.path[1:]), globals())
        except Exception as error:
            said = repr(error)
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"main.py": OPEN}
PLAN = command("python", "main.py")


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=1, warm_templates=0, disk_limit_mb=64)
    with trio.fail_after(120):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


async def start(rig: Rig) -> LivePreview:
    preview = await rig.start(FILES, PLAN)
    assert preview.record.state is State.RUNNING, story(preview)
    return preview


async def do(preview: LivePreview, code: str) -> None:
    answer = await ask(preview, f"/{quote(code)}")
    assert answer.text == "done", (answer.text, story(preview)[-10:])


async def generation(rig: Rig) -> Generation:
    return await rig.service.generations.get("g1")


async def test_links_pipes_and_odd_files_are_not_followed(rig: Rig, tmp_path: Path) -> None:
    preview, data = await start(rig), rig.service.data
    secret = tmp_path / "secret"
    secret.write_text("SQLite format 3\0 the service's own")
    await do(preview, f"os.symlink({str(secret)!r}, 'link.db'); os.symlink('/', 'root'); os.symlink('..', 'up')")
    await do(preview, "os.mkfifo('pipe.db'); os.mkdir('deep'); os.mkfifo('deep/pipe')")
    await do(preview, "open(b'\\xff\\xfe', 'w').write('odd'); open('set', 'w').close(); os.chmod('set', 0o7777)")
    await do(preview, "open('fake.db', 'wb').write(b'SQLite format 3\\0' + bytes(200))")
    await do(preview, "open('kept', 'w').write('kept')")
    found = await data.databases("g1")
    assert [(one.name, one.tables, one.problem is not None) for one in found] == [("fake.db", (), True)]
    with pytest.raises(DataUnavailable, match=r"fake\.db"):
        await data.save(await generation(rig), "")
    await do(preview, "os.unlink('fake.db')")
    snapshot = await data.save(await generation(rig), "")
    stored = (rig.service.settings.data_dir / "snapshots" / snapshot.id / "files.tar").read_bytes()
    assert b"the service's own" not in stored
    # Nothing is written through what lies in the way.
    await do(preview, f"os.unlink('kept'); os.symlink({str(secret)!r}, 'kept')")
    await data.restore(ANN, await generation(rig), snapshot.id)
    assert secret.read_text().endswith("own")
    await do(preview, "assert open('kept').read() == 'kept'; assert not os.stat('set').st_mode & 0o7000")


async def test_a_database_that_is_held_or_endless_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.data.sqlite._STATEMENT_S", 0.5)
    preview, data = await start(rig), rig.service.data
    await do(preview, "base = sqlite3.connect('a.db', check_same_thread=False); base.execute('create table t (x)')")
    bomb = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    with trio.fail_after(30), pytest.raises(DataUnavailable):
        await data.query("g1", None, bomb, most_rows=1)
    for refused in ("delete from t", "attach 'b.db' as b", "select 1; select 2", "pragma writable_schema = on"):
        with pytest.raises(DataUnavailable):
            await data.query("g1", "sqlite:a.db", refused, most_rows=1)
    for odd in ("select '\ud800'", "select 1 -- \0", "", "sel"):
        with pytest.raises((DataUnavailable, QueryRefused)):
            await data.query("g1", "sqlite:a.db", odd, most_rows=1)
    with pytest.raises(QueryRefused, match="too big"):
        await data.query("g1", None, "select zeroblob(900000000)", most_rows=5)
    await do(preview, "base.execute('begin exclusive')")
    with trio.fail_after(40), pytest.raises(DataUnavailable, match=r"a\.db"):
        await data.save(await generation(rig), "")
    assert preview.record.state is State.RUNNING


@pytest.mark.long
async def test_too_much_is_refused_in_time(rig: Rig) -> None:
    preview, data = await start(rig), rig.service.data
    await do(preview, "os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 1 << 30)")
    with trio.fail_after(20), pytest.raises(DataUnavailable, match="sparse"):
        await data.save(await generation(rig), "")
    await do(preview, "os.unlink('sparse')")
    await do(preview, "p = '.'\nfor _ in range(90):\n    p += '/d'; os.mkdir(p)")
    with trio.fail_after(20), pytest.raises(DataUnavailable, match="nested"):
        await data.save(await generation(rig), "")
    assert list((rig.service.settings.data_dir / "snapshots").iterdir()) == []
    # A reset helps: it removes whatever is in the way. It cannot keep what is too deep.
    with trio.fail_after(20), pytest.raises(DataUnavailable, match="nested"):
        await data.reset(ANN, await generation(rig))
    assert preview.record.state is State.RUNNING


@pytest.mark.long
async def test_files_that_change_while_they_are_saved_harm_nobody(rig: Rig) -> None:
    preview, data = await start(rig), rig.service.data
    await do(
        preview,
        "def churn():\n"
        "    while True:\n"
        "        for name in ('a', 'b', 'c'):\n"
        "            for act in (lambda: os.mkdir(name), lambda: os.rmdir(name), lambda: os.symlink('/etc', name),\n"
        "                        lambda: os.unlink(name), lambda: open(name, 'w').write('x' * 9999),\n"
        "                        lambda: os.truncate(name, 3), lambda: os.unlink(name)):\n"
        "                try: act()\n"
        "                except OSError: pass\n"
        "threading.Thread(target=churn, daemon=True).start()",
    )
    for _ in range(5):
        snapshot = await data.save(await generation(rig), "")
        await data.restore(ANN, await generation(rig), snapshot.id)
        await data.delete(await generation(rig), snapshot.id)
    assert preview.record.state is State.RUNNING
