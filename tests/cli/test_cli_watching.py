from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from preview.cli.exits import CommandFailed
from preview.cli.local.watching import FolderWatch
from preview.generations import FolderChange

PATIENCE_S = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text("v = 1\n")
    return tmp_path


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[FolderWatch]:
    watch = FolderWatch(folder)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(watch.run)
            yield watch
            nursery.cancel_scope.cancel()


async def until(watch: FolderWatch, expected: FolderChange) -> None:
    """What comes is this, in one change or several."""
    found = FolderChange({}, [])
    while found != expected:
        await watch.wait()
        found = found.then(watch.take())


async def save(path: Path, text: str) -> None:
    await trio.to_thread.run_sync(path.write_text, text)


async def test_a_saved_file_is_told(folder: Path) -> None:
    async with watching(folder) as watch:
        await save(folder / "main.py", "v = 2\n")
        await until(watch, FolderChange({"main.py": b"v = 2\n"}, []))
        await save(folder / "main.py", "v = 3\n")
        await until(watch, FolderChange({"main.py": b"v = 3\n"}, []))
        assert not watch.take()


async def test_a_file_in_a_new_folder_is_told(folder: Path) -> None:
    async with watching(folder) as watch:
        for name in ("app", "app/deep"):
            await trio.to_thread.run_sync((folder / name).mkdir)
            await save(folder / name / "a.py", name)
            await until(watch, FolderChange({f"{name}/a.py": name.encode()}, []))
            await save(folder / name / "a.py", "again")
            await until(watch, FolderChange({f"{name}/a.py": b"again"}, []))


async def test_an_editor_that_renames_into_place_is_one_change(folder: Path) -> None:
    async with watching(folder) as watch:
        await save(folder / ".main.py.swp", "lock")
        await save(folder / "main.py~", "v = 1\n")
        await save(folder / "4913.swp", "v = 2\n")
        await trio.to_thread.run_sync((folder / "4913.swp").replace, folder / "main.py")
        await until(watch, FolderChange({"main.py": b"v = 2\n"}, []))


async def test_a_removed_file_is_told(folder: Path) -> None:
    await save(folder / "old.py", "x")
    async with watching(folder) as watch:
        await trio.to_thread.run_sync((folder / "old.py").unlink)
        await until(watch, FolderChange({}, ["old.py"]))


async def test_what_is_left_out_wakes_nobody(folder: Path) -> None:
    async with watching(folder) as watch:
        await trio.to_thread.run_sync((folder / "node_modules").mkdir)
        await save(folder / "node_modules" / "x.js", "x")
        await save(folder / "main.py", "v = 2\n")
        await until(watch, FolderChange({"main.py": b"v = 2\n"}, []))


async def test_a_folder_that_cannot_be_taken_is_told_until_it_can(folder: Path) -> None:
    async with watching(folder) as watch:
        await trio.to_thread.run_sync((folder / "out").symlink_to, "/etc/hostname")
        await watch.wait()
        assert not watch.take()
        assert watch.error is not None
        assert "points outside the folder" in watch.error.message
        await trio.to_thread.run_sync((folder / "out").unlink)
        await save(folder / "main.py", "v = 2\n")
        await until(watch, FolderChange({"main.py": b"v = 2\n"}, []))
        assert watch.error is None


async def test_a_folder_that_the_machine_cannot_watch_is_an_error_that_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_watches(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr("watchfiles.main.RustNotify", no_watches)
    with pytest.raises(CommandFailed, match="max_user_watches"), trio.fail_after(PATIENCE_S):
        await FolderWatch(folder).run()


@pytest.mark.timed
async def test_leaving_a_watch_takes_a_share_of_a_second(folder: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(FolderWatch(folder).run)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 2
