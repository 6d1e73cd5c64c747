"""Launches by a plan that a test makes: only the plan is given, and all else is read from the project.

By a real worker, or in this process where the test's service has no workers (conftest.py).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from preview.detection import Overrides, StartPlan
from preview.sources import Sources
from preview.worker import Analysis, InProcess, WorkerReader, open_worker_pool
from preview.worker.analysis import complete

__all__ = ["give_plan", "take_plans"]

_ANALYSIS = TypeAdapter(Analysis)


def take_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have services that are opened from now on take plans."""
    monkeypatch.setattr("preview.service.open_worker_pool", partial(open_worker_pool, jobs="planned_jobs"))


def give_plan(monkeypatch: pytest.MonkeyPatch, plan: StartPlan) -> None:
    """Have what is launched from now on start by this plan."""

    async def analyse(
        reader: WorkerReader, project: Path, _overrides: Overrides | None, _supplied: object = None
    ) -> Analysis:
        arguments = {"plan": to_jsonable_python(plan)}
        return await reader._pool.run("planned", arguments, _ANALYSIS, directory=project)

    async def analyse_here(
        _reader: InProcess, project: Path, _overrides: Overrides | None, _supplied: object = None
    ) -> Analysis:
        resolved = await trio.Path(project).resolve()
        return await trio.to_thread.run_sync(complete, plan, Path(resolved), Sources(Path(resolved)))

    monkeypatch.setattr(WorkerReader, "analyse", analyse)
    monkeypatch.setattr(InProcess, "analyse", analyse_here)
