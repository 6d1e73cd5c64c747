"""A probe's progress as Server-Sent Events; its end by a reader, by its owner, and by the death of the service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from http_kit import EventStream, World, open_world

from preview.runtime.kernel import proctree

# It publishes a document, so that Schemathesis too has work until the probe's time is over.
SLOW_TO_FINISH = """
import json, os, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
ITEM = {"parameters": [{"name": "n", "in": "path", "required": True, "schema": {"type": "integer"}}],
        "responses": {"200": {"description": "Half of it."}}}
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/half/{n}": {"get": ITEM}}}
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, value = 200, {"ok": True}
        if self.path == "/openapi.json":
            value = DOCUMENT
        elif self.path.startswith("/half/"):
            try:
                value = divide(int(self.path[6:]))
            except Exception:
                traceback.print_exc()
                status = 500
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
def divide(n):
    return 1 / n
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"main.py": SLOW_TO_FINISH, "preview.toml": '[start]\ncommand = "python main.py"\n'}
_SERVICE = """
import sys, trio
from pathlib import Path
sys.path[:0] = {paths!r}
from http_kit import open_world
from test_http_probe import FILES, path_of
async def main():
    async with open_world(Path({folder!r})) as world:
        made = await world.keep(FILES)
        await world.launch(made)
        await world.ask("POST", path_of(made), {{"seconds": 60}})
        with trio.fail_after(60):
            while not (await world.ask("GET", path_of(made))).json()["requests"]:
                pass
        [trial] = world.service.previews._registry.trials
        print('probed', made, trial.id, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


def path_of(generation_id: str) -> str:
    return f"/api/v1/generations/{generation_id}/preview/probe"


@asynccontextmanager
async def open_progress(world: World, generation_id: str, user: str = "ann") -> AsyncIterator[EventStream]:
    async with await trio.open_tcp_stream(*world.address) as stream:
        opened = EventStream(stream)
        await opened.open(path_of(generation_id), world.headers(user) | {"Accept": "text/event-stream"})
        yield opened


def folders_of(world_folder: Path) -> list[str]:
    return [one.name for one in (world_folder / "data").glob("probe-*")]


async def test_a_probe_is_followed_and_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_streams_per_user=1) as world:
        made = await world.keep(FILES)
        async with open_progress(world, made) as none:
            assert none.status == 404
        await world.launch(made)
        assert (await world.ask("POST", path_of(made), {"seconds": 60})).status_code == 202
        async with open_progress(world, made, user="bob") as foreign:
            assert foreign.status == 404
        async with open_progress(world, made) as left:
            # A reader that leaves ends nothing; while it reads, it has one of the user's streams.
            assert (await left.event()) is not None
            async with open_progress(world, made) as further:
                assert further.status == 429
        with trio.fail_after(60):
            while world.app.backend.slots.total:
                await world.ask("GET", path_of(made))
            async with open_progress(world, made) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                while not (event := await stream.event()) or not event.data["findings"]:
                    assert event is not None
                    assert event.kind == "probe"
                [trial] = world.service.previews._registry.trials
                assert (await world.ask("DELETE", path_of(made))).status_code == 204
                rest = await stream.events()
        assert [one.kind for one in rest][-2:] == ["probe", "end"]
        assert rest[-2].data["state"] == "done"
        assert "The probe was stopped before its end." in rest[-2].data["notes"]
        assert rest[-2].data == (await world.ask("GET", path_of(made))).json()
        assert world.service.previews._registry.trials == ()
        assert proctree.marked({trial.id}) == []
        assert folders_of(tmp_path) == []
        async with open_progress(world, made) as late:
            assert [one.kind for one in await late.events()] == ["probe", "end"]


async def test_a_finding_names_its_failure_which_can_be_shown(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        await world.ask("POST", path_of(made), {"seconds": 1, "endpoints": ["GET /half/{n}"]})
        async with open_progress(world, made) as stream:
            events = await stream.events()
        found = events[-2].data["findings"][0]
        assert (found["error"], found["frame"]) == ("ZeroDivisionError: division by zero", "main.py:27 in divide")
        # The preview was never launched: the trial's own record is shown.
        path = f"/api/v1/generations/{made}/preview/failures/"
        shown = (await world.ask("GET", path + found["failure"])).json()
        assert (shown["type"], shown["is_probe"], shown["request"]) == ("ZeroDivisionError", True, None)
        assert "    return 1 / n" in shown["source"]["lines"]
        text = (await world.ask("GET", path + found["failure"] + "?format=text")).text
        assert "ZeroDivisionError" in text
        assert (await world.ask("GET", path + "0" * 12)).status_code == 404
        assert (await world.ask("GET", path + found["failure"], user="bob")).status_code == 404


async def test_a_service_that_is_killed_during_a_probe_leaves_nothing_after_its_next_start(tmp_path: Path) -> None:
    here = Path(__file__).parent
    code = _SERVICE.format(paths=[str(here), str(here.parent)], folder=str(tmp_path))
    with trio.fail_after(120):
        process = await trio.lowlevel.open_process([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        text = b""
        while b"probed " not in text or not text.endswith(b"\n"):
            text += (chunk := await process.stdout.receive_some())
            assert chunk, "the service did not start"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await process.stdout.aclose()
        made, trial = text.decode().rpartition("probed ")[2].split()
        async with open_world(tmp_path) as world:
            while folders_of(tmp_path):
                await world.ask("GET", path_of(made))
            assert proctree.marked({trial}) == []
            assert not list((tmp_path / "data").rglob(trial))
            answer = await world.ask("GET", path_of(made))
            assert (answer.status_code, answer.json()["code"]) == (404, "probe_not_found")
            assert trial not in json.dumps((await world.ask("GET", "/api/v1/previews")).json())
