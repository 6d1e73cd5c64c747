"""Imports from GitHub: attackers first, then what people import."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from github_kit import COMMIT, Github, moved, open_github, repository_zip, response
from http_kit import FILES, World, open_world

from preview.cli.entry import run
from preview.client import AsyncClient, Client, PreviewProblem
from preview.errors import InvalidRequest
from preview.github import Repository, Site, parse_address
from preview.http.contracts import generations
from preview.settings import load_settings

IMPORTS, PATH = "/api/v1/imports", "/api/v1/generations"
SITE = Site("https://github.com", "https://codeload.github.com")
ARCHIVE = "/codeload/ann/shop/zip/HEAD"


@asynccontextmanager
async def open_both(folder: Path, **changes: Any) -> AsyncIterator[tuple[World, Github]]:
    async with open_github() as github, open_world(folder, **github.settings | changes) as world:
        yield world, github


async def imported(world: World, url: str, **more: Any) -> Any:
    return await world.ask("POST", IMPORTS, {"url": url} | more)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop",
        "ann/",
        "/",
        "https://github.com",
        "https://github.com/ann",
        "https://gitlab.com/ann/shop",
        "https://github.com.evil.example/ann/shop",
        "https://evil.example/github.com/ann/shop",
        "https://github.com@evil.example/ann/shop",
        "https://user:pass@github.com/ann/shop",
        "https://github.com:444/ann/shop",
        "https://github.com:x/ann/shop",
        "https://[::1/ann/shop",
        "http://127.0.0.1/ann/shop",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ssh://git@github.com/ann/shop",
        "git@github.com:ann/shop.git",
        "//github.com/ann/shop",
        "https://github.com/../shop",
        "https://github.com/ann/..",
        "https://github.com/ann/.",
        "https://github.com/ann/.git",
        "https://github.com/a%2fnn/shop",
        "https://github.com/ann/sh op",
        "https://github.com/ann/shop\r\nHost: evil",
        "https://github.com/ann/shop\x00",
        "https://github.com/ann\\shop",
        "https://github.com/änn/shop",
        "https://github.com/ann/shop/issues/1",
        "https://github.com/ann/shop/blob/main/main.py",
        "https://github.com/ann/shop/tree",
        "https://github.com/ann/shop/tree/..",
        "https://github.com/ann/shop/tree/main/../../x",
        "https://github.com/ann/shop/tree/main/%2e%2e",
        "https://github.com/ann/shop/tree/main/a%2f..%2fb",
        "https://github.com/ann/shop/tree/main/a%5cb",
        "https://github.com/ann/shop/tree/%ff",
        "https://github.com/ann/shop/tree/ma%00in",
        "https://github.com/ann/shop/tree/ma%0d%0ain",
        "https://github.com/ann/shop/tree/%2e%2e%2fx",
        "https://github.com/ann/shop/tree/%2fx",
        "https://github.com/ann/shop/tree/ma%20in",
        "https://github.com/ann/shop/commit/abc/def",
        "https://github.com/" + "a" * 40 + "/shop",
        "https://github.com/ann/" + "a" * 101,
        "https://github.com/ann/shop/tree/" + "a" * 2000,
    ],
)
def test_an_address_that_is_not_a_repositorys_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_address(text, SITE)
    assert refused.value.details["field"] == "url"
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ann/shop", [("HEAD", "")]),
        ("github.com/ann/shop", [("HEAD", "")]),
        (" https://www.github.com/ann/shop/ ", [("HEAD", "")]),
        ("https://GitHub.com/ann/shop.git", [("HEAD", "")]),
        ("https://github.com/ann/shop?tab=readme-ov-file#readme", [("HEAD", "")]),
        ("https://github.com/ann/shop/commit/0123abc", [("0123abc", "")]),
        ("https://github.com/ann/shop/tree/v1.0", [("v1.0", "")]),
        ("https://github.com/ann/shop/tree/main/b%C3%BCcher x", [("main", "bücher x")]),
        ("https://github.com/ann/shop/tree/feature%2Fx/api", [("feature/x", "api")]),
        ("https://github.com/ann/shop/tree/a/b/c", [("a", "b/c"), ("a/b", "c"), ("a/b/c", "")]),
    ],
)
def test_an_address_is_read_as_a_browser_shows_it(text: str, meant: list[tuple[str, str]]) -> None:
    found = parse_address(text, SITE)
    assert [(one.ref, one.folder) for one in found] == meant
    assert {one.full_name for one in found} == {"ann/shop"}
    # Its normal form means the same, and only that.
    assert [parse_address(one.page(SITE), SITE)[0] for one in found] == found
    assert all(
        re.fullmatch(r"https://codeload\.github\.com/ann/shop/zip/[\w./%-]+", one.archive(SITE)) for one in found
    )


def test_what_is_asked_for_has_no_characters_of_its_own() -> None:
    one = Repository("ann", "shop", "@scope/a+b#1")
    assert one.archive(SITE) == "https://codeload.github.com/ann/shop/zip/%40scope/a%2Bb%231"
    with pytest.raises(InvalidRequest):
        one.at("../../x")


async def _drip(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await stream.send_all(b"P")
        await trio.sleep(0.05)


async def _endless(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"10000\r\n" + b"P" * 0x10000 + b"\r\n")


def bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("shop-main/zeros", bytes(50_000_000))
    return made.getvalue()


async def test_answers_that_are_no_archive_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    good = repository_zip(FILES)
    changes = {"upload_bytes": 200_000, "generation_bytes": 1_000_000, "generation_files": 20, "import_timeout_s": 2}
    gzip = "Content-Encoding: gzip\r\n"
    async with open_both(tmp_path, imports_per_minute=1000, **changes) as (world, github):
        other = f"http://localhost:{github.url.rpartition(':')[2]}/codeload/ann/shop/zip/HEAD"
        cases: list[tuple[str, Any, int, str]] = [
            ("a page", response(b"<html>", "text/html"), 502, "import_failed"),
            ("packed again", response(good, more=gzip), 502, "import_failed"),
            ("no zip", response(b"neither"), 400, "invalid_generation"),
            ("a tar", response(b"\x1f\x8b" + bytes(100), "application/octet-stream"), 400, "invalid_generation"),
            ("cut off", response(good)[:-40], 502, "import_failed"),
            ("cut zip", response(good[:-80]), 400, "invalid_generation"),
            ("nothing", b"", 502, "import_failed"),
            ("no HTTP", b"220 smtp ready\r\n\r\n", 502, "import_failed"),
            ("a long head", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000, 502, "import_failed"),
            ("drip", _drip, 502, "import_failed"),
            ("endless", _endless, 413, "too_large"),
            ("too large", response(bytes(200_001)), 413, "too_large"),
            ("a bomb", response(bomb()), 413, "too_large"),
            ("too many files", response(repository_zip({f"{n}.py": "" for n in range(21)})), 413, "too_large"),
            ("climbing", response(repository_zip({"../../x": "1"})), 400, "invalid_generation"),
            ("absolute", response(repository_zip({"/x": "1"})), 400, "invalid_generation"),
            ("two tops", response(repository_zip({"x": "1"}, top="a/../..")), 400, "invalid_generation"),
            ("no top", response(repository_zip({"x": "1"}, top="")), 400, "invalid_generation"),
            ("only links", response(repository_zip({}, links={"x": "/etc/passwd"})), 400, "invalid_generation"),
            ("error", response(b"", status="500 Oops"), 502, "import_failed"),
            ("rate limit", response(b"", status="429 Slow down"), 502, "import_failed"),
            ("a circle", moved(ARCHIVE), 502, "import_failed"),
            ("another host", moved(other), 502, "import_failed"),
            ("the metadata service", moved("http://169.254.169.254/latest"), 502, "import_failed"),
            ("a file", moved("file:///etc/passwd"), 502, "import_failed"),
            ("nowhere", moved(""), 502, "import_failed"),
            ("a bad port", moved(f"{github.url}0000/"), 502, "import_failed"),
            ("with a name", moved(github.url.replace("//", "//user@")), 502, "import_failed"),
        ]  # fmt: skip
        for name, answer, status, code in cases:
            github.answers[ARCHIVE] = answer
            said = await imported(world, "ann/shop")
            assert (said.status_code, said.json()["code"]) == (status, code), (name, said.text)
            assert said.json()["detail"].isprintable(), name
        assert (await world.ask("GET", PATH)).json()["generations"] == []
        # Nothing of these is left: the next import works.
        github.answers[ARCHIVE] = response(good)
        assert (await imported(world, "ann/shop")).status_code == 201
        assert set(github.asked) == {ARCHIVE}
        assert not any(b"authorization" in head.lower() or b"cookie" in head.lower() for head in github.heads)


async def test_a_client_that_leaves_ends_its_download_and_may_import_again(tmp_path: Path) -> None:
    async with open_both(tmp_path, imports_at_once=1) as (world, github):
        started = trio.Event()

        async def wait(stream: trio.SocketStream) -> None:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 9\r\n\r\nPK")
            started.set()
            while await stream.receive_some():
                pass

        github.answers[ARCHIVE] = wait
        async with trio.open_nursery() as nursery:
            nursery.start_soon(imported, world, "ann/shop")
            await started.wait()
            again = await imported(world, "ann/shop")
            assert (again.status_code, again.json()["code"]) == (429, "too_fast"), again.text
            nursery.cancel_scope.cancel()
        await github.ended.wait()
        github.answers[ARCHIVE] = response(repository_zip(FILES))
        while (said := await imported(world, "ann/shop")).status_code == 429:  # noqa: ASYNC110  the service tells nobody
            await trio.sleep(0.01)
        assert said.status_code == 201, said.text
        assert len((await world.ask("GET", PATH)).json()["generations"]) == 1


async def test_imports_are_paced_for_each_user_and_can_be_off(tmp_path: Path) -> None:
    async with open_both(tmp_path / "on", imports_per_minute=2) as (world, github):
        github.answers[ARCHIVE] = response(repository_zip(FILES))
        assert [(await imported(world, "ann/shop")).status_code for _ in range(3)] == [201, 201, 429]
        assert (await world.ask("POST", IMPORTS, {"url": "ann/shop"}, user="bob")).status_code == 201
        assert (await world.ask("POST", IMPORTS, {"url": "ann/shop"}, user=None)).status_code == 401
        for body in ({}, {"url": 7}, {"url": "x" * 2000}, {"url": "ann/shop", "name": "a\x00b"}):
            assert (await world.ask("POST", IMPORTS, body, user="eve")).status_code == 400, body
    async with open_world(tmp_path / "off", github_url="off") as world:
        assert (await world.ask("GET", IMPORTS)).json()["address"] == ""
        said = await imported(world, "ann/shop")
        assert (said.status_code, said.json()["code"]) == (409, "imports_off")
        assert "preview push" in said.json()["detail"]


async def test_a_public_repository_becomes_a_generation_that_names_its_commit(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    files = FILES | {"README.md": "x", "data.bin": pointer, ".gitmodules": ""}
    packages = {"myenv/pyvenv.cfg": "", "myenv/bin/pip": "", "myenv/lib/python3.12/site-packages/django/urls.py": "x"}
    async with open_both(tmp_path) as (world, github):
        assert (await world.ask("GET", IMPORTS)).json()["address"] == github.url
        github.answers[ARCHIVE] = response(repository_zip(files | packages, links={"CLAUDE.md": "README.md"}))
        answer = await imported(world, f"{github.url}/ann/shop")
        made = answer.json()
        assert answer.status_code == 201, answer.text
        generations.ImportedGeneration.model_validate(made)
        assert (made["name"], made["commit"], made["origin"]) == ("shop", COMMIT, f"{github.url}/ann/shop")
        assert [one.partition(":")[0] for one in made["notes"]] == [
            "Symbolic links are left out",
            "Installed packages are left out, because the service installs its own",
            "Files of Git LFS have a pointer as their content",
            "Submodules are left out",
        ]
        shown = (await world.ask("GET", answer.headers["location"])).json()
        assert {one["path"] for one in shown["files"]} == set(files)
        version = (await world.ask("GET", f"{answer.headers['location']}/versions")).json()["items"][0]
        assert version["source"] == "import"
        assert version["message"] == f"{github.url.partition('://')[2]}/ann/shop@{COMMIT}"
        entry = (await world.ask("GET", "/api/v1/audit")).json()["items"][0]
        assert (entry["action"], entry["outcome"]) == ("project added", "ok")
        assert entry["detail"].endswith(f"ann/shop@{COMMIT}")


async def test_a_branch_with_a_slash_and_a_folder_are_found(tmp_path: Path) -> None:
    async with open_both(tmp_path) as (world, github):
        packed = repository_zip(
            {"api/main.py": "x = 1\n", "api/a/b.py": "", "apis/x.py": "", "../bad": "", "web/y": ""}
        )
        github.answers["/codeload/ann/shop/zip/feature/x"] = moved(f"{github.url}/moved?a=b")
        github.answers["/moved?a=b"] = response(packed)
        url = f"{github.url}/ann/shop/tree/feature/x/api"
        made = (await imported(world, url, name="My API", project_id="apis")).json()
        assert github.asked == ["/codeload/ann/shop/zip/feature", "/codeload/ann/shop/zip/feature/x", "/moved?a=b"]
        assert (made["name"], made["project_id"]) == ("My API", "apis")
        assert made["origin"] == f"{github.url}/ann/shop/tree/feature%2Fx/api"
        shown = (await world.ask("GET", f"{PATH}/{made['id']}")).json()
        assert [one["path"] for one in shown["files"]] == ["a/b.py", "main.py"]
        github.asked.clear()
        missing = await imported(world, f"{github.url}/ann/shop/tree/feature%2Fx/none")
        assert (missing.status_code, missing.json()["code"]) == (400, "invalid_generation")
        assert "no files in the folder 'none'" in missing.json()["detail"]
        private = await imported(world, "ann/secret")
        assert (private.status_code, private.json()["code"]) == (404, "repository_not_found")
        assert "if it is private, clone it and upload the clone with `preview push`" in private.json()["detail"]


async def test_an_update_shows_what_would_change_and_takes_just_that(tmp_path: Path) -> None:
    newer, newest = "1" * 40, "2" * 40
    async with open_both(tmp_path) as (world, github):
        github.answers[ARCHIVE] = response(repository_zip({"main.py": "x = 1\n", "old.py": ""}))
        made = (await imported(world, "ann/shop")).json()
        path = f"{PATH}/{made['id']}"
        changed = response(repository_zip({"main.py": "x = 2\n"}, commit=newer))
        github.answers[ARCHIVE] = github.answers[f"/codeload/ann/shop/zip/{newer}"] = changed
        plan = (await world.ask("POST", f"{path}/import?dry_run=true", {})).json()
        generations.ImportedChange.model_validate(plan)
        assert (plan["changed"], plan["removed"], plan["commit"]) == (["main.py"], ["old.py"], newer)
        assert (await world.ask("GET", path)).json()["version"] == 1
        # Somebody pushes in between; only what was shown is taken.
        github.answers[ARCHIVE] = response(repository_zip({"other.py": ""}, commit=newest))
        body = {"url": plan["origin"], "commit": plan["commit"]}
        done = (await world.ask("POST", f"{path}/import", body)).json()
        assert (done["changed"], done["removed"], done["version"], done["commit"]) == (
            ["main.py"],
            ["old.py"],
            2,
            newer,
        )
        assert (await world.ask("GET", path)).json()["origin"] == f"{github.url}/ann/shop"
        versions = (await world.ask("GET", f"{path}/versions")).json()["items"]
        assert [one["source"] for one in versions] == ["import", "import"]
        for body, user, status in (
            ({"commit": "main"}, "ann", 400),
            ({"commit": "../x"}, "ann", 400),
            ({"url": "https://evil.example/a/b"}, "ann", 400),
            ({}, "bob", 404),
        ):
            answer = await world.ask("POST", f"{path}/import", body, user=user)
            assert answer.status_code == status, (body, answer.text)


async def test_both_clients_import_a_repository_and_update_from_it(tmp_path: Path) -> None:
    newer = "1" * 40
    async with open_both(tmp_path) as (world, github):
        token = world.token("ann")
        github.answers[ARCHIVE] = response(repository_zip({"main.py": "x = 1\n", "old.py": ""}))
        async with AsyncClient(world.url, token) as client:
            with pytest.raises(PreviewProblem) as refused:
                await client.import_repository("https://evil.example/ann/shop")
            assert refused.value.details["field"] == "url"
            made = await client.import_repository("ann/shop", name="My shop", project_id="shops")
            assert (made.name, made.project_id, made.commit, made.notes) == ("My shop", "shops", COMMIT, [])
            assert made.origin == f"{github.url}/ann/shop"
            changed = response(repository_zip({"main.py": "x = 2\n"}, commit=newer))
            github.answers[ARCHIVE] = github.answers[f"/codeload/ann/shop/zip/{newer}"] = changed
            plan = await client.preview(made.id).update_from_repository(dry_run=True)
            assert (plan.changed, plan.removed, plan.commit) == (["main.py"], ["old.py"], newer)
        github.answers[ARCHIVE] = response(repository_zip({"other.py": ""}))

        def of_threads() -> None:
            with Client(world.url, token) as client:
                preview = client.preview(made.id)
                with pytest.raises(PreviewProblem) as changed:
                    preview.update_from_repository(plan.origin, commit=plan.commit, etag='"7"')
                assert changed.value.status == 412
                done = preview.update_from_repository(plan.origin, commit=plan.commit, etag=plan.etag)
                assert (done.version, done.changed, done.removed) == (2, ["main.py"], ["old.py"])
                assert preview.update_from_repository().changed == ["other.py"]
                assert client.import_repository(plan.origin).name == "shop"

        await trio.to_thread.run_sync(of_threads)


async def test_a_pushed_project_is_bound_to_a_repository_by_its_first_update(tmp_path: Path) -> None:
    async with open_both(tmp_path) as (world, github):
        path = f"{PATH}/{await world.keep(FILES)}"
        refused = await world.ask("POST", f"{path}/import", {})
        assert (refused.status_code, refused.json()["details"]["field"]) == (400, "url")
        github.answers[ARCHIVE] = response(repository_zip(FILES))
        unchanged = (await world.ask("POST", f"{path}/import", {"url": "ann/shop"})).json()
        assert (unchanged["changed"], unchanged["removed"], unchanged["version"]) == ([], [], 1)
        assert (await world.ask("GET", path)).json()["origin"] == f"{github.url}/ann/shop"


def test_the_hosts_are_the_operators_choice() -> None:
    assert Site.of(load_settings()) == SITE
    own = Site.of(load_settings(github_url="https://git.example.com"))
    assert own.archives == "https://codeload.git.example.com"
    assert parse_address("git.example.com/ann/shop", own) == [Repository("ann", "shop")]
    with pytest.raises(InvalidRequest):
        parse_address("https://github.com/ann/shop", own)


async def test_the_command_line_imports_shows_what_an_update_changes_and_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = "1" * 40
    async with open_both(tmp_path) as (world, github):
        monkeypatch.setenv("PREVIEW_URL", world.url)
        monkeypatch.setenv("PREVIEW_TOKEN", world.token("ann"))

        async def tell(*words: str) -> tuple[int, str, str]:
            code = await trio.to_thread.run_sync(run, list(words))
            return code, *capsys.readouterr()

        github.answers[ARCHIVE] = response(repository_zip({"main.py": "x = 1\n"}, links={"l": "main.py"}))
        code, out, err = await tell("push", f"{github.url}/ann/shop")
        assert code == 0, err
        assert f"at commit {COMMIT[:7]}" in err
        assert "Symbolic links are left out: 'l'" in err
        changed = response(repository_zip({"main.py": "x = 2\n"}, commit=newer))
        github.answers[ARCHIVE] = github.answers[f"/codeload/ann/shop/zip/{newer}"] = changed
        sync = ("sync", out.split()[-1], f"{github.url}/ann/shop")
        assert "change  main.py" in (await tell(*sync, "--dry-run"))[1]
        assert (await tell(*sync))[1].startswith("Synced: 1 changed. Undo: preview versions restore")
        assert "nothing to change" in (await tell(*sync))[1]
        assert (await tell(*sync, "--watch"))[0] == 2
