"""The data of a running preview: saved, compared, restored, reset, and given to another generation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from launch_kit import ANN, Rig, ask, command, open_rig, story

from preview.core.lifecycle import State
from preview.data import DataSnapshot, PreviewData, SnapshotKind
from preview.errors import DataUnavailable, LaunchFailed, NoActivePreview, PreviewError, SnapshotNotFound
from preview.generations import Generation
from preview.settings import Settings
from preview.supervisor import FilesChange, LaunchRequest, LivePreview

# Rows in a SQLite file, texts in files, and a file that keeps it from starting.
NOTES = """
import json, os, pathlib, sqlite3, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
if pathlib.Path("poison").exists():
    sys.exit("poisoned")
VERSION = "old"
def run(query, *values):
    with sqlite3.connect("notes.db") as base:
        return base.execute(query, values).fetchall()
run("create table if not exists notes (id integer primary key, text text)")
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        verb, _, text = self.path[1:].partition("/")
        found = True
        if verb == "add":
            run("insert into notes (text) values (?)", text)
        elif verb == "list":
            found = [row[0] for row in run("select text from notes order by id")]
        elif verb == "write":
            os.makedirs("uploads", exist_ok=True)
            pathlib.Path("uploads", text).write_text(text)
        elif verb == "unlink":
            pathlib.Path("uploads", text).unlink()
        elif verb == "files":
            found = sorted(path.name for path in pathlib.Path("uploads").glob("*"))
        elif verb == "poison":
            pathlib.Path("poison").touch()
        elif verb == "heal":
            pathlib.Path("poison").unlink()
        elif verb == "version":
            found = VERSION
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"main.py": NOTES, "README.md": "notes"}
PLAN = command("python", "main.py")


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=1, warm_templates=0)
    with trio.fail_after(120):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


async def start(rig: Rig) -> LivePreview:
    preview = await rig.start(FILES, PLAN)
    assert preview.record.state is State.RUNNING, story(preview)
    return preview


async def answer(preview: LivePreview, path: str) -> Any:
    got = await ask(preview, path)
    assert got.status_code == 200, (got.text, story(preview)[-20:])
    return got.json()


async def holds(preview: LivePreview) -> tuple[list[str], list[str]]:
    """Texts of its rows, and names of its files."""
    return await answer(preview, "/list"), await answer(preview, "/files")


async def generation(rig: Rig, name: str = "g1") -> Generation:
    return await rig.service.generations.get(name)


async def save(rig: Rig, name: str = "") -> DataSnapshot:
    return await rig.service.data.save(await generation(rig), name)


def left(rig: Rig, preview: LivePreview) -> list[Path]:
    """Folders of unfinished work."""
    assert preview.directory is not None
    return [
        *preview.directory.parent.glob("data-*"),
        *(rig.service.settings.data_dir / "snapshots").glob(".new-*"),
    ]


@pytest.mark.long
async def test_a_snapshot_is_compared_and_brought_back_under_the_running_preview(rig: Rig) -> None:
    preview, data = await start(rig), rig.service.data
    await answer(preview, "/add/Emma")
    await answer(preview, "/write/gone.txt")
    await answer(preview, "/write/one.txt")
    kept = await save(rig, "before the accident")
    # No code: README.md and main.py are the generation's.
    assert [(part.kind, part.files) for part in kept.parts] == [("files", 3)]
    await answer(preview, "/add/Persuasion")
    await answer(preview, "/write/two.txt")
    await answer(preview, "/unlink/gone.txt")
    found = await data.compare(await generation(rig), kept.id, "now")
    assert [(one.path, one.change) for one in found.files if one.path != "notes.db"] == [
        ("uploads/gone.txt", "removed"),
        ("uploads/two.txt", "added"),
    ]
    [database] = found.databases
    assert [(table.name, table.added, table.changed, table.removed) for table in database.tables] == [
        ("notes", 1, 0, 0)
    ]
    port = preview.record.port
    replaced = await data.restore(ANN, await generation(rig), kept.id)
    # What was deleted since comes back, and what was made since is gone.
    assert await holds(preview) == (["Emma"], ["gone.txt", "one.txt"])
    assert (preview.record.state, preview.record.port) == (State.RUNNING, port)
    assert replaced.before.kind is SnapshotKind.BEFORE_RESTORE
    assert [one.id for one in await data.snapshots(await generation(rig))] == [replaced.before.id, kept.id]
    # The way back.
    await data.restore(ANN, await generation(rig), replaced.before.id)
    assert await holds(preview) == (["Emma", "Persuasion"], ["one.txt", "two.txt"])
    assert left(rig, preview) == []


@pytest.mark.long
async def test_new_code_stays_when_old_data_comes_back(rig: Rig) -> None:
    preview = await start(rig)
    await answer(preview, "/add/Emma")
    kept = await save(rig)
    rig.source.projects["g1"] = FILES | {"main.py": NOTES.replace('"old"', '"new"'), "LICENSE": "free"}
    await rig.service.data.restore(ANN, await generation(rig), kept.id)
    assert await answer(preview, "/version") == "new"
    assert await answer(preview, "/list") == ["Emma"]


@pytest.mark.long
async def test_a_reset_begins_anew_and_can_be_undone(rig: Rig) -> None:
    preview = await start(rig)
    await answer(preview, "/add/Emma")
    await answer(preview, "/write/one.txt")
    replaced = await rig.service.data.reset(ANN, await generation(rig))
    assert await holds(preview) == ([], [])
    assert replaced.before.kind is SnapshotKind.BEFORE_RESET
    await rig.service.data.restore(ANN, await generation(rig), replaced.before.id)
    assert await holds(preview) == (["Emma"], ["one.txt"])


@pytest.mark.long
async def test_data_that_the_application_does_not_start_with_is_taken_back(rig: Rig) -> None:
    preview, data = await start(rig), rig.service.data
    await answer(preview, "/poison/")
    poisoned = await save(rig)
    await answer(preview, "/heal/")
    await answer(preview, "/add/Emma")
    with pytest.raises(LaunchFailed, match="poisoned"):
        await data.restore(ANN, await generation(rig), poisoned.id)
    assert preview.record.state is State.RUNNING
    assert await answer(preview, "/list") == ["Emma"]
    assert any("restore failed" in line and "The previous data is being restored" in line for line in story(preview))
    # And it can be restarted as ever.
    await rig.service.previews.restart(ANN, "g1")
    assert await answer(preview, "/list") == ["Emma"]


@pytest.mark.long
async def test_the_way_back_is_there_after_many_ways(rig: Rig) -> None:
    preview, data = await start(rig), rig.service.data
    await answer(preview, "/add/Emma")
    replaced = [await data.reset(ANN, await generation(rig)) for _ in range(3)]
    # The oldest of the three that are kept: it must not be dropped for the newest.
    await data.restore(ANN, await generation(rig), replaced[0].before.id)
    assert await answer(preview, "/list") == ["Emma"]


@pytest.mark.long
async def test_changes_that_come_together_are_each_carried_out(rig: Rig) -> None:
    preview, data = await start(rig), rig.service.data
    await answer(preview, "/add/Emma")
    kept = await save(rig)
    await answer(preview, "/add/Persuasion")
    new = NOTES.replace('"old"', '"new"')
    rig.source.projects["g1"] = FILES | {"main.py": new}
    snapshot_of = await generation(rig)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.service.previews.reload, ANN, "g1", FilesChange({"main.py": new.encode()}))
        nursery.start_soon(data.restore, ANN, snapshot_of, kept.id)
        nursery.start_soon(rig.service.previews.restart, ANN, "g1")
    assert await answer(preview, "/version") == "new"
    assert await answer(preview, "/list") == ["Emma"]


@pytest.mark.long
async def test_a_reload_that_begins_while_the_application_stands_still_waits(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview, new, seen = await start(rig), NOTES.replace('"old"', '"new"'), list[str]()
    rig.source.projects["g1"] = FILES | {"main.py": new}
    save_files = PreviewData._save_files

    async def reload_meanwhile(self: PreviewData, *given: Any) -> Any:
        nursery.start_soon(rig.service.previews.reload, ANN, "g1", FilesChange({"main.py": new.encode()}))
        while preview.changes.is_idle:
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(0.5):
            await preview.restarted.wait()
        seen.append((self._project / "main.py").read_text())
        return await save_files(self, *given)

    monkeypatch.setattr(PreviewData, "_save_files", reload_meanwhile)
    async with trio.open_nursery() as nursery:
        await save(rig)
    assert '"old"' in seen[0], story(preview)
    assert await answer(preview, "/version") == "new"


async def test_another_generation_begins_with_the_data(rig: Rig) -> None:
    preview, data = await start(rig), rig.service.data
    await answer(preview, "/add/Emma")
    rig.source.projects["g2"] = FILES
    first = await data.copy_to(await generation(rig), None, await generation(rig, "g2"))
    assert first.kind is SnapshotKind.FORK
    await answer(preview, "/add/Persuasion")
    await rig.service.previews.stop("g1")
    launched = await rig.service.previews.launch(LaunchRequest(ANN, "g2"))
    fork = rig.service.previews.find(launched.record.id)
    assert fork is not None
    await fork.settled.wait()
    assert await answer(fork, "/list") == ["Emma"], story(fork)
    # It is its own now: without its first data, it begins empty.
    await data.delete(await generation(rig, "g2"), first.id)
    await rig.service.previews.stop("g2")
    launched = await rig.service.previews.launch(LaunchRequest(ANN, "g2"))
    again = rig.service.previews.find(launched.record.id)
    assert again is not None
    await again.settled.wait()
    assert await answer(again, "/list") == []


async def test_what_is_not_there_is_refused(rig: Rig) -> None:
    rig.source.projects["g1"] = FILES
    with pytest.raises(NoActivePreview):
        await save(rig)
    await start(rig)
    rig.source.projects["g2"] = FILES
    kept = await save(rig)
    with pytest.raises(SnapshotNotFound):
        await rig.service.data.restore(ANN, await generation(rig, "g2"), kept.id)
    part = rig.service.settings.data_dir / "snapshots" / kept.id / kept.parts[0].file
    part.write_bytes(part.read_bytes()[:-512] + bytes(512 * [1]))
    with pytest.raises(DataUnavailable, match="damaged"):
        await rig.service.data.restore(ANN, await generation(rig), kept.id)


async def test_work_ends_with_the_preview_and_leaves_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = await start(rig)
    started = trio.Event()

    async def save_forever(_: PreviewData, folder: Path, *, with_copies: bool) -> None:
        (folder / "half").touch()
        started.set()
        await trio.sleep_forever()

    monkeypatch.setattr(PreviewData, "save", save_forever)
    failed: list[PreviewError] = []

    async def try_to_save() -> None:
        try:
            await save(rig)
        except PreviewError as error:
            failed.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(try_to_save)
        await started.wait()
        await rig.service.previews.stop("g1")
    assert len(failed) == 1
    assert list((rig.service.settings.data_dir / "snapshots").iterdir()) == []
    with pytest.raises(PreviewError):
        await preview.inside.do(lambda data: data.list_databases())


async def test_a_caller_that_leaves_ends_its_work(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await start(rig)
    started = trio.Event()

    async def save_forever(_: PreviewData, __: Path, *, with_copies: bool) -> None:
        started.set()
        await trio.sleep_forever()

    with monkeypatch.context() as patched:
        patched.setattr(PreviewData, "save", save_forever)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(save, rig)
            await started.wait()
            nursery.cancel_scope.cancel()
    # The turn is free again.
    assert (await save(rig, "next")).name == "next"
