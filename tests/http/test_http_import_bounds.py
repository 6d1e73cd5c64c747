"""Imports from GitHub: only what was shown is replaced, and nobody's import is in another's way."""

from __future__ import annotations

import errno
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from github_kit import Github, open_github, repository_zip, response
from http_kit import FILES, World, open_world

from preview.cli.entry import run
from preview.errors import InvalidRequest
from preview.github import Repository, Site, importer, parse_address
from preview.github.download import Downloader
from preview.http.edits import FileEdits, Reload

IMPORTS, PATH = "/api/v1/imports", "/api/v1/generations"
ARCHIVE = "/codeload/ann/shop/zip/HEAD"
NEWER = "1" * 40


@asynccontextmanager
async def open_both(folder: Path, **changes: Any) -> AsyncIterator[tuple[World, Github]]:
    async with open_github() as github, open_world(folder, **github.settings | changes) as world:
        yield world, github


async def test_an_update_replaces_no_files_that_its_plan_did_not_show(tmp_path: Path) -> None:
    async with open_both(tmp_path) as (world, github):
        path = f"{PATH}/{await world.keep(FILES)}"
        answer = response(repository_zip({"main.py": "x = 2\n"}, commit=NEWER))
        github.answers[ARCHIVE] = github.answers[f"/codeload/ann/shop/zip/{NEWER}"] = answer
        plan = (await world.ask("POST", f"{path}/import?dry_run=true", {"url": "ann/shop"})).json()
        assert (await world.ask("PATCH", f"{path}/files", {"files": {"mine.py": "x"}})).status_code == 200
        body, tag = {"url": plan["origin"], "commit": plan["commit"]}, {"If-Match": plan["etag"]}
        refused = await world.ask("POST", f"{path}/import", body, headers=tag)
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed"), refused.text
        shown = (await world.ask("GET", path)).json()
        assert "mine.py" in [one["path"] for one in shown["files"]]
        assert shown["origin"] == ""


async def test_the_command_line_shows_each_change_and_asks_again_if_the_files_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_both(tmp_path) as (world, github):
        monkeypatch.setenv("PREVIEW_URL", world.url)
        monkeypatch.setenv("PREVIEW_TOKEN", world.token("ann"))
        made = await world.keep(FILES)
        answer = response(repository_zip(FILES | {"new.py": "x = 2\n"}, commit=NEWER))
        github.answers[ARCHIVE] = github.answers[f"/codeload/ann/shop/zip/{NEWER}"] = answer
        questions: list[str] = []
        answers = [False, True, True]

        def confirm(question: str, **_: Any) -> bool:
            questions.append(question)
            if len(questions) == 2:
                # Somebody saves a file while the person reads.
                body = {"files": {"mine.py": "x"}}
                saved = trio.from_thread.run(world.ask, "PATCH", f"{PATH}/{made}/files", body)
                assert saved.status_code == 200, saved.text
            return answers[len(questions) - 1]

        monkeypatch.setattr("typer.confirm", confirm)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        words = ["sync", made, f"{github.url}/ann/shop"]
        assert await trio.to_thread.run_sync(run, words) != 0
        assert (await world.ask("GET", f"{PATH}/{made}")).json()["version"] == 1
        capsys.readouterr()
        assert await trio.to_thread.run_sync(run, words) == 0
        out, err = capsys.readouterr()
        assert "change  new.py" in err
        assert "files have changed meanwhile" in err
        assert "remove  mine.py" in err
        assert out.startswith("Synced: 1 changed, 1 removed.")
        assert [one.partition("(")[2] for one in questions] == ["1 changed)?", "1 changed)?", "1 changed, 1 removed)?"]


async def test_a_client_that_leaves_during_the_reload_leaves_no_wrong_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reloading = trio.Event()

    async def reload(*_: object) -> Reload:
        reloading.set()
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(FileEdits, "_in_line", reload)
    async with open_both(tmp_path) as (world, github):
        path = f"{PATH}/{await world.keep(FILES)}"
        github.answers[ARCHIVE] = response(repository_zip({"main.py": "x = 2\n"}))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.ask, "POST", f"{path}/import", {"url": "ann/shop"})
            await reloading.wait()
            nursery.cancel_scope.cancel()
        shown = (await world.ask("GET", path)).json()
        assert (shown["version"], shown["origin"]) == (2, f"{github.url}/ann/shop")


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_of_the_service_is_not_blamed_on_github() -> None:
    async with open_github() as github:
        github.answers[ARCHIVE] = response(repository_zip(FILES))
        downloader = Downloader(Site(github.url, f"{github.url}/codeload"), 1_000_000)
        with pytest.raises(OSError, match="No space left"):
            await downloader.fetch(github.url + ARCHIVE, Full())


async def test_an_import_waits_a_moment_for_those_of_others_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "_MOST_WAIT_S", 0.05)
    async with open_both(tmp_path, imports_at_once=1, imports_per_minute=1) as (world, github):
        started = trio.Event()

        async def wait(stream: trio.SocketStream) -> None:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 9\r\n\r\nPK")
            started.set()
            while await stream.receive_some():
                pass

        github.answers[ARCHIVE] = wait
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.ask, "POST", IMPORTS, {"url": "ann/shop"})
            await started.wait()
            refused = await world.ask("POST", IMPORTS, {"url": "ann/shop"}, user="bob")
            assert (refused.status_code, refused.json()["code"]) == (429, "too_fast"), refused.text
            assert refused.json()["detail"].startswith("Others are importing")
            nursery.cancel_scope.cancel()
        await github.ended.wait()
        monkeypatch.setattr(importer, "_MOST_WAIT_S", 60)
        github.answers[ARCHIVE] = response(repository_zip(FILES))
        # The refused import was not counted.
        assert (await world.ask("POST", IMPORTS, {"url": "ann/shop"}, user="bob")).status_code == 201


def test_an_address_that_could_not_be_read_again_is_refused_and_a_long_folder_is_no_long_name() -> None:
    site = Site("https://github.com", "https://codeload.github.com")
    begin = "https://github.com/ann/shop/tree/main/"
    with pytest.raises(InvalidRequest, match="more than 1024 characters"):
        parse_address(begin + "目录" * 60 + "/" + "子" * 60, site)
    short = parse_address(begin + "目录" * 40, site)[0]
    assert parse_address(short.page(site), site)[0] == short
    assert Repository("ann", "shop", "main", "x" * 300).title == "x" * 256
