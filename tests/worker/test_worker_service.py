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
from preview.detection import ServiceKind
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
    assert [one.path for one in (await reader.endpoints(project)).endpoints] == ["/items"]
    document = b'{"openapi": "3.1.0", "paths": {"/shown": {"get": {"responses": {}}}}}'
    assert [one.path for one in await reader.published(document)] == ["/shown"]


async def test_a_worker_is_given_the_servers_that_the_preview_gets(reader: WorkerReader, project: Path) -> None:
    (project / "main.py").write_text(f'import psycopg2\npsycopg2.connect("postgresql://a:b@db/c")\n{APP}')
    supplied = frozenset({ServiceKind.POSTGRESQL})
    (need,) = (await AnalysisCache(reader, supplied).analyse(project, None)).plan.services
    assert (need.kind, need.supplied) == (ServiceKind.POSTGRESQL, True)
    (need,) = (await AnalysisCache(reader).analyse(project, None)).plan.services
    assert not need.supplied


MANIFESTS: dict[str, dict[str, str]] = {
    "poetry": {
        "pyproject.toml": (
            "\n"
            "[tool.poetry]\n"
            'name = "shop"\n'
            'version = "0.1.0"\n'
            "[tool.poetry.dependencies]\n"
            'python = ">=3.9,<4.0 || ^3.6.2"\n'
            'fastapi = "^0.110"\n'
            'uvicorn = {version = "~0.29", extras = ["standard"]}\n'
            'httpx = [{version = "<=0.27", python = "<3.10"}, '
            '{version = ">=0.27", markers = "sys_platform == \'linux\'"}]\n'
            'local = {path = "../local", develop = true}\n'
            'tool = {git = "https://example.org/tool.git", branch = "main"}\n'
            'broken = "not a version"\n'
            "[tool.poetry.group.jobs.dependencies]\n"
            'celery = {version = "*", optional = true, allow-prereleases = true}\n'
            "[tool.poetry.dev-dependencies]\n"
            'pytest = "7.*"\n'
        ),
    },
    "pipfile": {
        "Pipfile": (
            "[[source]]\n"
            'url = "https://example.org"\n'
            "[packages]\n"
            'fastapi = {version = "*", extras = ["all"]}\n'
            "[requires]\n"
            'python_version = "3.9"\n'
        ),
    },
    "setup.py": {
        "setup.py": (
            "from setuptools import setup\n"
            "setup(name='shop', install_requires=['fastapi>=0.1'], "
            "extras_require={'x': ['y']}, python_requires='>=3.8')\n"
        ),
    },
    "setup.cfg": {
        "setup.cfg": (
            "[options]\ninstall_requires =\n    fastapi~=0.110; python_version > '3.6'\npython_requires = >=3.8\n"
        ),
    },
    "requirements": {
        "requirements.txt": (
            "-r more.txt\n--index-url https://example.org/simple\nfastapi[all]==0.110.0 --hash=sha256:00\n-e .\n"
        ),
        "more.txt": "uvicorn @ https://example.org/u.whl\n",
    },
    "pep 621": {
        "pyproject.toml": (
            "[project]\n"
            "name='shop'\n"
            "version='1'\n"
            "dependencies=['fastapi']\n"
            "[dependency-groups]\n"
            "dev=['pytest', {include-group='lint'}]\n"
            "lint=['ruff']\n"
            "[tool.uv.sources]\n"
            "fastapi={git='https://example.org/f'}\n"
        ),
    },
    "pdm": {
        "pyproject.toml": (
            "[project]\nname='shop'\ndependencies=['fastapi']\n[tool.pdm.dev-dependencies]\ntest=['pytest']\n"
        ),
        "pdm.lock": ('[[package]]\nname = "fastapi"\nversion = "0.110.0"\n'),
    },
    "uv.lock": {
        "pyproject.toml": ("[project]\nname='shop'\nversion='1'\ndependencies=['fastapi']\n"),
        "uv.lock": ('version = 1\n[[package]]\nname = "fastapi"\nversion = "0.110.0"\n'),
    },
    "poetry.lock": {
        "pyproject.toml": ("[tool.poetry]\nname='shop'\n[tool.poetry.dependencies]\nfastapi='*'\n"),
        "poetry.lock": ('[[package]]\nname = "fastapi"\nversion = "0.110.0"\n'),
    },
    "conda": {
        "environment.yml": ("dependencies:\n  - python=3.9\n  - pip:\n    - fastapi\n"),
    },
    "compose": {
        "docker-compose.yml": ("services:\n  web:\n    build: .\n    command: uvicorn main:app\n"),
        "Dockerfile": ("FROM python:3.9\nRUN pip install fastapi\n"),
        "requirements.txt": "fastapi\n",
    },
    "latin-1": {
        "requirements.txt": "fastapi # café\n",
    },
    "alembic": {
        "alembic.ini": ("[alembic]\nscript_location = migrations\n"),
        "requirements.txt": ("fastapi\nsqlalchemy\n"),
    },
    "openapi": {
        "openapi.yaml": ("openapi: 3.0.0\npaths: {}\n"),
        "serverless.yml": "service: x\n",
        "requirements.txt": "fastapi\n",
    },
}


@pytest.mark.parametrize("kind", list(MANIFESTS))
async def test_no_kind_of_manifest_needs_a_file_that_a_confined_worker_may_not_read(
    reader: WorkerReader, project: Path, kind: str
) -> None:
    """A library that is loaded at its first use must be loaded before the worker is confined."""
    (project / "main.py").write_text(APP)
    for name, text in MANIFESTS[kind].items():
        (project / name).write_bytes(text.encode("latin-1"))
    found = await AnalysisCache(reader).analyse(project, None)
    assert str(found.plan.target) == "main:app"


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


def test_the_worker_server_has_nothing_that_only_the_service_needs() -> None:
    """Each fork copies what it has, and each start of a service takes a core for as long as its imports do."""
    heavy = {"asyncio", "httpcore2", "preview.runtime", "preview.settings", "quart", "sqlalchemy", "structlog"}
    script = f"import sys, preview.worker.jobs, preview.worker.server; print(*{heavy} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout == "\n"


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
