"""Reactions to a reached limit: the preview ends or is slowed down; each limit is logged once.

Memory and disk limits end the preview, because it would fail unpredictably without what it requested. Limits on
processes, CPU time and output only slow it down or refuse more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from preview.core.lifecycle import State
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import Excess, RunningProcess, Usage
from preview.settings import Settings
from preview.supervisor.preview.confinement import Limit, Reached, cores
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
# A program on one core fills memory at 1 to 2 GiB/s. Several cores are faster: the least pause bounds their excess.
_FASTEST_BYTES_PER_S = 2 << 30
_LEAST_GLANCE_S = 0.05
# Throttled for two fifths of the time: the program needs clearly more CPU time than it may use …
_THROTTLED_SHARE = 0.4
# … in two successive measurements, so that a short burst is not reported.
_THROTTLED_LOOKS = 2


class _Watched(Protocol):
    """A running process, as ``Excesses`` needs it."""

    def excess(self) -> Excess: ...


def tell(preview: LivePreview, limit: Limit, message: str, level: Level = Level.WARNING) -> bool:
    """Log a reached limit and add it to the status, once per limit; return True if this was the first time.

    Does nothing for a preview that is ending.
    """
    confinement = preview.confinement
    if preview.outcome is not None or (confinement is not None and confinement.has_reached(limit)):
        return False
    if confinement is not None:
        confinement.reached.append(Reached(limit, message))
    preview.log.say(message, level)
    return True


def stop_for(preview: LivePreview, limit: Limit, message: str, **details: object) -> None:
    """End the preview for a reached limit; the message becomes the reason in its status."""
    if tell(preview, limit, message, Level.ERROR):
        preview.fail(LaunchFailed(message, reason="limit_reached", limit=limit, **details))


def tell_output(preview: LivePreview, settings: Settings) -> None:
    """Report a preview that prints too fast and is slowed down."""
    mib_per_s = settings.output_bytes_per_s / _MIB
    tell(preview, "output", f"limited to {mib_per_s:.3g} MB of output per second: slowed down")


def memory_error(settings: Settings, *, is_step: bool = False, **details: object) -> LaunchFailed:
    """Return the error of a process tree above its memory limit."""
    who = "a step used" if is_step else "used"
    message = (
        f"stopped: {who} more than {settings.memory_limit_mb} MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or "
        "reduce its memory use"
    )
    limit_bytes = settings.memory_limit_mb * _MIB
    return LaunchFailed(message, reason="limit_reached", limit="memory", limit_bytes=limit_bytes, **details)


def was_killed_for_memory(preview: LivePreview, process: RunningProcess) -> bool:
    """Return True if the kernel has killed a process of the tree for its memory use.

    Synchronous, so that it can run right after the leader's exit, when otherwise only a signal would be known.
    """
    try:
        return process.excess().killed_for_memory > 0
    except OSError as error:
        log.warning("limits not read", preview_id=preview.id, error=str(error))
        return False


def stop_for_memory(preview: LivePreview, error: LaunchFailed) -> None:
    """End the preview with this error of its memory limit."""
    # An earlier process may have reached the limit, and the preview has been kept.
    tell(preview, "memory", error.message, Level.ERROR)
    preview.fail(error)


class Excesses:
    """Reads the kernel's counters of one process tree, and reports limits that are newly reached.

    Args:
        preview: The preview.
        process: The process tree.
        settings: Limits, for the messages.
    """

    def __init__(self, preview: LivePreview, process: _Watched, settings: Settings) -> None:
        self._preview = preview
        self._process = process
        self._settings = settings
        self._throttled_s = 0.0
        # Time of the last measurement; None until the preview runs, as a start-up needs more CPU time than later work.
        self._since: float | None = None
        self._looks = 0

    def look(self) -> Excess:
        """Read the counters once.

        Raises:
            OSError: The counters cannot be read now.
        """
        excess = self._process.excess()
        if excess.refused_processes:
            limit = self._settings.max_processes
            tell(self._preview, "processes", f"limited to {limit} processes: further ones were refused")
        self._look_at_cpu(excess.throttled_s)
        return excess

    def _look_at_cpu(self, throttled_s: float) -> None:
        now, before, since = trio.current_time(), self._throttled_s, self._since
        self._throttled_s, self._since = throttled_s, now
        if self._preview.record.state is not State.RUNNING:
            self._since = None
        if since is None or now <= since:
            return
        self._looks = self._looks + 1 if (throttled_s - before) / (now - since) > _THROTTLED_SHARE else 0
        if self._looks >= _THROTTLED_LOOKS:
            limit = cores(self._settings.cpu_limit)
            tell(self._preview, "cpu", f"limited to {limit}: slowed down")


async def watch_usage(
    preview: LivePreview,
    process: RunningProcess,
    settings: Settings,
    *,
    is_step: bool = False,
    note: Callable[[Usage], None] | None = None,
    end: Callable[[LaunchFailed], None] | None = None,
) -> None:
    """Measure at an interval. End a tree that uses too much memory, and log each other limit that it reaches.

    With control groups, the kernel has already killed a process of such a tree; otherwise the measurement decides. It
    comes early if a glance at the processes finds too much memory. Rlimits cannot take its place: RLIMIT_AS counts what
    is only reserved (0.7 to 11 GB in Node), and RLIMIT_DATA 8 MiB for each thread's stack, but no shared memory.

    Args:
        preview: The preview.
        process: The process tree.
        settings: Limits and interval.
        is_step: True for a step, in messages.
        note: Called with each measurement; None: store it as the preview's usage.
        end: Ends the tree; None: end the preview.

    Cancellation: nothing changes.
    """
    limit_bytes = settings.memory_limit_mb * _MIB
    excesses = Excesses(preview, process, settings)
    while True:
        try:
            usage = await process.usage()
            excess = excesses.look()
        except OSError as error:
            # The service lacks a resource (descriptors), which is not the preview's fault.
            log.warning("preview not measured", preview_id=preview.id, error=str(error))
        else:
            if note is None:
                preview.take_usage(usage)
            else:
                note(usage)
            if excess.killed_for_memory or usage.memory_bytes > limit_bytes:
                reached = memory_error(settings, is_step=is_step, memory_bytes=usage.memory_bytes)
                stop_for_memory(preview, reached) if end is None else end(reached)
        await _rest(process, limit_bytes, settings.usage_interval_s)


async def _rest(process: RunningProcess, limit_bytes: int, interval_s: float) -> None:
    """Wait for the next measurement: an interval, or until a glance finds the tree above its memory limit.

    A tree cannot exceed its limit before it has filled the rest, so the time to the next glance follows from that.
    A glance at four processes takes 0.1 ms: 0.04 % of a core for a preview that uses a tenth of 512 MB.

    Cancellation: nothing changes.
    """
    end = trio.current_time() + interval_s
    await trio.sleep(min(interval_s, _LEAST_GLANCE_S))
    while (left_s := end - trio.current_time()) > 0:
        try:
            used = process.resident_bytes()
        except OSError as error:
            log.warning("memory not read", error=str(error))
            used = None
        if used is not None and used > limit_bytes:
            return
        filled_s = math.inf if used is None else (limit_bytes - used) / _FASTEST_BYTES_PER_S
        await trio.sleep(min(left_s, max(_LEAST_GLANCE_S, filled_s)))
