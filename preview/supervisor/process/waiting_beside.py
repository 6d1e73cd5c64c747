"""Wait for services of a compose file as its ``depends_on`` says: until they are healthy, or have done their work."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from preview.environments import BuiltBeside
from preview.logs import Level
from preview.runtime import ChecksInside, RunningProcess
from preview.sources.image_source import DONE, HEALTHY
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.running_beside import RunningBeside

# A service that is ready at once is noticed soon; one that takes long is asked as often as its check says.
_FIRST_LOOK_S, _TIMES = 0.25, 1.5
_WORDS = {HEALTHY: "is healthy", DONE: "has ended with code 0"}


async def wait_for(
    preview: LivePreview, name: str, waits: Mapping[str, str], states: Mapping[str, RunningBeside], within_s: float
) -> None:
    """Wait until services meet their conditions; log why, and go on, if they never will or take too long.

    Args:
        preview: The preview.
        name: Name of the service that waits.
        waits: Conditions, by service.
        states: The services that run.
        within_s: Seconds for all of them.

    Cancellation: no effect.
    """
    until = trio.current_time() + within_s
    for other, condition in waits.items():
        state, what = states.get(other), _WORDS[condition]
        if state is None:
            continue
        if condition not in state.met:
            preview.log.say(f"{name} waits until {other} {what} (at most {within_s:g} s)")
        with trio.move_on_at(until):
            while condition not in state.met:
                await state.moved.wait()
        fault = state.met.get(condition, f"it took more than {within_s:g} s (PREVIEW_STEP_TIMEOUT)")
        if fault:
            preview.log.say(f"{name} starts, although {other} does not meet depends_on: {fault}", Level.WARNING)
        else:
            preview.log.say(f"{other} {what}")


async def watch_health(preview: LivePreview, one: BuiltBeside, process: RunningProcess, state: RunningBeside) -> None:
    """Run a service's health check until it passes for the first time, or its time to become healthy is over.

    Args:
        preview: The preview.
        one: The service.
        process: Its process.
        state: Gets the result.

    Cancellation: a running check is killed when its time is over, or with the process.
    """
    check = one.image.check
    if check is None or not isinstance(process, ChecksInside):
        state.meet(HEALTHY, "it has no health check")
        return
    pause_s = _FIRST_LOOK_S
    unhealthy = trio.current_time() + check.start_s + check.retries * (check.interval_s + check.timeout_s)
    while True:
        await trio.sleep(pause_s)
        try:
            found = await process.check(check.argv, one.image.directory, check.timeout_s)
        except OSError as error:
            preview.log.say(f"{one.name}: the health check could not run ({error.strerror or error})", Level.WARNING)
        else:
            if found.code == 0:
                state.meet(HEALTHY)
                return
            if trio.current_time() >= unhealthy:
                ended = "did not end" if found.code is None else f"ended with code {found.code}"
                state.meet(HEALTHY, f"its health check {ended}{f': {found.said}' if found.said else ''}")
                return
        pause_s = min(pause_s * _TIMES, check.interval_s)
