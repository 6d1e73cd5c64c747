"""When the output of a Node project's own build is started, in place of sources that fail."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from launch_kit import ANN, Rig, ask, story

from preview.core.lifecycle import State
from preview.detection import OWN_BUILD, Overrides, Server, StartPlan, Toolchain
from preview.errors import LaunchFailed
from preview.supervisor import FilesChange, LaunchRequest, LivePreview
from preview.supervisor.mending.starts import may_work_when_built
from preview.supervisor.preview.mends import Mends

SERVER = """
const http = require('http');
const said = typeof BUILT === 'undefined' ? orderOfLoading() : BUILT;
http.createServer((request, response) => response.end(said)).listen(process.env.PORT);
"""
BUILD = """
const fs = require('fs');
fs.mkdirSync('dist', {recursive: true});
fs.writeFileSync('dist/server.js', "const BUILT = 'built';" + fs.readFileSync('src/server.js'));
"""
SCRIPTS = {"build": "node build.js", "start": "node dist/server.js"}
FILES = {"package.json": json.dumps({"scripts": SCRIPTS}), "src/server.js": SERVER, "build.js": BUILD}
NODE = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("src/server.js",))


async def launch(rig: Rig, files: Mapping[str, str]) -> LivePreview:
    rig.source.projects["g1"] = files
    launched = await rig.service.previews.launch(LaunchRequest(ANN, "g1", startup_timeout_s=60))
    preview = rig.service.previews.find(launched.record.id)
    assert preview is not None
    await preview.settled.wait()
    return preview


def again(preview: LivePreview) -> list[str]:
    return [line for line in story(preview) if "starting" in line and "again" in line]


async def test_sources_that_fail_are_built_as_the_project_builds_them(rig: Rig) -> None:
    preview = await launch(rig, FILES)
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview)).text == "built"
    where = 'dist/server.js (package.json "start")'
    assert again(preview) == [f"the sources could not be loaded: it is {OWN_BUILD}: {where}; starting again"]
    change = {"src/server.js": SERVER.replace("end(said)", "end(said + ' again')").encode()}
    await rig.service.previews.reload(ANN, "g1", FilesChange(change))
    assert (await ask(preview)).text == "built again"


async def test_a_build_that_keeps_the_folders_of_the_sources_is_found(rig: Rig) -> None:
    build = BUILD.replace("mkdirSync('dist'", "mkdirSync('dist/src'").replace(
        "('dist/server.js'", "('dist/src/server.js'"
    )
    preview = await launch(rig, {**FILES, "build.js": build})
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview)).text == "built"


@pytest.mark.parametrize(
    "build",
    [
        "throw new Error('no compiler')",
        BUILD.replace("const BUILT", "const OTHER"),
        "require('fs').mkdirSync('dist')",
    ],
    ids=["fails", "changes nothing", "makes nothing"],
)
async def test_the_failure_of_the_sources_is_reported_if_the_build_is_no_better(rig: Rig, build: str) -> None:
    preview = await launch(rig, {**FILES, "build.js": build})
    assert isinstance(preview.cause, LaunchFailed)
    assert "orderOfLoading" in preview.cause.message
    assert "src/server.js" in preview.cause.message
    assert again(preview)[1:] == ["its own build fails, too; starting the sources again"]


async def test_another_failure_of_the_output_is_the_one_to_report(rig: Rig) -> None:
    build = BUILD.replace("const BUILT = 'built';", "throw new RangeError('no shelf');")
    preview = await launch(rig, {**FILES, "build.js": build})
    assert isinstance(preview.cause, LaunchFailed)
    assert "no shelf" in preview.cause.message
    assert len(again(preview)) == 1


async def test_nothing_is_built_for_a_server_that_cannot_be_reached(rig: Rig) -> None:
    source = "throw new Error('connect ECONNREFUSED 127.0.0.1:6379')"
    preview = await launch(rig, {**FILES, "src/server.js": source})
    assert preview.record.state is State.FAILED
    assert not again(preview)


@pytest.mark.parametrize(
    ("scripts", "main"),
    [({"build": "node build.js", "dev": "node src/server.js"}, ""), ({"start": "node dist/server.js"}, "")],
)
async def test_a_project_that_names_no_output_or_no_build_keeps_its_failure(
    rig: Rig, scripts: Mapping[str, str], main: str
) -> None:
    preview = await launch(rig, {**FILES, "package.json": json.dumps({"scripts": scripts, "main": main})})
    assert preview.record.state is State.FAILED
    assert not again(preview)


def test_a_build_is_left_with_its_sentence_and_what_came_after_it_stays() -> None:
    mends = Mends()
    mends.add(1, Overrides(is_built=True), (), f"it is {OWN_BUILD}: dist/server.js")
    mends.add(2, Overrides(is_built=True, extra_requirements=("pg",)), (), "pg is missing")
    assert mends.leave_build()
    assert mends.overrides == Overrides(extra_requirements=("pg",))
    assert mends.said == ("pg is missing",)
    assert not mends.leave_build()


def test_only_node_s_sources_differ_from_their_build() -> None:
    assert may_work_when_built(["ReferenceError: Cannot access 'Order' before initialization"], NODE)
    assert not may_work_when_built(["Error: getaddrinfo ENOTFOUND db"], NODE)
