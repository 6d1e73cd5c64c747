"""Whether a process that was started to take over has come up."""

from __future__ import annotations

import trio

from preview.core.waiting import wait_any
from preview.errors import LaunchFailed, StartupTimeout
from preview.logs import Level
from preview.runtime import Exit
from preview.supervisor.diagnosis.exits import explain_exit
from preview.supervisor.limits.limits import memory_error, was_killed_for_memory
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.probe import find_answer
from preview.supervisor.process.server_process import ServerProcess


async def wait_until_serving(preview: LivePreview, candidate: ServerProcess) -> None:
    """Until it says that it serves; the answers that come are the other one's still.

    Raises:
        LaunchFailed: It has ended; says why.
        StartupTimeout: It has not said so within the start-up time.

    Cancellation: nothing changes.
    """
    with trio.move_on_after(preview.startup_timeout_s):
        await wait_any(candidate.control.ready, candidate.ended)
    await _check(preview, candidate, "serve", is_well=candidate.control.ready.is_set())


async def wait_for_answer(preview: LivePreview, candidate: ServerProcess) -> None:
    """Until the preview answers, which is this one's answer: no other serves.

    Raises:
        LaunchFailed, StartupTimeout: As ``wait_until_serving``.

    Cancellation: connections are closed.
    """
    answered = trio.Event()

    async def ask() -> None:
        await find_answer(preview.socket_address, candidate.prepared.plan.health_path)
        answered.set()

    with trio.move_on_after(preview.startup_timeout_s):
        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await wait_any(answered, candidate.ended)
            asking.cancel_scope.cancel()
    await _check(preview, candidate, "answer", is_well=answered.is_set())


async def _check(preview: LivePreview, candidate: ServerProcess, verb: str, *, is_well: bool) -> None:
    """No await where all is well: then what was seen is still so when the caller acts on it."""
    if candidate.ended.is_set():
        raise await _explain(preview, candidate)
    if not is_well:
        timeout_s = preview.startup_timeout_s
        sentence = f"The new process did not {verb} within {timeout_s:g} s of its start."
        raise StartupTimeout(sentence, timeout_s=timeout_s)


async def _explain(preview: LivePreview, candidate: ServerProcess) -> LaunchFailed:
    ended = candidate.exit or Exit()
    if candidate.failure is not None:
        return candidate.failure
    if was_killed_for_memory(preview, candidate.process):
        return memory_error(candidate.prepared.settings)
    preview.log.say(f"process {candidate.process.identity.pid} ended with {ended}", Level.ERROR)
    lines = candidate.output(preview)
    return await explain_exit(preview, ended, candidate.prepared.plan.services, lines, served=False)
