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

__all__ = ["open_environment"]


@asynccontextmanager
async def open_environment(house: House, plan: StartPlan, project: Path, report: Report) -> AsyncIterator[Environment]:
    """The environment that the plan wants, held until the context is left; a Node project has its packages then.

    Raises:
        EnvironmentFailed: It cannot be had; says why.

    Cancellation: as the caches': a build under way leaves nothing.
    """
    request = EnvironmentRequest(
        project=project,
        folder=plan.manifests,
        extra=plan.extra_requirements,
        server=_supplied(plan),
        entry=plan.target.file if plan.target is not None else None,
    )
    if plan.toolchain is Toolchain.PYTHON:
        async with house.environments.open_environment(request, report) as environment:
            yield environment
        return
    async with house.node_environments.open_environment(request, report) as environment:
        try:
            await trio.to_thread.run_sync(partial(place_modules, environment.directory, project / plan.manifests))
        except OSError as error:
            raise EnvironmentFailed(
                f"The project's packages could not be put in its place: {error.strerror or error}; look at the "
                "service's data folder",
                reason="disk",
            ) from error
        yield environment


def _supplied(plan: StartPlan) -> SuppliedServer | None:
    """What serves the application where the project brings nothing that does."""
    match plan.server:
        case Server.ASGI:
            return "uvicorn"
        case Server.WSGI | Server.DJANGO:
            return "waitress"
        case _:
            return None
