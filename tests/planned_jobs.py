"""The worker's jobs, and one that takes the start plan from the test and reads all else from the project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from preview.detection import StartPlan
from preview.sources import Sources
from preview.worker import jobs
from preview.worker.analysis import complete
from preview.worker.child import Job, JobContext

_PLAN = TypeAdapter(StartPlan)


def _planned(context: JobContext, arguments: Mapping[str, Any]) -> object:
    return complete(_PLAN.validate_python(arguments["plan"]), context.project, Sources(context.project))


JOBS = {**jobs.JOBS, "planned": Job(_planned)}
