"""A pool whose workers run any Python."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from pydantic import TypeAdapter

from preview.settings import Settings
from preview.worker import WorkerPool, open_worker_pool

__all__ = ["Attacker", "attacker", "open_attacker", "project"]

ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
LIMIT_S = 60


@dataclass
class Attacker:
    """Runs code in a worker that may read ``project``."""

    pool: WorkerPool
    project: Path

    async def run(self, code: str) -> Any:
        """What the code leaves in ``answer``."""
        with trio.fail_after(LIMIT_S):
            return await self.pool.run("code", {"code": textwrap.dedent(code)}, ANYTHING, directory=self.project)


@asynccontextmanager
async def open_attacker(project: Path, **settings: Any) -> AsyncIterator[Attacker]:
    async with open_worker_pool(Settings(**settings), jobs="worker_jobs") as pool:
        yield Attacker(pool, project)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "projects" / "mine"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    return folder


@pytest.fixture
async def attacker(project: Path) -> AsyncIterator[Attacker]:
    async with open_attacker(project, worker_timeout_s=1.5, worker_memory_mb=256) as attacker:
        yield attacker
