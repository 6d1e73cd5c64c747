"""The real jobs, and one that runs any Python in the worker: what an attacker has who took the worker over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preview.worker import jobs
from preview.worker.child import Job, JobContext


def _run_code(context: JobContext, arguments: Mapping[str, Any]) -> object:
    names: dict[str, Any] = {"context": context, "answer": None}
    exec(arguments["code"], names)
    return names["answer"]


JOBS = {**jobs.JOBS, "code": Job(_run_code)}
