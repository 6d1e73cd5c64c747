from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from http_kit import FILES, NEVER_READY, World, open_world

from preview.http.contracts import generations, v1

PATH = "/api/v1/generations"


def zipped(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def tarred(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return made.getvalue()


async def upload(world: World, content: bytes, data: dict[str, str] | None = None, **files: Any) -> Any:
    given = files or {"archive": ("project.bin", content)}
    return await world.client.post(PATH, files=given, data=data or {}, headers=world.headers("ann"))


async def test_json_files_are_kept_and_shown(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        body = {
            "project_id": "proj_1",
            "name": "shop",
            "files": {"main.py": "x = 1\n", "a/b.png": {"base64": "iVBORw=="}},
        }
        answer = await world.ask("POST", PATH, body)
        made = answer.json()
        generations.GenerationShape.model_validate(made)
        assert (answer.status_code, made["name"], made["file_count"], made["user_id"]) == (201, "shop", 2, "ann")
        assert answer.headers["location"] == f"{PATH}/{made['id']}"
        shown = (await world.ask("GET", answer.headers["location"])).json()
        generations.GenerationShape.model_validate(shown)
        assert {(one["path"], one["size_bytes"]) for one in shown["files"]} == {("main.py", 6), ("a/b.png", 4)}
        page = (await world.ask("GET", PATH)).json()
        generations.GenerationPage.model_validate(page)
        assert [one["id"] for one in page["generations"]] == [made["id"]]
        assert (await world.ask("GET", PATH, user="bob")).json()["generations"] == []


async def test_a_project_id_says_nothing_of_another_user_who_has_the_same(tmp_path: Path) -> None:
    """Guarantee 9: every answer about the id is as if the other user were not there."""
    async with open_world(tmp_path) as world:

        async def answers(user: str) -> list[tuple[int, Any]]:
            """To all that can be asked with a project's id; what is new each time is left out."""
            found = []
            for project in ("shop", "none"):
                body = {"project_id": "shop", "name": "mine", "files": FILES}
                made = await world.ask("POST", PATH, body, user=user)
                launch = f"{PATH}/{made.json()['id']}/preview/launch"
                refused = await world.ask("POST", launch, {"project_id": f"{project}_other"}, user=user)
                found += [made, refused]
            found.append(await world.ask("GET", PATH, user=user))
            return [(one.status_code, without_news(one.json())) for one in found]

        first = await answers("ann")
        assert [status for status, _ in first] == [201, 400, 201, 400, 200]
        assert len(first[-1][1]["generations"]) == 2
        assert await answers("bob") == [
            (status, json.loads(json.dumps(said).replace("ann", "bob"))) for status, said in first
        ]


def without_news(said: Any) -> Any:
    """The same without what differs between two requests of one user."""
    text = re.sub(r"gen_[0-9a-z]{16}", "gen_", json.dumps(said))
    return json.loads(re.sub(r"[0-9]{4}-[0-9-]+T[0-9:.]+Z", "", text))


@pytest.mark.parametrize("pack", [zipped, tarred])
async def test_an_archive_is_kept_whatever_it_is_called(tmp_path: Path, pack: Any) -> None:
    async with open_world(tmp_path) as world:
        answer = await upload(world, pack(FILES), {"project_id": "proj_9", "name": "ü"})
        assert answer.status_code == 201, answer.text
        assert (answer.json()["project_id"], answer.json()["name"]) == ("proj_9", "ü")
        shown = (await world.ask("GET", answer.headers["location"])).json()
        assert {one["path"] for one in shown["files"]} == set(FILES)


@pytest.mark.parametrize("send", ["json", "zip", "tar.gz", "edit"])
async def test_a_name_that_shows_itself_in_another_order_is_refused_on_every_way_in(tmp_path: Path, send: str) -> None:
    """It would pass for ``main.txt.py`` where it is shown, and is a file of another kind."""
    name = "main\u202etxt.yp"
    files = {"main.py": "", name: ""}
    async with open_world(tmp_path) as world:
        if send == "json":
            answer = await world.ask("POST", PATH, {"files": files})
        elif send == "edit":
            path = f"{PATH}/{await world.keep(FILES)}/files"
            answer = await world.ask("PATCH", path, {"files": {name: ""}})
        else:
            answer = await upload(world, (zipped if send == "zip" else tarred)(files))
        said = answer.json()
        assert (answer.status_code, said["code"]) == (400, "invalid_generation")
        assert "'main\\u202etxt.yp' holds a character that changes the direction of text" in said["detail"]
        assert "\u202e" not in answer.text
        assert said["details"]["path"] == "main\\u202etxt.yp"


async def test_an_archive_larger_than_memory_allows_is_spooled_and_kept(tmp_path: Path) -> None:
    noise = bytes(range(256)).hex() * 5000
    async with open_world(tmp_path) as world:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("main.py", noise)
        answer = await upload(world, made.getvalue())
        assert answer.status_code == 201, answer.text
        assert answer.json()["size_bytes"] == len(noise)


async def test_uploads_that_cannot_be_used_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    zip_file = ("p.zip", zipped(FILES))
    async with open_world(tmp_path, upload_bytes=20_000) as world:
        answers = [
            (await upload(world, b"neither"), 400, "invalid_generation"),
            (await upload(world, b""), 400, "invalid_generation"),
            (await upload(world, zipped({"../x": "1"})), 400, "invalid_generation"),
            (await upload(world, b"PK\x03\x04broken"), 400, "invalid_generation"),
            (await upload(world, b"x" * 60_000), 413, "too_large"),
            (await upload(world, b"", one=zip_file, two=zip_file), 400, "invalid_request"),
            (await upload(world, zipped(FILES), {"name": "x" * 17_000}), 400, "invalid_request"),
            (await world.ask("POST", PATH, {"files": {"/etc/passwd": "x"}}), 400, "invalid_generation"),
            (await world.ask("POST", PATH, {"files": {"a": 1}}), 400, "invalid_request"),
            (await world.ask("POST", PATH, {"files": {"a": "x" * 30_000}}), 413, "too_large"),
            (await world.ask("POST", PATH, {}), 400, "invalid_request"),
        ]
        for answer, status, code in answers:
            v1.Problem.model_validate(answer.json())
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert (await world.ask("GET", PATH)).json()["generations"] == []


@pytest.mark.parametrize(
    ("kind", "content", "status", "code"),
    [
        ("text/plain", b"x", 415, "unsupported_media_type"),
        ("multipart/form-data", b"x", 400, "invalid_request"),
        ("multipart/form-data; boundary=b", b"--b\r\nbroken", 400, "invalid_request"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 400, "invalid_request"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n',
            400,
            "invalid_request",
        ),
        ("application/json", b"{", 400, "invalid_request"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n'
            b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.zip"\r\n\r\n'
            + zipped(FILES)
            + b"\r\n--b--\r\n",
            400,
            "invalid_request",
        ),
    ],
)
async def test_a_body_that_cannot_be_read_is_said_so(
    tmp_path: Path, kind: str, content: bytes, status: int, code: str
) -> None:
    async with open_world(tmp_path) as world:
        headers = world.headers("ann") | {"Content-Type": kind}
        answer = await world.client.post(PATH, content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_generation_is_deleted_once_its_preview_is_stopped(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(NEVER_READY)
        launched = await world.launch(generation, wait_s=None)
        refused = await world.ask("DELETE", f"{PATH}/{generation}")
        assert (refused.status_code, refused.json()["code"]) == (409, "already_running")
        assert refused.json()["details"]["preview_id"] == launched["id"]
        await world.stop_preview(generation)
        assert (await world.ask("DELETE", f"{PATH}/{generation}")).status_code == 204
        assert (await world.ask("GET", f"{PATH}/{generation}")).status_code == 404


async def test_pages_of_previews_and_generations_follow_their_cursor(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_instances_per_user=3) as world:
        kept = [await world.keep(NEVER_READY) for _ in range(3)]
        launched = [(await world.launch(one, wait_s=None))["id"] for one in kept]
        found: list[str] = []
        cursor = ""
        while True:
            page = (await world.ask("GET", f"/api/v1/previews?limit=2{cursor}")).json()
            v1.InstancePage.model_validate(page)
            found += [one["id"] for one in page["previews"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == launched[::-1]
        running = (await world.ask("GET", "/api/v1/previews?status=running")).json()
        assert running["previews"] == []
        assert (await world.ask("GET", "/api/v1/previews?status=odd")).status_code == 400
        assert (await world.ask("GET", "/api/v1/previews?cursor=odd")).status_code == 400


async def test_another_s_preview_is_as_unknown_as_none(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(NEVER_READY)
        launched = await world.launch(generation, wait_s=None)
        other = await world.ask("GET", f"/api/v1/previews/{launched['id']}", user="bob")
        none = await world.ask("GET", "/api/v1/previews/preview_none", user="bob")
        assert other.status_code == none.status_code == 404
        assert other.json()["detail"].replace(launched["id"], "preview_none") == none.json()["detail"]


async def test_extend_moves_the_end_up_to_the_tier_s_limit(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_uptime_pro_s=7200) as world:
        generation = await world.keep(NEVER_READY)
        launched = await world.launch(generation, wait_s=None)
        path = f"{PATH}/{generation}/preview/extend"
        refused = await world.ask("POST", path, {"seconds": 60})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
        assert (await world.ask("POST", path, {"seconds": 0})).status_code == 400
        await world.stop_preview(generation)
        pro = {"Authorization": f"Bearer {world.token('ann', tier='pro')}"}
        answer = await world.client.post(f"{PATH}/{generation}/preview/launch", headers=pro)
        assert answer.json()["id"] != launched["id"]
        before = (await world.ask("GET", answer.headers["location"])).json()["expires_at"]
        extended = await world.client.post(path, json={"seconds": 60}, headers=pro)
        v1.Instance.model_validate(extended.json())
        assert extended.status_code == 200
        assert extended.json()["expires_at"] > before


async def test_a_restart_of_what_runs_keeps_the_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        first = await world.launch(generation)
        answer = await world.ask(
            "POST", f"{PATH}/{generation}/preview/restart", headers={"Prefer": "respond-async, wait=60"}
        )
        v1.Launched.model_validate(answer.json())
        assert (answer.status_code, answer.json()["status"]) == (201, "running")
        assert answer.headers["preference-applied"] == "wait=60"
        assert answer.json()["id"] == first["id"]
        assert (await world.ask("GET", f"/api/v1/previews/{first['id']}")).json()["status"] == "running"
