"""Pathological files cost their own project, and no other user's time or the service's memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio
from pathological import PATHOLOGICAL, project_with

from preview.errors import PreviewError
from preview.settings import Settings
from preview.supervisor.launch.project_analysis import AnalysisCache
from preview.worker import WorkerReader, open_worker_pool

LIMIT_S = 20
# Other programs may have the processors: a mean of the worst ones tells more than the one worst.
P99_MS = 50
MIB = 1 << 20


def test_there_are_sixty_of_them() -> None:
    assert len(PATHOLOGICAL) >= 60
    assert all(len(content) < 1 << 20 for name in PATHOLOGICAL for content in project_with(name).values())


@asynccontextmanager
async def watched(delays_ms: list[float]) -> AsyncIterator[None]:
    """How late the service's loop is, each 2 ms."""

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await trio.sleep(0.002)
            delays_ms.append((time.perf_counter() - began) * 1000 - 2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield
        nursery.cancel_scope.cancel()


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def _plain(folder: Path) -> Path:
    folder.mkdir()
    (folder / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    return folder


@pytest.mark.timed
async def test_no_pathological_file_holds_up_the_service_or_takes_its_memory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, worker_timeout_s=2, worker_memory_mb=256)
    process = psutil.Process()
    late: list[str] = []
    said: dict[str, str] = {}
    async with open_worker_pool(settings) as pool:
        reader = WorkerReader(pool)
        studies = AnalysisCache(reader)
        await reader.endpoints(_plain(tmp_path / "plain"))
        before = process.memory_info().rss
        for number, name in enumerate(PATHOLOGICAL):
            folder = tmp_path / str(number)
            for path, content in project_with(name).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
            delays: list[float] = []
            async with watched(delays):
                for look in (studies.analyse(folder, None), reader.endpoints(folder), reader.node_manifest(folder, ())):
                    try:
                        with trio.fail_after(LIMIT_S):
                            await look
                    except PreviewError as error:
                        said[name] = error.code
            if p99(delays) >= P99_MS:
                late.append(f"{name}: {p99(delays):.0f} ms")
        grown = (process.memory_info().rss - before) / MIB
    assert late == []
    assert grown < 64
    assert said["f-string of 100,000 fields"] == "too_complex"
    assert set(said.values()) <= {"too_complex", "analysis_failed", "invalid_generation", "environment_failed"}
