from __future__ import annotations

import io
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from http_kit import World, open_world

from preview.http.contracts import generations

# The standard library only: its environment is made in a moment.
START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'


def backend(says: str) -> str:
    return f"""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{says!r}.encode()]
"""


FILES = {"main.py": backend("one"), "preview.toml": START, "notes.txt": "a\n"}


def path_of(generation_id: str, rest: str = "") -> str:
    return f"/api/v1/generations/{generation_id}/files{rest}"


async def change(world: World, generation_id: str, body: Any, **headers: str) -> dict[str, Any]:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await world.ask("PATCH", path_of(generation_id), body, headers=fields)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    generations.FilesChanged.model_validate(shown)
    return shown


async def test_files_are_listed_and_read(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        answer = await world.ask("GET", path_of(made))
        generations.FileList.model_validate(answer.json())
        assert [(one["path"], one["sha256"]) for one in answer.json()["files"]] == [
            (path, sha256(FILES[path].encode()).hexdigest()) for path in sorted(FILES)
        ]
        assert answer.headers["etag"] == answer.json()["etag"]
        file = await world.ask("GET", path_of(made, "/notes.txt"))
        assert (file.content, file.headers["content-type"]) == (b"a\n", "application/octet-stream")
        missing = await world.ask("GET", path_of(made, "/none/of/it"))
        assert (missing.status_code, missing.json()["code"]) == (404, "file_not_found")


async def test_what_the_client_has_is_not_sent_again(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        for path in (path_of(made), path_of(made, "/notes.txt")):
            tag = (await world.ask("GET", path)).headers["etag"]
            again = await world.ask("GET", path, headers={"If-None-Match": tag})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


async def test_a_change_is_kept_in_one_step(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        body = {"files": {"a/b.bin": {"base64": "AAE="}, "notes.txt": "b\n", "main.py": FILES["main.py"]}}
        shown = await change(world, made, body | {"remove": ["preview.toml", "none"]})
        assert (shown["changed"], shown["removed"]) == (["a/b.bin", "notes.txt"], ["preview.toml"])
        assert shown["reload"] == {"status": "none", "preview_id": None, "elapsed_ms": 0.0, "error": None}
        assert shown["file_count"] == 3
        assert (await world.ask("GET", path_of(made, "/a/b.bin"))).content == b"\0\1"
        generation = (await world.ask("GET", f"/api/v1/generations/{made}")).json()
        assert (generation["file_count"], generation["size_bytes"]) == (3, shown["size_bytes"])


async def test_a_whole_set_replaces_what_was_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        answer = await world.ask("PUT", path_of(made), {"files": {"main.py": "new = 1\n"}})
        generations.FilesChanged.model_validate(answer.json())
        assert (answer.json()["changed"], answer.json()["removed"]) == (["main.py"], ["notes.txt", "preview.toml"])
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("other.py", "x = 1\n")
        answer = await world.client.put(
            path_of(made), files={"archive": ("x.zip", archive.getvalue())}, headers=world.headers("ann")
        )
        assert (answer.json()["changed"], answer.json()["removed"]) == (["other.py"], ["main.py"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"files": {"a": "x"}, "remove": ["a"]}, 400, "invalid_request"),
        ({"files": {"../a": "x"}}, 400, "invalid_generation"),
        ({"files": {"main.py/x": "x"}}, 400, "invalid_generation"),
        ({"files": {"a": {"base64": "?"}}}, 400, "invalid_generation"),
        ({"remove": list(FILES)}, 400, "invalid_generation"),
        ({"remove": "main.py"}, 400, "invalid_request"),
        ({"files": {"a": "x" * 3000}}, 413, "too_large"),
    ],
)
async def test_a_change_that_cannot_be_leaves_all_as_it_was(
    tmp_path: Path, body: dict[str, Any], status: int, code: str
) -> None:
    async with open_world(tmp_path, generation_bytes=2000) as world:
        made = await world.keep(FILES)
        before = (await world.ask("GET", path_of(made))).json()
        answer = await world.ask("PATCH", path_of(made), body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await world.ask("GET", path_of(made))).json() == before


async def test_a_change_that_builds_on_an_old_state_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        first = (await world.ask("GET", path_of(made))).headers["etag"]
        second = (await change(world, made, {"files": {"notes.txt": "2"}}, If_Match=first))["etag"]
        assert second != first
        for method, stale in (("PATCH", first), ("PUT", first), ("PATCH", f"W/{second}"), ("PATCH", "nonsense")):
            answer = await world.ask(method, path_of(made), {"files": {"n": "3"}}, headers={"If-Match": stale})
            assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed"), (method, stale)
        await change(world, made, {"files": {"n": "3"}}, If_Match=f'"x", {second}')
        await change(world, made, {"files": {"n": "4"}}, If_Match="*")


async def test_nobody_else_reads_or_changes_the_files(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        asked = (("GET", ""), ("GET", "/main.py"), ("PUT", ""), ("PATCH", ""))
        for method, rest in asked:
            body = {"files": {"a": "b"}} if method != "GET" else None
            answer = await world.ask(method, path_of(made, rest), body, user="bob")
            assert (answer.status_code, "def app" in answer.text) == (404, False)
            assert (await world.ask(method, path_of("gen_none", rest), body)).status_code == 404


async def test_endpoints_follow_a_change(tmp_path: Path) -> None:
    routes = "from flask import Flask\napp = Flask(__name__)\n@app.get('/{}')\ndef one(): return ''\n"
    async with open_world(tmp_path) as world:
        made = await world.keep({"main.py": routes.format("before"), "requirements.txt": "flask\n"})
        path = f"/api/v1/generations/{made}/endpoints"
        assert [one["path"] for one in (await world.ask("GET", path)).json()["endpoints"]] == ["/before"]
        await change(world, made, {"files": {"main.py": routes.format("after")}})
        assert [one["path"] for one in (await world.ask("GET", path)).json()["endpoints"]] == ["/after"]
