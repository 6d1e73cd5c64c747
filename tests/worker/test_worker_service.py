"""The service reads no stranger's source itself: a worker does, for a launch and for a list of endpoints."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from preview import sources
from preview.errors import TooComplex
from preview.settings import Settings
from preview.sources import files as files_module
from preview.supervisor.launch.project_analysis import AnalysisCache
from preview.worker import WorkerReader, open_worker_pool

HEAVY = 'x=f"' + "{a}" * 100_000 + '"\n'
APP = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/items')\ndef items(): return []\n"


@pytest.fixture
async def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerReader]:
    """A reader in a process that cannot read sources itself."""

    def refuse(*_: object) -> None:
        raise AssertionError("a stranger's file is read in the service's own process")

    monkeypatch.setattr(files_module.Sources, "__init__", refuse)
    assert sources.Sources is files_module.Sources
    async with open_worker_pool(Settings(data_dir=tmp_path, worker_timeout_s=1)) as pool:
        yield WorkerReader(pool)


async def test_a_launch_and_its_endpoints_are_read_by_workers(reader: WorkerReader, project: Path) -> None:
    (project / "main.py").write_text(APP)
    found = await AnalysisCache(reader).analyse(project, None)
    assert str(found.plan.target) == "main:app"
    assert found.asked is not None
    assert [one.path for one in await reader.endpoints(project)] == ["/items"]
    document = b'{"openapi": "3.1.0", "paths": {"/shown": {"get": {"responses": {}}}}}'
    assert [one.path for one in await reader.published(document)] == ["/shown"]


@pytest.mark.timed
async def test_a_file_that_takes_seconds_holds_up_nobody(reader: WorkerReader, project: Path) -> None:
    """Breach F4: one file of 300 kB held the service's interpreter for six seconds."""
    (project / "main.py").write_text(APP)
    await reader.analyse(project, None)
    (project / "main.py").write_text(APP + HEAVY)
    longest = 0.0

    async def watch(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        nonlocal longest
        with trio.CancelScope() as scope:
            task_status.started(scope)
            while True:
                began = time.perf_counter()
                await trio.sleep(0.01)
                longest = max(longest, time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        scope: trio.CancelScope = await nursery.start(watch)
        with pytest.raises(TooComplex, match=r"main\.py"):
            await AnalysisCache(reader).analyse(project, None)
        scope.cancel()
    assert longest < 0.5


async def test_what_is_known_costs_no_worker(reader: WorkerReader, project: Path) -> None:
    analyses = AnalysisCache(reader)
    first = await analyses.analyse(project, None)
    assert await analyses.analyse(project, None) is first


def test_the_worker_server_has_nothing_of_the_database() -> None:
    """Each fork copies what it has: without the database it is a third smaller."""
    script = (
        "import sys, preview.worker.jobs, preview.worker.server; assert not {'sqlalchemy', 'quart'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_server_whose_service_is_gone_ends_without_a_word() -> None:
    """Also where the service has left a packet unread: the kernel reports that as a reset, not as an end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = (
        "import sys; number, *sys.path = sys.argv[1:]; "
        "from preview.worker.server import serve; serve(int(number), 'preview.worker.jobs')"
    )
    command = [sys.executable, "-c", program, str(theirs.fileno()), *sys.path]
    with theirs:
        server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
    with ours:
        # It has sent that it is ready, which stays unread.
        select.select([ours], [], [], 60)
    _, said = server.communicate(timeout=60)
    assert (server.returncode, said) == (0, b"")
