"""Node projects that are built before they start, really built and started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from launch_kit import ANN, Rig, ask, story

from preview.core.lifecycle import State
from preview.detection import detect
from preview.supervisor import FilesChange, LaunchRequest, LivePreview

START = "require('http').createServer((_, answer) => answer.end('made by a build')).listen(process.env.PORT);\n"
MAKE = "const fs = require('fs');\nfs.mkdirSync('dist');\nfs.copyFileSync('src/shop/start.txt', 'dist/bundle.js');\n"
# A server that no source stands for, and scripts that name a manager that is not installed.
PROJECT = {
    "package.json": json.dumps(
        {
            "scripts": {
                "start": "node dist/bundle.js",
                "build": "yarn clean && yarn run bundle",
                "bundle": "node make",
            },
            "dependencies": {},
        }
    ),
    "make.js": MAKE,
    "src/shop/start.txt": START,
}


def with_script(name: str, text: str) -> Mapping[str, str]:
    package = json.loads(PROJECT["package.json"])
    package["scripts"][name] = text
    return {**PROJECT, "package.json": json.dumps(package)}


async def started(rig: Rig, folder: Path, files: Mapping[str, str]) -> LivePreview:
    """As it is found, without a word from outside."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return await rig.start(files, detect(folder))


async def test_a_project_is_built_and_what_is_built_serves(rig: Rig, tmp_path: Path) -> None:
    preview = await started(rig, tmp_path, with_script("clean", "pnpm install && node -e 1"))
    said = story(preview)
    assert preview.record.state is State.RUNNING, said
    assert (await ask(preview)).text == "made by a build"
    assert any(line.startswith("step build: running (npm run build)") for line in said)
    assert any(line.startswith("step build: done in") for line in said)
    assert "pnpm: the packages are there already, nothing is installed" in said


async def test_a_build_that_fails_ends_the_launch_where_nothing_else_can_start(rig: Rig, tmp_path: Path) -> None:
    preview = await started(rig, tmp_path, with_script("clean", "echo the disk is dirty && exit 3"))
    said = "\n".join(story(preview))
    assert preview.record.state is State.FAILED, said
    assert "the disk is dirty" in said
    assert "step build: failed with" in said


async def test_a_reload_builds_again(rig: Rig) -> None:
    rig.source.projects["g1"] = with_script("clean", "true")
    launched = await rig.service.previews.launch(LaunchRequest(ANN, "g1", startup_timeout_s=60))
    preview = rig.service.previews.find(launched.record.id)
    assert preview is not None
    await preview.settled.wait()
    assert (await ask(preview)).text == "made by a build", story(preview)
    changed = {
        "src/shop/start.txt": START.replace("made by a build", "made by another").encode(),
        "make.js": MAKE.replace("mkdirSync('dist')", "mkdirSync('dist', {recursive: true})").encode(),
    }
    await rig.service.previews.reload(ANN, "g1", FilesChange(changed))
    assert (await ask(preview)).text == "made by another", story(preview)
