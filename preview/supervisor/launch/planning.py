"""What is to be started, and the environment that it wants."""

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
    context: SupervisorContext, analysis: ProjectAnalysis, project: Path, report: Report
) -> AsyncIterator[Environment]:
    """The environment of a launch, held until the context is left; a Node project has its packages then.

    Raises:
        EnvironmentFailed: It cannot be had; says why.

    Cancellation: as the caches': a build under way leaves nothing.
    """
    plan = analysis.plan
    async with hold_environment(context, analysis, project, report) as environment:
        if plan.toolchain is not Toolchain.PYTHON:
            await _place_modules(environment, project / plan.manifests)
        yield environment


@asynccontextmanager
async def hold_environment(
    context: SupervisorContext, analysis: ProjectAnalysis, project: Path, report: Report
) -> AsyncIterator[Environment]:
    """The environment that the plan wants, held until the context is left.

    Raises:
        EnvironmentFailed: It cannot be had; says why.

    Cancellation: as the caches': a build under way leaves nothing.
    """
    cache = context.environments if analysis.plan.toolchain is Toolchain.PYTHON else context.node_environments
    async with cache.open_environment(_request(analysis, project), report) as environment:
        yield environment


async def environment_key(context: SupervisorContext, analysis: ProjectAnalysis, project: Path) -> str | None:
    """The name of the environment that the plan wants, whether there is one or not; None for a Node project.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if analysis.plan.toolchain is not Toolchain.PYTHON:
        return None
    return await context.environments.key_of(_request(analysis, project))


async def is_shareable(context: SupervisorContext, analysis: ProjectAnalysis, project: Path) -> bool:
    """Whether another copy of the project would get the same environment: not where a package of it lies in there.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if analysis.plan.toolchain is not Toolchain.PYTHON:
        return True
    return await context.environments.is_shareable(_request(analysis, project))


async def _place_modules(environment: Environment, folder: Path) -> None:
    try:
        await trio.to_thread.run_sync(partial(place_modules, environment.directory, folder))
    except OSError as error:
        raise EnvironmentFailed(
            f"The project's packages could not be put in its place: {error.strerror or error}; look at the "
            "service's data folder",
            reason="disk",
        ) from error


def _request(analysis: ProjectAnalysis, project: Path) -> EnvironmentRequest:
    """The environment that the analysis says; its files are not read again.

    Raises:
        EnvironmentFailed: A manifest cannot be read.
    """
    if analysis.unreadable is not None:
        raise EnvironmentFailed(analysis.unreadable.message, **analysis.unreadable.details)
    return replace(request_of(analysis.plan, project), asked=analysis.asked)
