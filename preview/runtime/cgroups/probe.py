"""Tests whether control groups work, by using one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from preview.errors import LaunchFailed
from preview.runtime.cgroups.group import enter_prefix
from preview.runtime.cgroups.home import Home, Refused, home_name
from preview.runtime.cgroups.own_groups import OwnGroups, read_own_groups
from preview.runtime.cgroups.tree import CgroupTree
from preview.runtime.cgroups.v1 import V1Home
from preview.runtime.cgroups.v2 import V2Home

log = structlog.get_logger(__name__)

_RELEASE_S = 3.0
# The probe's group has room for a shell only.
_TRIAL_MEMORY_BYTES = 64 * 1024 * 1024
_TRIAL_CPU_CORES = 1.0
_TRIAL_PROCESSES = 16
# A shell that does nothing takes a millisecond.
_TRIAL_S = 10.0


@dataclass(frozen=True, slots=True)
class NoCgroups:
    """Reason why there are no control groups.

    Attributes:
        reason: One or two sentences: the cause, and what to do.
    """

    reason: str


@asynccontextmanager
async def open_cgroups(data_dir: Path, *, places: OwnGroups | None = None) -> AsyncIterator[CgroupTree | NoCgroups]:
    """Open the service's own group, or yield the reason for none; at the end the group and all changes are undone.

    Version 2 is tried first, then version 1. The test makes a group, sets limits, moves a process into the group, and
    removes all of it, in some milliseconds.

    Args:
        data_dir: The service's data folder, which must exist. It names the group, so it allows one service at a time
            (``preview doctor``, which only inspects, passes another folder).
        places: This process's groups, for tests; None reads them.

    Cancellation: the group is removed (bounded); processes still in it are logged and stay.
    """
    home, reason = await _claim(home_name(data_dir), read_own_groups() if places is None else places)
    if home is None:
        yield NoCgroups(reason)
        return
    try:
        yield CgroupTree(home)
    finally:
        await _release(home)  # noqa: ASYNC102  shielded and bounded in itself


async def _claim(name: str, places: OwnGroups) -> tuple[Home | None, str]:
    """Return the first version that works, or None and the reason that the operator can most easily fix."""
    homes: list[Home] = []
    if places.unified is not None:
        homes.append(V2Home(name, places.unified))
    if places.controllers:
        homes.append(V1Home(name, places))
    reasons: dict[int, str] = {}
    for home in homes:
        try:
            await _try(home)
        except Refused as refused:
            reasons[home.version] = str(refused)
            await _release(home)
        except BaseException:
            await _release(home)  # noqa: ASYNC102  shielded and bounded in itself
            raise
        else:
            return home, ""
    return None, _nearest(reasons, places)


def _nearest(reasons: dict[int, str], places: OwnGroups) -> str:
    if not reasons:
        return (
            "No control groups are mounted, or the mounted ones belong to another part of the tree; mount cgroup2 "
            "at /sys/fs/cgroup (in a container: with its own control group namespace)."
        )
    # If memory is in version 1, version 2 has no controllers (systemd's "hybrid" layout).
    return reasons[1] if "memory" in places.controllers or 2 not in reasons else reasons[2]


async def _try(home: Home) -> None:
    """Make the service's group, and take one process through all steps of a preview."""
    home.claim()
    try:
        async with CgroupTree(home).open(
            "trial",
            memory_bytes=_TRIAL_MEMORY_BYTES,
            cpu_cores=_TRIAL_CPU_CORES,
            processes=_TRIAL_PROCESSES,
        ) as group:
            with trio.fail_after(_TRIAL_S):
                done = await trio.run_process(
                    [*enter_prefix(group.entry_files), "/bin/sh", "-c", ":"],
                    check=False,
                    capture_stdout=True,
                    capture_stderr=True,
                )
    except (LaunchFailed, OSError, trio.TooSlowError) as error:
        raise Refused(
            f"A control group for a trial could not be used: {error} Start the service as the machine's root."
        ) from error
    if done.returncode != 0:
        raise Refused(
            f"No process may be moved into the control group {home.roots[0]}; run the service as a systemd unit with "
            "Delegate=yes, or start it as the machine's root."
        )


async def _release(home: Home) -> None:
    with trio.move_on_after(_RELEASE_S, shield=True):
        left = await home.release()
        if left:
            log.error("service control group not removed", directories=left)
