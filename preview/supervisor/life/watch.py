"""Supervision of a preview's deadlines and health, whichever process serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from preview.core.launch_steps import ANSWERS, ENVIRONMENT, FILES, FirstAnswer, StepState
from preview.core.lifecycle import Health, State
from preview.errors import StartupTimeout
from preview.logs import Level
from preview.supervisor.diagnosis.diagnose_network import diagnose_network, find_wrong_port
from preview.supervisor.launch.saving import save
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.patience import tell_long_silence, tell_while_silent
from preview.supervisor.process.probe import Answer, ProbeFailed, ask, find_answer
from preview.supervisor.process.startup_limit import StartupLimit, measure_wait

# Read of its output if it does not answer in time.
_LAST_LINES = 100
_NOT_HTTP = "Its server answers, but not in HTTP/1.1. A preview needs a plain HTTP server, without TLS."


# What takes long and has no line of its own; the plan's steps and the application's start tell their silence.
_DOING: Final = {FILES: "reading the files", ENVIRONMENT: "preparing the environment"}


async def watch_deadlines(preview: LivePreview) -> None:
    """Stop the preview at its expiry, or after inactivity once it has served. Cancellation: nothing changes."""

    async def hold() -> None:
        with preview.streaming():
            await preview.settled.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        preview.request_stop(await preview.deadlines.wait())
        nursery.cancel_scope.cancel()


async def tell_preparation(preview: LivePreview) -> None:
    """Say every few seconds without a line what is done before the first process. Returns once the preview serves.

    Cancellation: nothing changes.
    """

    def doing() -> str | None:
        steps = preview.progress.steps
        if not preview.stored:
            return None
        # Another attempt begins with the files, which are read once more.
        if all(one.state is StepState.WAITING for one in steps[1:]):
            return _DOING[FILES]
        running = (one.name for one in steps if one.state is StepState.RUNNING)
        return next((_DOING[name] for name in running if name in _DOING), None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell_long_silence, preview.log, doing)
        await preview.settled.wait()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_launch_watch(preview: LivePreview) -> AsyncIterator[None]:
    """Watch the deadlines of all attempts of a launch, and tell long silences of its preparation.

    Errors of the block stay unwrapped. Cancellation: the block is cancelled.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_deadlines, preview)
        nursery.start_soon(tell_preparation, preview)
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised again below: the nursery would wrap it
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def watch_health(
    preview: LivePreview, context: SupervisorContext, health_path: str | None, *, since_seq: int
) -> None:
    """Probe readiness once, then liveness until cancelled.

    Args:
        preview: The preview; its process runs.
        context: Provides settings and the database.
        health_path: The project's health route, or None.
        since_seq: Number of the last line before the process's output; a step's lines say nothing about it.

    Cancellation: nothing changes.
    """
    started, limit = trio.current_time(), StartupLimit(preview.startup_timeout_s)
    answer: Answer | None = None
    is_other_protocol = False
    preview.progress.start(ANSWERS)

    def tell_not_http() -> None:
        nonlocal is_other_protocol
        if not is_other_protocol:
            is_other_protocol = True
            preview.log.say(_NOT_HTTP, Level.WARNING)

    async def wait() -> None:
        nonlocal answer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_while_silent, preview.log, "starting the application")
            answer = await find_answer(preview.socket_address, health_path, not_http=tell_not_http)
            nursery.cancel_scope.cancel()

    await limit.run(wait, partial(measure_wait, preview.record.pid))
    if answer is None:
        elsewhere = await find_wrong_port(preview)
        if elsewhere is None and preview.reach is not None:
            # It may wait for what its network does not reach, such as a model to download.
            elsewhere = diagnose_network(preview.output_since(since_seq, _LAST_LINES), preview.reach)
        sentence = f"The preview did not answer within {limit.describe()}."
        if elsewhere is not None:
            sentence = f"{sentence} {elsewhere.message}"
        elif is_other_protocol:
            sentence = f"{sentence} {_NOT_HTTP}"
        preview.log.say(sentence, Level.ERROR)
        preview.fail(StartupTimeout(sentence, timeout_s=limit.limit_s))
        return
    if preview.outcome is not None:
        return
    _take(preview, answer, health_path)
    elapsed_s = trio.current_time() - started
    preview.log.say(f"ready in {elapsed_s:.2f} s (GET {answer.path} -> {answer.status})")
    preview.progress.finish(
        ANSWERS, f"GET {answer.path} -> {answer.status}", answer=FirstAnswer(answer.path, answer.status)
    )
    preview.log.mark_ready()
    preview.move(State.RUNNING)
    await save(preview, context)
    while True:
        await trio.sleep(context.settings.liveness_interval_s)
        if not preview.is_replaced and not preview.stands_still:
            await _probe(preview, context)


def _take(preview: LivePreview, answer: Answer, health_path: str | None) -> None:
    """Choose the health path from the first response, and log a response that is not healthy."""
    preview.record = replace(preview.record, health_path=answer.path)
    preview.any_answer = health_path is None or not answer.well or answer.path != health_path
    if health_path is not None and answer.path != health_path:
        preview.log.say(f"GET {health_path} does not respond, but GET / does: the server is running", Level.WARNING)
    elif health_path is not None and not answer.well:
        preview.log.say(
            f"GET {health_path} returns {answer.status}: the server is running, but something that it needs is missing",
            Level.WARNING,
        )
    elif not answer.well:
        preview.log.say(
            f"GET / returns {answer.status}: the server is running, but its first page fails", Level.WARNING
        )


async def _probe(preview: LivePreview, context: SupervisorContext) -> None:
    """Probe liveness once. An unhealthy preview keeps running: the log shows the reason, and its owner may stop it."""
    why = f"no answer in {context.settings.liveness_timeout_s:g} s"
    health = Health.UNHEALTHY
    with trio.move_on_after(context.settings.liveness_timeout_s):
        try:
            status = await ask(preview.socket_address, preview.record.health_path)
        except ProbeFailed as error:
            why = str(error)
        else:
            why = f"GET {preview.record.health_path} -> {status}"
            health = Health.HEALTHY if preview.any_answer or status < 500 else Health.UNHEALTHY
    if preview.stands_still:
        return
    if health is Health.HEALTHY and preview.check_fault is not None:
        health, why = Health.UNHEALTHY, preview.check_fault.reason
    if preview.set_health(health):
        preview.log.say(f"{health}: {why}", Level.INFO if health is Health.HEALTHY else Level.WARNING)
        await save(preview, context)
