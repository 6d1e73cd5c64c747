"""Environments built in advance: one builder prepares each pushed generation before its launch."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.errors import GenerationNotFound, PreviewError, StartupTimeout
from preview.generations import Generation
from preview.settings import Settings
from preview.supervisor.launch.planning import hold_environment, is_shareable
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.start_history import StartRecord
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.warming import Whose, prepare_template
from preview.supervisor.launch.workspace import make_roots, remove_tree
from preview.supervisor.limits.disk import check_free_disk

log = structlog.get_logger(__name__)

_REMOVE_S: Final = 5.0


class PushQueue:
    """Pushed generations whose environment is not prepared yet, oldest first.

    Args:
        settings: ``build_queue`` is the maximum number of waiting generations.
    """

    def __init__(self, settings: Settings) -> None:
        self._most = settings.build_queue
        # By id: a generation that is pushed again while it waits keeps its position.
        self._waiting: dict[str, Generation] = {}
        self._arrived = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, generation: Generation) -> None:
        """Add a generation. If the queue is full, drop the oldest generation of the user with the most."""
        self._waiting[generation.id] = generation
        if len(self._waiting) > self._most:
            (user_id, _), *_ = Counter(one.user_id for one in self._waiting.values()).most_common(1)
            oldest = next(one for one in self._waiting.values() if one.user_id == user_id)
            del self._waiting[oldest.id]
            log.info("build queue full", generation_id=oldest.id, most=self._most)
        self._arrived.set()

    async def get(self) -> Generation:
        """Remove and return the oldest generation. Cancellation: nothing is removed."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._waiting.pop(next(iter(self._waiting)))


async def run_builder(
    queue: PushQueue, context: SupervisorContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Build the environments of pushed generations, one at a time, until cancelled. One task of the service's nursery.

    A launch finds the environment in the cache, or waits for the running build. Failures here are only logged, as the
    launch tries again and reports them.

    Cancellation: a running build is killed and leaves nothing; a launch that waits for it starts it again.
    """
    await remove_tree(_root(context.settings))  # leftovers of a killed service
    make_roots(_root(context.settings))
    task_status.started()
    while True:
        generation = await queue.get()
        try:
            await _build(generation, context)
        except GenerationNotFound:
            continue
        except PreviewError as error:
            log.info("environment build failed", generation_id=generation.id, why=error.message)
        except OSError as error:
            log.info("environment build failed", generation_id=generation.id, why=error.strerror or str(error))
        except Exception:
            # An error that leaves this task would cancel the nursery of all previews.
            log.exception("environment build failed", generation_id=generation.id)


async def _build(generation: Generation, context: SupervisorContext) -> None:
    check_free_disk(context.settings)
    async with _open_files(generation, context) as project:
        analysis = await _decide(project, context)
        if analysis is None or not await is_shareable(context, analysis, project):
            return
        async with hold_environment(context, analysis, project, _silent, owner=generation.user_id) as environment:
            if environment.how == "built":
                log.info(
                    "environment built",
                    generation_id=generation.id, key=environment.key, elapsed_s=round(environment.elapsed_s, 2),
                )  # fmt: skip
            context.history.note(
                StartRecord(generation.id, generation.project_id, generation.user_id, environment, analysis)
            )
            whose = Whose(generation.user_id, generation.project_id)
            prepare_template(context.settings, context.runtime, analysis, environment, project, whose)
            if context.migration_lock is not None:
                context.migration_lock.request()


@asynccontextmanager
async def _open_files(generation: Generation, context: SupervisorContext) -> AsyncIterator[Path]:
    """Write the generation's files into a temporary folder."""
    folder = _root(context.settings) / secrets.token_hex(8)
    try:
        folder.mkdir(mode=0o700, parents=True)
        with trio.move_on_after(context.settings.startup_timeout_s) as scope:
            await context.source.write_files(generation.id, folder)
        if scope.cancelled_caught:
            raise StartupTimeout("The generation's files did not arrive in time.")
        yield folder
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True):
            await remove_tree(folder)


async def _decide(project: Path, context: SupervisorContext) -> ProjectAnalysis | None:
    with trio.move_on_after(context.settings.startup_timeout_s):
        return await context.analyses.analyse(project, None)
    return None


def _silent(_line: str, _severity: int) -> None:
    """Ignore the builder's messages, which the launch logs again."""


def _root(settings: Settings) -> Path:
    return settings.data_dir / "pushed"
