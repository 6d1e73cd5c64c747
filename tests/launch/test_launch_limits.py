"""Limits of the steps and of the application, in the best isolation that there is here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio
from launch_kit import Rig, ask, command, open_rig, story
from launch_projects import PLAIN

from preview.core.lifecycle import State
from preview.detection import Origin, Server, StartPlan, Step, Toolchain, Variable
from preview.settings import Settings
from preview.supervisor import LivePreview

OpenRig = Callable[..., AbstractAsyncContextManager[Rig]]

MEMORY_BOMB = "held = []\nwhile True: held.append(bytearray(b'x') * 1_000_000)"
DISK_BOMB = """
import time
for number in range(10_000):
    with open(f'file{number}', 'wb') as file: file.write(b'x' * 100_000)
    time.sleep(0.001)
"""


@pytest.fixture
def limited(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenRig:
    """Opens a rig with these limits."""

    @asynccontextmanager
    async def open_limited(**limits: object) -> AsyncIterator[Rig]:
        settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, usage_interval_s=0.1, **limits)
        with trio.fail_after(100):
            async with open_rig(settings, monkeypatch) as opened:
                yield opened

    return open_limited


def serve(*steps: Step) -> StartPlan:
    return command("python", "serve.py", "{port}", steps=steps)


def step(code: str) -> Step:
    # Not required: a limit ends the preview all the same, for the next step would reach it, too.
    return Step("build", ("python", "-c", code), ".", "because", required=False)


async def ended(rig: Rig, plan: StartPlan, project: dict[str, str]) -> LivePreview:
    preview = await rig.begin(project, plan)
    await preview.over.wait()
    assert preview.record.state is State.FAILED
    return preview


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            MEMORY_BOMB,
            "stopped: a step used more than 64 MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or reduce its memory use",
        ),
        (DISK_BOMB, "stopped: a step used more than 24 MB of disk"),
    ],
    ids=["memory", "disk"],
)
async def test_a_step_that_reaches_a_limit_ends_the_preview(limited: OpenRig, code: str, sentence: str) -> None:
    async with limited(memory_limit_mb=64, disk_limit_mb=24, disk_interval_s=0.05) as rig:
        preview = await ended(rig, serve(step(code)), dict(PLAIN))
        assert preview.record.reason == sentence
        assert story(preview).count(sentence) == 1


async def test_an_application_that_uses_up_its_memory_is_told_so_and_not_of_a_signal(
    limited: OpenRig,
) -> None:
    async with limited(memory_limit_mb=64) as rig:
        preview = await ended(rig, serve(), {**PLAIN, "serve.py": MEMORY_BOMB})
        assert (
            preview.record.reason
            == "stopped: used more than 64 MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or reduce its memory use"
        )
        assert not any("SIGKILL" in line for line in story(preview))


@pytest.mark.long
async def test_what_prints_faster_than_it_may_still_serves(limited: OpenRig) -> None:
    flood = "import os\nif os.fork() == 0:\n    while True: os.write(1, b'x' * 99 + b'\\n')\n"
    async with limited(output_bytes_per_s=50_000) as rig:
        preview = await rig.begin({**PLAIN, "serve.py": flood + PLAIN["serve.py"]}, serve())
        with trio.fail_after(60):
            await preview.settled.wait()
        assert preview.record.state is State.RUNNING
        assert (await ask(preview)).status_code == 200
        assert preview.confinement is not None
        with trio.fail_after(60):
            while not preview.confinement.reached:  # noqa: ASYNC110  it is told in the log, among the flood
                await trio.sleep(0.05)
        assert [one.limit for one in preview.confinement.reached] == ["output"]


HEAP = """
const http = require('http'), limit = require('v8').getHeapStatistics().heap_size_limit;
http.createServer((_, answer) => answer.end(String(limit / 2 ** 20))).listen(process.env.PORT);
"""


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [(None, 384, 384 + 96), ("--no-warnings", 384, 384 + 96), ("--max_old_space_size=99", 99, 200)],
)
async def test_node_is_told_the_limit_that_its_sandbox_hides(
    limited: OpenRig, given: str | None, least: int, most: int
) -> None:
    """V8 counts up to three young spaces beside its old one (v8.dev/blog/trash-talk)."""
    variables = {} if given is None else {"NODE_OPTIONS": Variable("NODE_OPTIONS", given, Origin.SETTINGS)}
    plan = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("server.js",), variables=variables)
    async with limited(memory_limit_mb=512) as rig:
        preview = await rig.start({"package.json": '{"name": "shop"}', "server.js": HEAP}, plan)
        assert preview.record.state is State.RUNNING, story(preview)
        assert least <= float((await ask(preview)).text) <= most
