"""Launches by a plan that a test makes: the real worker reads the project, and only the plan is given to it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from preview.detection import Overrides, StartPlan
from preview.worker import Analysis, WorkerReader, open_worker_pool

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

    monkeypatch.setattr(WorkerReader, "analyse", analyse)
