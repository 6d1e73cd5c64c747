"""Environments for an analysed project: lease, key, and placing of Node packages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from preview.detection import Toolchain
from preview.environments import Environment, EnvironmentRequest, Report
from preview.environments.node.modules import place_modules
from preview.errors import EnvironmentFailed
from preview.runtime.container import ContainerRuntime
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.worker import request_of


@asynccontextmanager
async def open_environment(
    context: SupervisorContext, analysis: ProjectAnalysis, project: Path, report: Report, *, owner: str
) -> AsyncIterator[Environment]:
    """Lease a launch's environment until the context is left; for a Node project, also place its packages.

    Raises:
        EnvironmentFailed: The environment could not be provided; the message has the reason.

    Cancellation: an unfinished build leaves nothing.
    """
    plan = analysis.plan
    async with hold_environment(context, analysis, project, report, owner=owner) as environment:
        if plan.toolchain is Toolchain.NODE:
            await _place_modules(environment, project / plan.manifests)
        yield environment


@asynccontextmanager
async def hold_environment(
    context: SupervisorContext, analysis: ProjectAnalysis, project: Path, report: Report, *, owner: str
) -> AsyncIterator[Environment]:
    """Lease the plan's environment until the context is left.

    Raises:
        EnvironmentFailed: The environment could not be provided; the message has the reason.

    Cancellation: an unfinished build leaves nothing.
    """
    if analysis.plan.toolchain is Toolchain.IMAGE:
        if context.images is None:
            containers = context.runtimes.get("container", context.runtime)
            is_podman = isinstance(containers, ContainerRuntime) and containers.is_podman
            why = (
                "its engine is Podman, and nothing would limit the number of a build's processes. That needs a service "
                "of root's on the engine's machine, or Docker"
                if is_podman
                else "builds need an engine on its machine, and PREVIEW_IMAGE_BUILDS=true"
            )
            raise EnvironmentFailed(
                f"This project starts in an image, and this service builds none: {why}.", reason="no_images"
            )
        async with context.images.open_environment(_request(analysis, project, owner), report) as environment:
            yield environment
        return
    cache = context.environments if analysis.plan.toolchain is Toolchain.PYTHON else context.node_environments
    async with cache.open_environment(_request(analysis, project, owner), report) as environment:
        yield environment


async def environment_key(
    context: SupervisorContext, analysis: ProjectAnalysis, project: Path, *, owner: str
) -> str | None:
    """Return the key of the environment that the user's plan needs, even if it does not exist yet; None for Node.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if analysis.plan.toolchain is not Toolchain.PYTHON:
        return None
    return await context.environments.key_of(_request(analysis, project, owner))


async def is_shareable(context: SupervisorContext, analysis: ProjectAnalysis, project: Path) -> bool:
    """Return True if other copies of the project can share the environment: no package in it is the project's own.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if analysis.plan.toolchain is not Toolchain.PYTHON:
        return True
    return await context.environments.is_shareable(_request(analysis, project, owner=""))


async def _place_modules(environment: Environment, folder: Path) -> None:
    try:
        await trio.to_thread.run_sync(partial(place_modules, environment.directory, folder))
    except OSError as error:
        raise EnvironmentFailed(
            f"The project's packages could not be copied to its folder: {error.strerror or error}; check the "
            "service's data folder",
            reason="disk",
        ) from error


def _request(analysis: ProjectAnalysis, project: Path, owner: str) -> EnvironmentRequest:
    """Return the user's request for the analysed environment, without reading files again.

    Raises:
        EnvironmentFailed: A manifest cannot be read.
    """
    if analysis.unreadable is not None:
        raise EnvironmentFailed(analysis.unreadable.message, **analysis.unreadable.details)
    return replace(request_of(analysis.plan, project), asked=analysis.asked, owner=owner)
