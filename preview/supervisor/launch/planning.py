"""Decision of the start plan and its environment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from preview.detection import Toolchain
from preview.environments import Environment, EnvironmentRequest, Report
from preview.environments.node import place_modules
from preview.errors import EnvironmentFailed
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.worker import request_of


@asynccontextmanager
async def open_environment(
    context: SupervisorContext, study: ProjectAnalysis, project: Path, report: Report
) -> AsyncIterator[Environment]:
    """Provide a launch's environment, leased until the context is left; a Node project then has its packages.

    Raises:
        EnvironmentFailed: It cannot be had; says why.

    Cancellation: as the caches': a build under way leaves nothing.
    """
    plan = study.plan
    async with hold_environment(context, study, project, report) as environment:
        if plan.toolchain is not Toolchain.PYTHON:
            await _place_modules(environment, project / plan.manifests)
        yield environment


@asynccontextmanager
async def hold_environment(
    context: SupervisorContext, study: ProjectAnalysis, project: Path, report: Report
) -> AsyncIterator[Environment]:
    """Provide the plan's environment, leased until the context is left.

    Raises:
        EnvironmentFailed: It cannot be had; says why.

    Cancellation: as the caches': a build under way leaves nothing.
    """
    cache = context.environments if study.plan.toolchain is Toolchain.PYTHON else context.node_environments
    async with cache.open_environment(_request(study, project), report) as environment:
        yield environment


async def environment_key(context: SupervisorContext, study: ProjectAnalysis, project: Path) -> str | None:
    """Return the name of the plan's environment, whether it exists or not; None for a Node project.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if study.plan.toolchain is not Toolchain.PYTHON:
        return None
    return await context.environments.key_of(_request(study, project))


async def is_shareable(context: SupervisorContext, study: ProjectAnalysis, project: Path) -> bool:
    """Return whether another copy of the project gets the same environment: not with a package inside it.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if study.plan.toolchain is not Toolchain.PYTHON:
        return True
    return await context.environments.is_shareable(_request(study, project))


async def _place_modules(environment: Environment, folder: Path) -> None:
    try:
        await trio.to_thread.run_sync(partial(place_modules, environment.directory, folder))
    except OSError as error:
        raise EnvironmentFailed(
            f"The project's packages could not be put in its place: {error.strerror or error}; look at the "
            "service's data folder",
            reason="disk",
        ) from error


def _request(study: ProjectAnalysis, project: Path) -> EnvironmentRequest:
    """Return the request from the analysis; its files are not read again.

    Raises:
        EnvironmentFailed: A manifest cannot be read.
    """
    if study.unreadable is not None:
        raise EnvironmentFailed(study.unreadable.message, **study.unreadable.details)
    return replace(request_of(study.plan, project), asked=study.asked)
