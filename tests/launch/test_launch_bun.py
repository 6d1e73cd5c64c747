"""Programs that only Bun runs are served as Node's are: live output, their port, their end, their limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, says, story

from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.detection.node.runtimes import BUN
from preview.endpoints import read_route_table
from preview.settings import Settings
from preview.supervisor import FilesChange

SERVER = """
import { Database } from "bun:sqlite";
import { createServer } from "node:http";
const helper = createServer((request, response) => response.end("helper")).listen(0);
const database = new Database(":memory:");
const { one } = database.query("select 1 as one").get();
export default {
  port: 3000,
  hostname: "localhost",
  async fetch(request) {
    const { pathname } = new URL(request.url);
    console.log(`asked for ${pathname}`);
    if (pathname === "/password") {
      const hash = await Bun.password.hash("a");
      return new Response(String(await Bun.password.verify("a", hash)));
    }
    return new Response(`${one} ${Bun.env.TOLD}`);
  },
};
"""
NODES = """
import { createServer } from "node:http";
import { Database } from "bun:sqlite";
new Database(":memory:");
createServer((request, response) => response.end("node:http")).listen(8080, () => console.log("listening"));
"""
PACKAGE = {"package.json": "{}"}
HUNGRY = """
const kept = [];
Bun.serve({ port: process.env.PORT, fetch(request) {
  if (request.url.endsWith("/fill")) for (let i = 0; i < 4000; i++) kept.push(new Uint8Array(1024 * 1024).fill(1));
  return new Response("here");
} });
"""


ELYSIA = """
import { Elysia } from "elysia";
const more = new Elysia({ prefix: "/loop" });
for (const name of ["apples", "pears"]) more.get(`/${name}/:id`, () => name);
new Elysia()
  .use(more)
  .group("/group", (app) => app.post("/things", () => 1))
  .ws("/socket", { message() {} })
  .mount("/other", () => new Response("other"))
  .get("/", () => "elysia")
  .listen(3000);
"""


def bun(*command: str) -> StartPlan:
    return StartPlan("node", Toolchain.NODE, Server.BUN, None, command=command, extra_requirements=(f"bun@{BUN}",))


@pytest.mark.long
async def test_what_a_module_exports_is_served_on_the_previews_port(rig: Rig) -> None:
    preview = await rig.start({**PACKAGE, ".env": "TOLD=by-env-file\n", "server.ts": SERVER}, bun("server.ts"))
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview)).text == "1 by-env-file"
    assert (await ask(preview, "/password")).text == "true"
    await says(preview, "asked for /password")
    assert f"the program's port is 3000; the preview serves it on {preview.record.port}" in story(preview)


async def test_a_server_of_nodes_modules_is_served_there_too(rig: Rig) -> None:
    preview = await rig.start({**PACKAGE, "server.ts": NODES}, bun("server.ts"))
    assert (await ask(preview)).text == "node:http"


async def test_a_changed_file_is_served_after_a_restart(rig: Rig) -> None:
    preview = await rig.start({**PACKAGE, "server.ts": NODES}, bun("server.ts"))
    changed = NODES.replace('end("node:http")', 'end("changed")')
    await rig.service.previews.reload(ANN, "g1", FilesChange({"server.ts": changed.encode()}))
    assert (await ask(preview)).text == "changed"


async def test_a_program_that_ends_by_itself_is_told_with_its_code(rig: Rig) -> None:
    preview = await rig.start(
        {**PACKAGE, "server.ts": "Bun.sleepSync(1);\nthrow new Error('no good');\n"}, bun("server.ts")
    )
    assert preview.record.state is State.FAILED
    assert any("no good" in line for line in story(preview))
    assert "exit code 1" in "\n".join(story(preview))


@pytest.mark.long
async def test_elysias_own_table_lists_what_no_source_shows(rig: Rig) -> None:
    files = {"package.json": '{"dependencies": {"elysia": "1.4.28"}}', "server.ts": ELYSIA}
    preview = await rig.start(files, bun("server.ts"))
    assert (await ask(preview)).text == "elysia"
    assert preview.control is not None
    report = await preview.control.ask_routes()
    assert report is not None
    table = read_route_table(report)
    found = {f"{one.method} {one.path}" for one in table.endpoints}
    assert found == {"GET /loop/apples/{id}", "GET /loop/pears/{id}", "POST /group/things", "GET /"}
    assert table.unknown == ("/other",)


async def test_its_memory_has_the_limit_of_every_preview(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings_in(cache_dir=launch_cache_dir, memory_limit_mb=256, usage_interval_s=0.05)
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as rig:
            preview = await rig.start({**PACKAGE, "server.ts": HUNGRY}, bun("server.ts"))
            assert preview.record.state is State.RUNNING, story(preview)
            with pytest.raises(httpx2.HTTPError):
                await ask(preview, "/fill")
            await preview.over.wait()
            assert "used more than 256 MB of memory" in (preview.record.reason or "")
