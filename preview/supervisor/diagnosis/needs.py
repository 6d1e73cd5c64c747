"""Backing services that a project needs: which ones do not respond, and what that means for a launch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from preview.core.lifecycle import State
from preview.detection import ServiceNeed
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.supervisor.diagnosis.diagnose import diagnose, is_own_mistake, last_error
from preview.supervisor.diagnosis.diagnose_network import (
    diagnose_network,
    find_wrong_port,
    has_own_network,
    with_network,
)
from preview.supervisor.diagnosis.diagnose_services import diagnose_services
from preview.supervisor.diagnosis.diagnosis import Diagnosis, missing_service
from preview.supervisor.diagnosis.logged_errors import spelled_out
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import Reach

# Connecting takes a millisecond on this machine, a few in its network; resolving an unknown name may take longer.
_CONNECT_S = 1.5
# Time for a program that waits for a required service; many libraries retry for half a minute before they report that.
_PATIENCE_S = 4.0
# Time for a program whose source does not show such a wait: it may have other work to do first.
_LONG_PATIENCE_S = 10.0
# A program that uses more CPU is still importing or compiling, not waiting; but it gets no more than the longest time.
_BUSY_PERCENT = 15.0
_LONGEST_S = 20.0
_LOOK_S = 1.0
# Interval for reading socket tables, which costs the kernel milliseconds.
_ELSEWHERE_S = 5.0
_LAST_LINES = 100


async def find_unanswered(needs: Sequence[ServiceNeed], reach: Reach | None = None) -> list[ServiceNeed]:
    """Return the backing services with a known address that accept no connection, in order; probes all at once.

    Args:
        needs: Backing services of a project.
        reach: Reach of its preview: only services that ``Reach.may_be_asked`` allows are probed. None: all are.

    Cancellation: connections are closed.
    """
    silent: set[tuple[str, int]] = set()

    async def ask(address: tuple[str, int]) -> None:
        if not await _answers(address):
            silent.add(address)

    async with trio.open_nursery() as nursery:
        for address in {need.address for need in needs if need.address is not None}:
            if reach is None or reach.may_be_asked(*address):
                nursery.start_soon(ask, address)
    return [need for need in needs if need.address in silent]


async def find_unreached(preview: LivePreview, needs: Sequence[ServiceNeed]) -> list[ServiceNeed]:
    """Return the backing services that the preview cannot connect to: they do not respond, or its network blocks them.

    Cancellation: connections are closed.
    """
    reach = preview.reach
    silent = await find_unanswered(needs, reach)
    blocked = [
        need for need in needs if reach is not None and need.address is not None and not reach.reaches(*need.address)
    ]
    return [need for need in needs if need in silent or need in blocked]


async def explain(preview: LivePreview, lines: Sequence[str], needs: Sequence[ServiceNeed]) -> Diagnosis | None:
    """Explain a program's last lines, including effects of its network; None if nothing is recognised.

    Args:
        preview: The program's preview; its network is decided.
        lines: The program's output, oldest first.
        needs: Backing services found in the project's source.

    Cancellation: connections are closed.
    """
    found = diagnose(lines, needs)
    if found is not None:
        return await explain_blocked(preview, found.in_project(preview.directory))
    # A program that fails by its own mistake may have survived a failed connection before.
    if preview.reach is None or is_own_mistake(last_error(lines)):
        return None
    return diagnose_network(lines, preview.reach)


async def explain_missing_service(preview: LivePreview, need: ServiceNeed, needs: Sequence[ServiceNeed]) -> Diagnosis:
    """Explain a missing backing service like ``unreachable_service``, including effects of the preview's network.

    Cancellation: connections are closed.
    """
    return await explain_blocked(preview, unreachable_service(need, needs))


async def explain_blocked(preview: LivePreview, found: Diagnosis) -> Diagnosis:
    """Add to the diagnosis of a missing service whether the service runs and the preview's network blocks it.

    Cancellation: connections are closed.
    """
    host, port, reach = found.details.get("host"), found.details.get("port"), preview.reach
    if found.reason != "missing_service" or reach is None or not isinstance(host, str):
        return found
    answers = isinstance(port, int) and reach.may_be_asked(host, port) and await _answers((host, port))
    return with_network(found, reach, answers_outside=answers)


async def _answers(address: tuple[str, int]) -> bool:
    with trio.move_on_after(_CONNECT_S):
        try:
            stream = await trio.open_tcp_stream(*address)
        except (OSError, ValueError, OverflowError):  # a printed address may be no valid name (IDNA) or port
            return False
        await trio.aclose_forcefully(stream)
        return True
    return False


def as_launch_error(diagnosis: Diagnosis, **details: object) -> LaunchFailed:
    """Convert the diagnosis to a launch error."""
    return LaunchFailed(diagnosis.message, reason=diagnosis.reason, **{**diagnosis.details, **details})


def unreachable_service(need: ServiceNeed, needs: Sequence[ServiceNeed]) -> Diagnosis:
    """Diagnose a backing service that does not respond."""
    return missing_service(need.kind, need.address, [need, *needs])


async def watch_needs(
    preview: LivePreview,
    needs: Sequence[ServiceNeed],
    *,
    since_seq: int,
    answers: Callable[[], Awaitable[bool]],
    measure_wait: Callable[[], Awaitable[float]],
) -> None:
    """Log which backing services are missing, and end a launch that waits in vain for one or listens on a wrong port.

    A preview that answers any request is never ended here: it gets a warning instead. Time in which its program only
    waits for a processor does not count.

    Args:
        preview: The preview; its process runs.
        needs: Backing services found in the project's source.
        since_seq: Number of the last line before the process's output.
        answers: Asks the preview, and returns whether it answers with HTTP.
        measure_wait: Returns how many seconds the preview's program has waited for a processor.

    Cancellation: nothing changes.
    """
    silent = await find_unanswered(needs, preview.reach)
    for need in silent:
        preview.log.say(_remark(need), Level.WARNING)
    unreached = await find_unreached(preview, needs)
    patience_s = _PATIENCE_S if any(need.at_startup for need in unreached) else _LONG_PATIENCE_S
    began, queued_s = trio.current_time(), 0.0
    look_at, looked_at = began + _LONG_PATIENCE_S, began
    await trio.sleep(patience_s)
    while preview.record.state is State.STARTING and preview.outcome is None:
        now, queued_before_s = trio.current_time(), queued_s
        queued_s = max(queued_s, await measure_wait())
        is_queued = 100 * (queued_s - queued_before_s) > _BUSY_PERCENT * (now - looked_at)
        looked_at = now
        if now - began - queued_s >= _LONGEST_S or not (is_queued or _is_busy(preview)):
            found = await _waits_for(preview, needs, since_seq)
            if found is None and trio.current_time() >= look_at and not has_own_network(preview):
                look_at = trio.current_time() + _ELSEWHERE_S
                found = await find_wrong_port(preview)
            if found is not None and await answers():
                preview.log.say(f"{found.message} It answers requests all the same.", Level.WARNING)
                return
            if found is not None and preview.record.state is State.STARTING:
                preview.fail(as_launch_error(found))
                return
        await trio.sleep(_LOOK_S)


def _is_busy(preview: LivePreview) -> bool:
    return preview.usage is None or preview.usage.cpu_percent > _BUSY_PERCENT


async def _waits_for(preview: LivePreview, needs: Sequence[ServiceNeed], since_seq: int) -> Diagnosis | None:
    said = diagnose_services(spelled_out(preview.output_since(since_seq, _LAST_LINES)), needs)
    if said is not None:
        return await explain_blocked(preview, said)
    likely = sorted(await find_unreached(preview, needs), key=lambda need: not need.at_startup)
    return await explain_missing_service(preview, likely[0], needs) if likely else None


def _remark(need: ServiceNeed) -> str:
    return f"{describe_need(need)} does not answer; anything that needs it will fail"


def describe_need(need: ServiceNeed) -> str:
    """Return a backing service with its address, setting and place: ``Redis at localhost:6379 (setting A, b.py:2)``."""
    host, port = need.address or ("?", 0)
    source = ", ".join(part for part in (f"setting {need.setting}" if need.setting else "", need.where) if part)
    return f"{need.kind} at {host}:{port}" + (f" ({source})" if source else "")
