"""Versions of a generation's files, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
from http_kit import World, open_world
from sqlalchemy import insert

from preview.errors import TooComplex
from preview.generations import Edit, VersionNote
from preview.http.contracts.generations import FilesChanged
from preview.http.contracts.history import versions
from preview.http.version_diffs import difference_of
from preview.storage.version_tables import generation_versions
from preview.worker import FilePair, InProcess

FILES = {"main.py": "v = 1\n", "notes.txt": "a\nb\n"}
FLASK = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'


def backend(says: str) -> str:
    return f"""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{says!r}.encode()]
"""


def path_of(generation_id: str, rest: str = "") -> str:
    return f"/api/v1/generations/{generation_id}/versions{rest}"


async def change(world: World, generation_id: str, files: Any, query: str = "", **body: Any) -> dict[str, Any]:
    answer = await world.ask("PATCH", f"/api/v1/generations/{generation_id}/files{query}", {"files": files} | body)
    assert answer.status_code == 200, answer.text
    FilesChanged.model_validate(answer.json())
    shown: dict[str, Any] = answer.json()
    return shown


async def test_other_users_see_no_version(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        for method, rest in (("GET", ""), ("GET", "/1"), ("GET", "/1/diff"), ("POST", "/1/restore")):
            foreign = await world.ask(method, path_of(made, rest), user="ben")
            nobody = await world.ask(method, path_of(made, rest), user=None)
            assert (foreign.status_code, nobody.status_code) == (404, 401)


NUMBERS = ["0", "2", "99999999999999999999", "-1", "1e3", "\u0661", "1%00", "..%2f1", "x"]


async def test_a_version_that_is_none_is_not_found(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        for method, rest in (("GET", ""), ("GET", "/diff"), ("POST", "/restore")):
            for number in NUMBERS:
                answer = await world.ask(method, path_of(made, f"/{number}{rest}"))
                assert answer.status_code == 404, (number, rest, answer.text)


async def test_huge_files_are_named_without_a_diff(tmp_path: Path) -> None:
    async with open_world(tmp_path, upload_bytes=100 * 1024 * 1024) as world:
        made = await world.keep(FILES)
        long = ("x" * 1_000_000 + "\n") * 20
        await world.ask("PUT", f"/api/v1/generations/{made}/files", {"files": {"big.txt": long, "main.py": "v = 2\n"}})
        await world.ask("PUT", f"/api/v1/generations/{made}/files", {"files": {"big.txt": long[1:], "main.py": "v\n"}})
        answer = await world.ask("GET", path_of(made, "/3/diff"))
        big, small = answer.json()["files"]
        assert (big["diff"], big["left_out"][:21]) == (None, "The file is too large")
        assert small["diff"].endswith("-v = 2\n+v\n")


class Refusing(InProcess):
    async def compare(self, pairs: Sequence[FilePair]) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise TooComplex(f"{len(pairs)} files are too complex.")


async def test_a_diff_that_takes_too_long_is_left_out(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        assert world.service.library is not None
        found = await difference_of(world.service.library.versions, Refusing(), made, 0, 1)
        assert [(one.path, one.change, one.diff) for one in found] == [
            ("main.py", "added", None), ("notes.txt", "added", None),
        ]  # fmt: skip
        assert {one.left_out for one in found} == {
            "Comparing this takes too long; download both versions to compare them."
        }


async def test_each_change_is_a_version_with_its_note(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        await change(world, made, {"main.py": "v = 2\n"}, "?message=faster%00%1b&agent=robot&source=sync")
        shown = await change(world, made, {"new.py": "n\n"}, remove=["notes.txt"])
        assert (shown["version"], shown["added"], shown["versions_removed"]) == (3, ["new.py"], 0)
        page = (await world.ask("GET", path_of(made))).json()
        versions.VersionList.model_validate(page)
        assert [(one["number"], one["source"], one["message"], one["agent"]) for one in page["items"]] == [
            (3, "edit", "", ""), (2, "sync", "faster", "robot"), (1, "push", "", ""),
        ]  # fmt: skip
        assert (page["items"][0]["added"], page["items"][0]["removed"], page["oldest"]) == (1, 1, 1)
        detail = (await world.ask("GET", path_of(made, "/2"))).json()
        versions.VersionDetail.model_validate(detail)
        assert [one["path"] for one in detail["files"]] == ["main.py", "notes.txt"]
        diff = (await world.ask("GET", path_of(made, "/3/diff?against=1"))).json()
        versions.VersionDiff.model_validate(diff)
        assert (diff["added"], diff["changed"], diff["removed"]) == (1, 1, 1)
        assert diff["files"][0]["diff"] == "--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-v = 1\n+v = 2\n"
        first = (await world.ask("GET", path_of(made, "/1/diff"))).json()
        assert [one["change"] for one in first["files"]] == ["added", "added"]


async def test_a_dry_run_tells_what_would_change(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        path = f"/api/v1/generations/{made}/files?dry_run=true"
        shown = (await world.ask("PUT", path, {"files": {"main.py": "v = 1\n", "x": ""}})).json()
        assert (shown["changed"], shown["removed"], shown["version"]) == (["x"], ["notes.txt"], 1)
        listed = (await world.ask("GET", f"/api/v1/generations/{made}/files")).json()
        assert [one["path"] for one in listed["files"]] == ["main.py", "notes.txt"]


async def test_a_version_is_restored_as_a_new_one(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        await change(world, made, {"main.py": "v = 2\n", "new.py": ""}, remove=["notes.txt"])
        stale = await world.ask("POST", path_of(made, "/1/restore"), headers={"If-Match": '"1"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
        answer = await world.ask("POST", path_of(made, "/1/restore"), headers={"If-Match": '"2"'})
        shown = answer.json()
        assert (shown["version"], shown["changed"], shown["removed"]) == (3, ["main.py", "notes.txt"], ["new.py"])
        newest = (await world.ask("GET", path_of(made))).json()["items"][0]
        assert (newest["source"], newest["message"]) == ("restore", "Version 1 restored")
        again = (await world.ask("POST", path_of(made, "/1/restore"))).json()
        assert (again["version"], again["changed"], again["reload"]["status"]) == (3, [], "none")


async def test_a_restored_version_reloads_the_preview_or_leaves_the_old_one(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep({"main.py": "raise SystemExit(1)\n", "preview.toml": FLASK})
        await change(world, made, {"main.py": backend("two")})
        await change(world, made, {"main.py": backend("three")})
        launched = await world.launch(made)
        restored = (await world.ask("POST", path_of(made, "/2/restore"))).json()
        assert restored["reload"]["status"] == "reloaded", restored
        failed = (await world.ask("POST", path_of(made, "/1/restore"))).json()
        assert (failed["version"], failed["reload"]["status"]) == (5, "failed")
        marks = {one["number"]: one["failed"] for one in (await world.ask("GET", path_of(made))).json()["items"]}
        assert [number for number, mark in marks.items() if mark] == [5]
        assert (marks[5]["preview_id"], marks[5]["kind"]) == (launched["id"], "reload")
        assert marks[5]["reason"] == failed["reload"]["error"]["detail"]
        assert (await world.ask("GET", path_of(made, "/5"))).json()["failed"] == marks[5]
        proxied = await world.ask(
            "POST",
            f"/api/v1/generations/{made}/preview/request",
            {"method": "GET", "path": "/"},
            headers={"X-Preview-Token": launched["session_token"]},
        )
        assert proxied.json()["body"] == "two"


async def test_a_version_whose_launch_fails_is_marked_until_it_has_started(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        # No value that the source names: a preview would get that.
        broken = 'import os\nif int(os.environ.get("WORKS", "0")) < 7:\n    raise SystemExit("no")\n' + backend("works")
        made = await world.keep({"main.py": broken, "preview.toml": FLASK})
        launch = f"/api/v1/generations/{made}/preview/launch"
        refused = await world.ask("POST", launch, headers={"Prefer": "wait=60"})
        assert refused.status_code == 500, refused.text
        (one,) = (await world.ask("GET", path_of(made))).json()["items"]
        assert (one["failed"]["kind"], one["failed"]["preview_id"]) == (
            "launch",
            refused.json()["details"]["preview_id"],
        )
        assert one["failed"]["reason"] == refused.json()["detail"]
        started = await world.ask("POST", launch, {"env": {"WORKS": "7"}}, headers={"Prefer": "wait=60"})
        assert started.status_code == 201, started.text
        (one,) = (await world.ask("GET", path_of(made))).json()["items"]
        assert one["failed"] is None
        # The launch runs another version now; it has started with the first one all the same.
        await change(world, made, {"notes.txt": "x"})
        both = (await world.ask("GET", path_of(made))).json()["items"]
        assert [one["failed"] for one in both] == [None, None]


async def test_ten_thousand_versions_are_listed_page_by_page(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        row = {
            "generation_id": made, "author": "ann", "agent": "", "source": "edit", "message": "", "created_at": 1,
            "file_count": 2, "size_bytes": 10, "added": 0, "changed": 1, "removed": 0, "past_bytes": 0,
        }  # fmt: skip
        rows = [row | {"number": number} for number in range(2, 10_001)]
        await world.service.database.write(lambda connection: connection.execute(insert(generation_versions), rows))
        seen: list[int] = []
        query = "?limit=200"
        # A page takes some milliseconds; this is for a machine that does much else.
        with trio.fail_after(20):
            while True:
                page = (await world.ask("GET", path_of(made, query))).json()
                seen += [one["number"] for one in page["items"]]
                if page["next"] is None:
                    break
                query = f"?limit=200&before={page['next']}"
        assert seen == list(range(10_000, 0, -1))
        assert page["oldest"] == 1


@pytest.mark.parametrize("mib", [1, pytest.param(64, marks=pytest.mark.long)])
async def test_a_difference_of_large_files_reads_neither(
    tmp_path: Path, mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        library = world.service.library
        assert library is not None
        versions = library.versions
        for letter in (b"a", b"b"):
            edit = Edit({"large.txt": (letter * 63 + b"\n") * (mib << 14)})
            await library.edit(made, edit, note=VersionNote("ann", "edit"))
        before = versions.read
        asked: list[str] = []

        async def read(generation_id: str, number: int, paths: Sequence[str]) -> dict[str, bytes]:
            asked.extend(paths)
            return await before(generation_id, number, paths)

        monkeypatch.setattr(versions, "read", read)
        with trio.fail_after(5):
            found = (await world.ask("GET", path_of(made, "/3/diff"))).json()["files"]
        assert [(one["path"], one["change"], one["diff"]) for one in found] == [("large.txt", "changed", None)]
        assert found[0]["left_out"]
        assert asked == []
