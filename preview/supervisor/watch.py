"""What watches over one running preview: its exit, its deadlines, what it uses, whether it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog
import trio

from preview.detection import ServiceNeed
from preview.errors import LaunchFailed, StartupTimeout
from preview.lifecycle import Health, State
from preview.logs import Level
from preview.runtime import Exit, RunningProcess
from preview.settings import Settings
from preview.supervisor.active import ActivePreview
from preview.supervisor.diagnose import diagnose, is_own_mistake, last_error
from preview.supervisor.elsewhere import find_elsewhere
from preview.supervisor.house import House
from preview.supervisor.needs import accuse, blame, find_unanswered
from preview.supervisor.own_modules import name_own_module
from preview.supervisor.probe import Answer, ProbeFailed, ask, find_answer
from preview.supervisor.saving import save

__all__ = ["watch_deadlines", "watch_exit", "watch_health", "watch_usage"]

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
# What it printed last says why it ended; it is in the pipe by then.
_LAST_WORDS_S = 0.5
_LAST_LINES = 200


async def watch_exit(
    preview: ActivePreview,
    process: RunningProcess,
    needs: Sequence[ServiceNeed],
    *,
    since_seq: int,
    drained: trio.Event,
) -> None:
    """The leader ended by itself: whatever its code, a server that is gone has failed.

    Args:
        preview: Whose process it is.
        process: The process.
        needs: The servers that its source speaks of.
        since_seq: The last line ahead of its own output.
        drained: Set when all that it printed is in the log.

    Cancellation: nothing changes.
    """
    ended = await process.wait()
    preview.exit = ended
    uptime_s = preview.uptime_s
    with trio.move_on_after(_LAST_WORDS_S):
        await drained.wait()
    if preview.outcome is not None:
        return
    preview.log.say(f"process ended with {ended} after {uptime_s:.1f} s", Level.ERROR)
    preview.fail(await _explain(preview, ended, needs, since_seq))


async def _explain(preview: ActivePreview, ended: Exit, needs: Sequence[ServiceNeed], since_seq: int) -> LaunchFailed:
    exit_facts = {"exit_code": ended.code, "exit_signal": ended.signal}
    lines = preview.output_since(since_seq, _LAST_LINES)
    found = diagnose(lines, needs)
    if found is not None:
        if preview.directory is not None:
            found = await trio.to_thread.run_sync(name_own_module, found, lines, preview.directory)
        return blame(found, **exit_facts)
    error = last_error(lines)
    said = f": {error}" if error else "."
    if preview.record.state is State.RUNNING:
        return LaunchFailed(f"The process ended with {ended} while it ran{said}", **exit_facts)
    missing = [need for need in await find_unanswered(needs) if need.at_startup]
    if missing and not is_own_mistake(error):
        return blame(accuse(missing[0], needs), **exit_facts)
    if ended.code == 0:
        sentence = f"The process ended with {ended} before it answered: it ran to its end and serves nothing."
        return LaunchFailed(sentence, **exit_facts)
    return LaunchFailed(f"The process ended with {ended} before it answered{said}", **exit_facts)


async def watch_deadlines(preview: ActivePreview) -> None:
    """Stop it when its time is over, or when nobody asked it for too long. Cancellation: nothing changes."""
    preview.request_stop(await preview.deadlines.wait())


async def watch_usage(preview: ActivePreview, process: RunningProcess, settings: Settings) -> None:
    """Measure at an interval; more memory than allowed ends the preview. Cancellation: nothing changes."""
    limit_bytes = settings.memory_limit_mb * _MIB
    while True:
        try:
            preview.usage = usage = await process.usage()
        except OSError as error:
            # The service itself is short of something (descriptors): that is no fault of this preview.
            log.warning("preview not measured", preview_id=preview.id, error=str(error))
        else:
            if usage.memory_bytes > limit_bytes:
                sentence = f"stopped: used more than {settings.memory_limit_mb} MB of memory"
                preview.log.say(sentence, Level.ERROR)
                preview.fail(LaunchFailed(sentence, memory_bytes=usage.memory_bytes, limit_bytes=limit_bytes))
        await trio.sleep(settings.usage_interval_s)


async def watch_health(preview: ActivePreview, house: House, health_path: str | None) -> None:
    """Readiness once, then liveness for ever.

    Args:
        preview: Its process runs.
        house: For the row and the bounds.
        health_path: The project's own route, or None.

    Cancellation: nothing changes.
    """
    timeout_s = preview.startup_timeout_s
    started = trio.current_time()
    answer: Answer | None = None
    with trio.move_on_after(timeout_s):
        answer = await find_answer(preview.socket_address, health_path)
    if answer is None:
        elsewhere = await find_elsewhere(preview)
        sentence = f"The preview did not answer within {timeout_s:g} s of its start."
        if elsewhere is not None:
            sentence = f"{sentence} {elsewhere.message}"
        preview.log.say(sentence, Level.ERROR)
        preview.fail(StartupTimeout(sentence, timeout_s=timeout_s))
        return
    if preview.outcome is not None:
        return
    _take(preview, answer, health_path)
    elapsed_s = trio.current_time() - started
    preview.log.say(f"ready in {elapsed_s:.2f} s (GET {answer.path} -> {answer.status})")
    preview.log.mark_ready()
    preview.move(State.RUNNING)
    await save(preview, house)
    while True:
        await trio.sleep(house.settings.liveness_interval_s)
        await _probe(preview, house)


def _take(preview: ActivePreview, answer: Answer, health_path: str | None) -> None:
    """What is asked from here on, and what the first answer means."""
    preview.record = replace(preview.record, health_path=answer.path)
    preview.any_answer = health_path is None or not answer.well or answer.path != health_path
    if health_path is not None and answer.path != health_path:
        preview.log.say(f"GET {health_path} does not answer, GET / does: it serves", Level.WARNING)
    elif health_path is not None and not answer.well:
        preview.log.say(
            f"GET {health_path} says {answer.status}: it serves, but not all that it needs is there", Level.WARNING
        )
    elif not answer.well:
        preview.log.say(f"GET / says {answer.status}: it serves, but its first page fails", Level.WARNING)


async def _probe(preview: ActivePreview, house: House) -> None:
    """One liveness question. An unhealthy preview keeps running: its owner reads why in the log, and may stop it."""
    why = f"no answer in {house.settings.liveness_timeout_s:g} s"
    health = Health.UNHEALTHY
    with trio.move_on_after(house.settings.liveness_timeout_s):
        try:
            status = await ask(preview.socket_address, preview.record.health_path)
        except ProbeFailed as error:
            why = str(error)
        else:
            why = f"GET {preview.record.health_path} -> {status}"
            health = Health.HEALTHY if preview.any_answer or status < 500 else Health.UNHEALTHY
    if preview.set_health(health):
        preview.log.say(f"{health}: {why}", Level.INFO if health is Health.HEALTHY else Level.WARNING)
        await save(preview, house)
