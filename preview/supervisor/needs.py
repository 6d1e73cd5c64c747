"""Servers that a project expects beside it: which of them do not answer, and what that means for a launch."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from preview.detection import ServiceNeed
from preview.errors import LaunchFailed
from preview.lifecycle import State
from preview.logs import Level
from preview.supervisor.active import ActivePreview
from preview.supervisor.diagnose_services import diagnose_services
from preview.supervisor.diagnosis import Diagnosis, missing_service
from preview.supervisor.elsewhere import find_elsewhere

__all__ = ["accuse", "blame", "find_unanswered", "watch_needs"]

# On this machine a connection is a millisecond, in its network a few; a name that nobody knows may take longer.
_CONNECT_S = 1.5
# A program that waits for a server it cannot do without: many libraries try for half a minute before they say so.
_PATIENCE_S = 4.0
# One that the source does not show to wait: it may have other work to do first.
_LONG_PATIENCE_S = 10.0
# It computes (imports, compiles): it is not waiting for anybody yet. But nobody computes for ever.
_BUSY_PERCENT = 15.0
_LONGEST_S = 20.0
_LOOK_S = 1.0
_LAST_LINES = 100


async def find_unanswered(needs: Sequence[ServiceNeed]) -> list[ServiceNeed]:
    """Those whose address is known and takes no connection, in their order; all are asked at once.

    Cancellation: connections are closed.
    """
    silent: set[tuple[str, int]] = set()

    async def ask(address: tuple[str, int]) -> None:
        with trio.move_on_after(_CONNECT_S) as scope:
            try:
                stream = await trio.open_tcp_stream(*address)
            except OSError:
                silent.add(address)
            else:
                await trio.aclose_forcefully(stream)
        if scope.cancelled_caught:
            silent.add(address)

    async with trio.open_nursery() as nursery:
        for address in {need.address for need in needs if need.address is not None}:
            nursery.start_soon(ask, address)
    return [need for need in needs if need.address in silent]


def blame(diagnosis: Diagnosis, **details: object) -> LaunchFailed:
    """The diagnosis as the failure of a launch."""
    return LaunchFailed(diagnosis.message, reason=diagnosis.reason, **{**diagnosis.details, **details})


def accuse(need: ServiceNeed, needs: Sequence[ServiceNeed]) -> Diagnosis:
    """What is said of a server that does not answer."""
    return missing_service(need.kind, need.address, [need, *needs])


async def watch_needs(preview: ActivePreview, needs: Sequence[ServiceNeed], *, since_seq: int) -> None:
    """End a launch that waits in vain for a server, or listens elsewhere, in seconds; say which servers are missing.

    Args:
        preview: Its process runs.
        needs: What its source says.
        since_seq: The last line ahead of the process's own.

    Cancellation: nothing changes.
    """
    silent = await find_unanswered(needs)
    for need in silent:
        preview.log.say(_remark(need), Level.WARNING)
    patience_s = _PATIENCE_S if any(need.at_startup for need in silent) else _LONG_PATIENCE_S
    began = trio.current_time()
    await trio.sleep(patience_s)
    while preview.record.state is State.STARTING and preview.outcome is None:
        waited_s = trio.current_time() - began
        if waited_s >= _LONGEST_S or not _is_busy(preview):
            found = _waits_for(preview, needs, await find_unanswered(needs), since_seq)
            found = found or (await find_elsewhere(preview) if waited_s >= _LONG_PATIENCE_S else None)
            if found is not None and preview.record.state is State.STARTING:
                preview.fail(blame(found))
                return
        await trio.sleep(_LOOK_S)


def _is_busy(preview: ActivePreview) -> bool:
    return preview.usage is None or preview.usage.cpu_percent > _BUSY_PERCENT


def _waits_for(
    preview: ActivePreview, needs: Sequence[ServiceNeed], silent: Sequence[ServiceNeed], since_seq: int
) -> Diagnosis | None:
    said = diagnose_services(preview.output_since(since_seq, _LAST_LINES), needs)
    if said is not None:
        return said
    likely = sorted(silent, key=lambda need: not need.at_startup)
    return accuse(likely[0], needs) if likely else None


def _remark(need: ServiceNeed) -> str:
    host, port = need.address or ("?", 0)
    source = ", ".join(part for part in (f"setting {need.setting}" if need.setting else "", need.where) if part)
    return f"{need.kind} at {host}:{port} ({source}) does not answer; what needs it will fail"
