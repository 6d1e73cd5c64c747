"""Launch settings over HTTP, with real previews."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from http_kit import BACKEND, World, open_world
from structlog.testing import capture_logs

SECRET = "sesame-open-0123456789-abcdef"
BASE = "/api/v1/projects/proj_1"
# Answers its variables, and prints its key, also in a traceback.
SHOP = """
import json, os, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        names = ("API_KEY", "NEW_CHECKOUT", "COLOR", "PATH", "LD_PRELOAD", "PYTHONPATH")
        shown = {name: os.environ.get(name) for name in names}
        shown["API_KEY"] = len(shown["API_KEY"] or "")
        body = json.dumps(shown).encode()
        if self.path.startswith("/leak"):
            body = json.dumps({"said": os.environ["API_KEY"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
os.environ["STRIPE_API_KEY"]
print("key", os.environ.get("API_KEY"))
try:
    raise KeyError(os.environ.get("API_KEY"))
except KeyError:
    traceback.print_exc()
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"shop.py": SHOP, "preview.toml": '[start]\ncommand = "python shop.py"\n[env]\nCOLOR = "file"\n'}


async def shown(world: World, generation: str, launched: dict[str, Any]) -> dict[str, Any]:
    answer = await world.ask(
        "POST", f"/api/v1/generations/{generation}/preview/request", {"method": "GET", "path": "/"},
        headers={"X-Preview-Token": launched["session_token"]},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(answer.json()["body"])
    return found


async def leak(world: World, generation: str, launched: dict[str, Any]) -> None:
    """Requests with the secret in an address and in a response, which are recorded in full."""
    for capture, path in (("meta", f"/leak?x={SECRET}"), ("full", f"/leak?y={SECRET}&page={SECRET}")):
        where = f"/api/v1/generations/{generation}/preview"
        assert (await world.ask("PUT", f"{where}/capture", {"capture": capture})).status_code == 200
        headers = {"X-Preview-Token": launched["session_token"]}
        answer = await world.ask("POST", f"{where}/request", {"method": "GET", "path": path}, headers=headers)
        assert SECRET in answer.json()["body"]
        await world.service.traffic_writer.flush(launched["id"])


async def patch(world: World, body: dict[str, Any], query: str = "", status: int = 200) -> Any:
    answer = await world.ask("PATCH", f"{BASE}/environment{query}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_settings_reach_a_preview_and_a_secret_reaches_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    with capture_logs() as logs:
        async with open_world(tmp_path, isolation="plain") as world:
            generation = await world.keep(FILES)
            answer = await world.ask("PUT", f"{BASE}/secrets/API_KEY", {"value": SECRET})
            assert answer.json() == {"name": "API_KEY", "preset": None, "is_set": True}
            await patch(
                world,
                {
                    "set": {
                        "COLOR": "project",
                        "NEW_CHECKOUT": "false",
                        "PATH": "/x",
                        "LD_PRELOAD": "",
                        "PYTHONPATH": "lib",
                    }
                },
            )
            # An earlier version's unknown user sees nothing; nor does one with the same project's name.
            for method, path in (("GET", "environment"), ("GET", "secrets/API_KEY"), ("DELETE", "secrets/API_KEY")):
                assert (await world.ask(method, f"{BASE}/{path}", user="bob")).status_code == 404
                assert (await world.ask(method, f"{BASE}/{path}", user=None)).status_code == 401
            await world.keep(FILES, user="bob")
            assert (await world.ask("GET", f"{BASE}/environment", user="bob")).json()["effective"] == []
            assert (await world.ask("GET", f"{BASE}/secrets/API_KEY", user="bob")).status_code == 404

            launched = await world.launch(generation)
            values = await shown(world, generation, launched)
            await leak(world, generation, launched)
            assert (values["API_KEY"], values["COLOR"], values["NEW_CHECKOUT"]) == (len(SECRET), "project", "false")
            assert values["PATH"] != "/x"
            assert values["LD_PRELOAD"] == ""
            assert "/x" not in values["PYTHONPATH"]

            # A flag is turned in the running preview.
            found = await patch(world, {"set": {"NEW_CHECKOUT": "true"}})
            assert found["running"] == [
                {"generation_id": generation, "preview_id": launched["id"], "preset": None, "is_current": False}
            ]
            restarted = await world.ask("POST", f"/api/v1/generations/{generation}/preview/restart", {})
            assert restarted.status_code == 201, restarted.text
            assert restarted.json()["id"] == launched["id"]
            assert (await shown(world, generation, launched))["NEW_CHECKOUT"] == "true"

            # One call switches to a preset.
            assert (await world.ask("POST", f"{BASE}/presets", {"name": "staging"})).status_code == 201
            await patch(world, {"set": {"COLOR": "preset"}}, "?preset=staging")
            await patch(world, {"active_preset": "staging"})
            await world.ask("POST", f"/api/v1/generations/{generation}/preview/restart", {})
            assert (await shown(world, generation, launched))["COLOR"] == "preset"
            found = (await world.ask("GET", f"{BASE}/environment?generation_id={generation}")).json()
            assert [(one["preset"], one["is_current"]) for one in found["running"]] == [("staging", True)]
            assert found["settings"]["variables"][0] == {
                "name": "API_KEY", "value": None, "secret": True, "flag": None, "toggled": None, "note": None,
            }  # fmt: skip
            notes = {one["name"]: one["note"] for one in found["settings"]["variables"]}
            assert notes["PATH"] == "The service itself sets PATH; this value has no effect."
            entries = {one["name"]: one for one in found["detected"]["entries"]}
            assert entries["STRIPE_API_KEY"]["text"] == "STRIPE_API_KEY is not set; using a placeholder"
            assert entries["STRIPE_API_KEY"]["where"].startswith("shop.py:")
            decided = {one["kind"]: one["text"] for one in found["detected"]["entries"]}
            assert decided["port"].startswith("port: the service chooses a free one")
            assert "database" in decided["database"]

            # Another memory limit needs a launch; it can only be lower.
            for memory, shown_mb in ((64, "up to 64 MB"), (4096, "up to 1024 MB")):
                await patch(world, {"memory_mb": memory})
                answer = await world.ask("POST", f"/api/v1/generations/{generation}/preview/restart", {})
                assert answer.json()["id"] != launched["id"]
                launched = answer.json()
                await world.service.previews.wait_ready(launched["id"], 60)
                logged = await world.ask("GET", f"/api/v1/generations/{generation}/preview/logs?format=text")
                assert shown_mb in logged.text
            found = (await world.ask("GET", f"{BASE}/environment")).json()
            assert [one["is_current"] for one in found["running"]] == [True]

            # A request for the launch wins over all of them.
            path = f"/api/v1/generations/{generation}/preview"
            await world.stop_preview(generation)
            answer = await world.ask(
                "POST", f"{path}/launch", {"env": {"COLOR": "request"}}, headers={"Prefer": "wait=60"}
            )
            assert (await shown(world, generation, answer.json()))["COLOR"] == "request"
            said += await everything(world, generation)
            await world.stop_preview(generation)
        async with open_world(tmp_path, isolation="plain") as world:
            launched = await world.launch(generation)
            assert (await shown(world, generation, launched))["API_KEY"] == len(SECRET)
            said += await everything(world, generation)
            assert not [path for path in files_of(tmp_path) if SECRET.encode() in path.read_bytes()]
    assert SECRET not in "".join(said)
    assert [one for one in logs if SECRET in str(one)] == []
    assert not [path for path in files_of(tmp_path) if SECRET.encode() in path.read_bytes()]


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


async def everything(world: World, generation: str) -> list[str]:
    """What each route says that may say anything of a launch."""
    of_generation = (
        *("", "/preview/status", "/preview/config", "/preview/logs", "/preview/logs?format=text", "/preview/requests"),
        *("/preview/requests?format=har", "/preview/requests/2", "/preview/requests/3", "/preview/failures"),
        *("/preview/diagnosis", "/endpoints", "/files", "/launches", "/versions"),
    )
    paths = [f"/api/v1/generations/{generation}{path}" for path in of_generation]
    paths += [
        f"{BASE}/environment?generation_id={generation}",
        f"{BASE}/presets",
        f"{BASE}/environment/compare?b=staging",
    ]
    paths += [f"{BASE}/secrets/API_KEY", "/openapi.json", "/metrics", "/api/v1/previews", "/api/v1/generations"]
    return [(await world.ask("GET", path)).text for path in paths]


async def test_changes_are_guarded_and_mistakes_are_named(tmp_path: Path) -> None:
    async with open_world(tmp_path, isolation="plain") as world:
        generation = await world.keep(FILES)
        answer = await world.ask("GET", f"{BASE}/environment")
        tag = answer.headers["ETag"]
        put = {"variables": {"A": "1"}, "start": {"app": "main:app"}, "memory_mb": 256}
        answer = await world.ask("PUT", f"{BASE}/environment", put, headers={"If-Match": tag})
        assert (answer.status_code, answer.json()["settings"]["memory_mb"]) == (200, 256)
        answer = await world.ask("PUT", f"{BASE}/environment", put, headers={"If-Match": tag})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        for body, status in (
            ({"set": {"A": "x" * 40_000}}, 400), ({"set": {"A B": "1"}}, 400), ({"start": {"appp": "x"}}, 400),
            ({"set": {"A": 1}}, 400), ({"active_preset": "none"}, 404), ({"set": {"A": "\0"}}, 400),
            ({"set": {f"A{one}": "x" * 9_000 for one in range(9)}}, 409), ({"set": {"A": "x" * 600_000}}, 413),
        ):  # fmt: skip
            answer = await world.ask("PATCH", f"{BASE}/environment", body)
            assert answer.status_code == status, answer.text
        # One change: all of it or nothing.
        assert (await world.ask("POST", f"{BASE}/presets", {"name": "live"})).status_code == 201
        answer = await world.ask("PATCH", f"{BASE}/environment", {"active_preset": "live", "start": {"appp": "x"}})
        assert answer.status_code == 400
        assert (await world.ask("GET", f"{BASE}/environment")).json()["active_preset"] is None
        both = await world.ask("PATCH", f"{BASE}/environment", {"active_preset": "live", "memory_mb": 128})
        assert (both.json()["active_preset"], both.json()["settings"]["memory_mb"]) == ("live", 128)
        assert (await world.ask("DELETE", f"{BASE}/presets/live")).status_code == 204
        answer = await world.ask(
            "POST", f"{BASE}/environment/import", {"text": f"A=1\nAPI_KEY={SECRET}\nB=2", "dry_run": True}
        )
        assert answer.json() == {
            "added": ["API_KEY", "B"], "changed": [], "same": ["A"], "secrets": ["API_KEY"], "applied": False
        }  # fmt: skip
        assert SECRET not in answer.text
        await world.ask("POST", f"{BASE}/environment/import", {"text": f"B=2\nAPI_KEY={SECRET}"})
        found = (await world.ask("GET", f"{BASE}/environment")).json()
        assert [(one["name"], one["secret"]) for one in found["effective"]] == [
            ("A", False), ("API_KEY", True), ("B", False)
        ]  # fmt: skip
        # Settings end with the project's last generation.
        other = await world.keep(FILES)
        for one, left in ((generation, 3), (other, 0)):
            assert (await world.ask("DELETE", f"/api/v1/generations/{one}")).status_code == 204
            assert len((await world.ask("GET", f"{BASE}/environment")).json()["effective"]) == left


@pytest.mark.parametrize("wrong", ["main:nothing", "other.py"])
async def test_a_wrong_setting_ends_no_running_preview(tmp_path: Path, wrong: str) -> None:
    async with open_world(tmp_path, isolation="plain") as world:
        generation = await world.keep(FILES)
        launched = await world.launch(generation)
        await patch(world, {"start": {"app": wrong}})
        answer = await world.ask("POST", f"/api/v1/generations/{generation}/preview/restart", {})
        assert answer.status_code in {400, 500}, answer.text
        assert (await shown(world, generation, launched))["COLOR"] == "file"
        await patch(world, {"start": {}, "set": {"COLOR": "mended"}})
        answer = await world.ask("POST", f"/api/v1/generations/{generation}/preview/restart", {})
        assert answer.status_code == 201, answer.text
        assert (await shown(world, generation, launched))["COLOR"] == "mended"


def laid_in(folder: Path) -> str:
    (laid,) = folder.rglob("project/.env")
    return laid.read_text()


def has_secret(folder: Path) -> bool:
    files = [one for one in folder.rglob("*") if one.is_file()]
    assert files
    return any(SECRET.encode() in one.read_bytes() for one in files)


async def test_a_laid_env_file_is_in_no_snapshot_archive_or_version(tmp_path: Path) -> None:
    files = {
        "main.py": 'assert "API_KEY" in open(".env").read()\nopen("made", "w").write("1")\n' + BACKEND,
        ".env.example": "API_KEY=\n",
        "requirements.txt": "fastapi\n",
    }
    async with open_world(tmp_path, isolation="plain") as world:
        generation = await world.keep(files)
        await world.ask("PUT", f"{BASE}/secrets/API_KEY", {"value": SECRET})
        await world.launch(generation)
        here = f"/api/v1/generations/{generation}"
        assert SECRET in laid_in(tmp_path)
        assert (await world.ask("POST", f"{here}/preview/snapshots", {"name": "a"})).status_code == 201
        for path in ("/files", "/archive", "/versions/1", "/versions/1/diff"):
            answer = await world.ask("GET", here + path)
            assert answer.status_code == 200, path
            assert b'.env"' not in answer.content, path
        assert not has_secret(tmp_path / "data" / "snapshots")
        # A restore leaves it, as the program demands it.
        (snapshot,) = (await world.ask("GET", f"{here}/preview/snapshots")).json()["snapshots"]
        assert (await world.ask("POST", f"{here}/preview/snapshots/{snapshot['id']}/restore")).status_code == 200
        assert SECRET in laid_in(tmp_path)
