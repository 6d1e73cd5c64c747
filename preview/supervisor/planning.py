"""What is to be started, and the environment that it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from preview.detection import Server, StartPlan, Toolchain
from preview.environments import Environment, EnvironmentRequest, Report, SuppliedServer
from preview.environments.node import place_modules
from preview.errors import EnvironmentFailed
from preview.supervisor.house import House
from preview.supervisor.study import Study

__all__ = ["environment_key", "hold_environment", "is_shareable", "open_environment"]


@asynccontextmanager
async def open_environment(house: House, study: Study, project: Path, report: Report) -> AsyncIterator[Environment]:
    """The environment of a launch, held until the context is left; a Node project has its packages then.

    Raises:
        EnvironmentFailed: It cannot be had; says why.

    Cancellation: as the caches': a build under way leaves nothing.
    """
    plan = study.plan
    async with hold_environment(house, study, project, report) as environment:
        if plan.toolchain is not Toolchain.PYTHON:
            await _place_modules(environment, project / plan.manifests)
        yield environment


@asynccontextmanager
async def hold_environment(house: House, study: Study, project: Path, report: Report) -> AsyncIterator[Environment]:
    """The environment that the plan wants, held until the context is left.

    Raises:
        EnvironmentFailed: It cannot be had; says why.

    Cancellation: as the caches': a build under way leaves nothing.
    """
    cache = house.environments if study.plan.toolchain is Toolchain.PYTHON else house.node_environments
    async with cache.open_environment(_request(study, project), report) as environment:
        if study.sources is not None:
            # Megabytes, and whoever holds the study does so for as long as the preview lives.
            study.sources.forget()
        yield environment


async def environment_key(house: House, study: Study, project: Path) -> str | None:
    """The name of the environment that the plan wants, whether there is one or not; None for a Node project.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if study.plan.toolchain is not Toolchain.PYTHON:
        return None
    return await house.environments.key_of(_request(study, project))


async def is_shareable(house: House, study: Study, project: Path) -> bool:
    """Whether another copy of the project would get the same environment: not where a package of it lies in there.

    Raises:
        EnvironmentFailed: A manifest cannot be read.

    Cancellation: nothing changes.
    """
    if study.plan.toolchain is not Toolchain.PYTHON:
        return True
    return await house.environments.is_shareable(_request(study, project))


async def _place_modules(environment: Environment, folder: Path) -> None:
    try:
        await trio.to_thread.run_sync(partial(place_modules, environment.directory, folder))
    except OSError as error:
        raise EnvironmentFailed(
            f"The project's packages could not be put in its place: {error.strerror or error}; look at the "
            "service's data folder",
            reason="disk",
        ) from error


def _request(study: Study, project: Path) -> EnvironmentRequest:
    plan = study.plan
    return EnvironmentRequest(
        project=project,
        folder=plan.manifests,
        extra=plan.extra_requirements,
        server=_supplied(plan),
        entry=plan.target.file if plan.target is not None else None,
        sources=study.sources,
    )


def _supplied(plan: StartPlan) -> SuppliedServer | None:
    """What serves the application where the project brings nothing that does."""
    match plan.server:
        case Server.ASGI:
            return "uvicorn"
        case Server.WSGI | Server.DJANGO:
            return "waitress"
        case _:
            return None
