"""Background workers of a Procfile: they run beside the application, end with it, and harm nobody by their end."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
import trio
from launch_kit import ANN, command, open_rig, story

from preview.core.lifecycle import State
from preview.detection import Step
from preview.runtime.kernel import proctree
from preview.settings import Settings
from preview.supervisor import FilesChange, LivePreview

APP = """
import os
from http.server import HTTPServer, SimpleHTTPRequestHandler
print("app up", flush=True)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()
"""
WORK = """
import os, time
print("worker up", os.environ.get("QUEUE"), flush=True)
if os.fork() == 0:
    time.sleep(1000)
time.sleep(1000)
"""
WORKER = Step("worker", ("python", "work.py"), ".", "", variables={"QUEUE": "q1"})
PLAN = command("python", "main.py", workers=(WORKER,))
STARTED = re.compile(r"worker worker: process (\d+) started")


def pids(lines: list[str]) -> list[int]:
    return [int(found[1]) for line in lines if (found := STARTED.search(line))]


async def hears(preview: LivePreview, line: re.Pattern[str]) -> None:
    """Wait until its log has such a line."""
    with trio.fail_after(60), preview.log.subscribe() as events:
        while not any(map(line.match, story(preview))):
            await events.receive()


async def test_a_worker_runs_beside_the_application_and_ends_with_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_rig(settings, monkeypatch) as rig:
        preview = await rig.start({"main.py": APP, "work.py": WORK}, PLAN)
        assert preview.record.state is State.RUNNING
        await hears(preview, re.compile("worker up q1"))
        [pid] = pids(story(preview))
        assert {pid, *proctree.descendants(pid)} <= set(proctree.descendants(os.getpid()))
        await rig.service.previews.stop("g1")
        assert pid not in proctree.descendants(os.getpid())


async def test_a_workers_end_is_said_and_is_not_fatal(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.supervisor.process.workers._FIRST_PAUSE_S", 0.01)
    missing = Step("other", ("no-such-program",), ".", "")
    plan = replace(PLAN, workers=(*PLAN.workers, missing))
    async with open_rig(settings, monkeypatch) as rig:
        preview = await rig.start({"main.py": APP, "work.py": "import sys\nsys.exit(3)\n"}, plan)
        await hears(
            preview,
            re.compile(r"worker worker: ended with exit code 3; it exited early 5 times and will restart only at"),
        )
        await hears(
            preview, re.compile(r"worker other: not started: The program 'no-such-program'.*; it exited early 5 times")
        )
        assert len(pids(story(preview))) == 5
        assert preview.record.state is State.RUNNING
        # It is started again with the next process.
        new = "import time\nprint('mended', flush=True)\ntime.sleep(1000)\n"
        await rig.service.previews.reload(ANN, "g1", FilesChange({"work.py": new.encode()}))
        await hears(preview, re.compile("mended"))


async def test_a_worker_shares_the_applications_memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings.model_copy(update={"memory_limit_mb": 96, "usage_interval_s": 0.05})
    hungry = "import time\nheld = b'x' * (90 << 20)\ntime.sleep(1000)\n"
    async with open_rig(settings, monkeypatch) as rig:
        preview = await rig.start({"main.py": APP, "work.py": hungry}, PLAN)
        await hears(preview, re.compile(".*with the application it used"))
        assert preview.record.state is State.RUNNING
