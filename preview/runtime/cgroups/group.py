"""One preview's control group, of either version: its limits apply to the whole tree, however it forks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio

from preview.runtime.cgroups import files
from preview.runtime.interface import Excess
from preview.runtime.kernel.verified import NotVerified, OpenProcess, find_living

# The kernel's default period; a tree that has used up its share waits for the rest of the period.
CPU_PERIOD_US = 100_000
# The smallest quota that the kernel accepts (``min_cfs_quota_period``).
_LEAST_QUOTA_US = 1000

# Killed processes are gone within milliseconds; the poll backs off for those stuck in the kernel.
_FIRST_POLL_S = 0.001
_LAST_POLL_S = 0.02

# Each argument before "--" is a group's file; writing "0" moves the writer. Uses shell builtins only: the shell itself
# enters, then executes the program. Wrappers (env, chroot, docker) use exit code 125 for their own failures.
_ENTER = (
    'while [ "$1" != -- ]; do echo 0 > "$1" || { echo "The preview cannot enter its control group $1; '
    'see \\`preview doctor\\`." >&2; exit 125; }; shift; done; shift; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """Limits of the whole tree.

    Attributes:
        memory_bytes: Memory, including page cache that cannot be dropped; no additional swap.
        cpu_cores: Processor seconds per second; 1.0 means one full core.
        processes: Processes and threads.
    """

    memory_bytes: int
    cpu_cores: float
    processes: int


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """Current usage of the whole tree.

    Attributes:
        memory_bytes: Memory in use, without page cache that the kernel can drop.
        cpu_s: Seconds of processor time so far, including ended processes; None if it is not counted.
        processes: Number of processes.
        tasks: Number of processes and threads, to which the limit applies.
    """

    memory_bytes: int
    cpu_s: float | None
    processes: int
    tasks: int


def cpu_quota_us(cores: float) -> int:
    """Return microseconds of processor time in each period of ``CPU_PERIOD_US``."""
    return max(_LEAST_QUOTA_US, round(cores * CPU_PERIOD_US))


def enter_prefix(entry_files: Sequence[str]) -> list[str]:
    """Return the command prefix that starts a program inside the groups from its first instruction, without a fork.

    Put it before any step that drops privileges, because only the service's own user may move processes. If the move is
    refused, one sentence goes to stderr and the exit code is 125.
    """
    return ["/bin/sh", "-c", _ENTER, "preview-enter", *entry_files, "--"]


async def remove_groups(directories: Iterable[str], deadline_s: float) -> list[str]:
    """Remove empty groups and all groups below them; the kernel may need a moment to release a group (EBUSY).

    Returns:
        Groups that still exist after ``deadline_s`` seconds.

    Cancellation: some groups have been removed, the others stay. Call it under a bounded shield.
    """
    left = [group for directory in directories for group in files.groups_below(directory)]
    pause_s = _FIRST_POLL_S
    with trio.move_on_after(deadline_s):
        while left := [group for group in left if not _removed(group)]:
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_POLL_S)
    return left


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)  # noqa: PTH106  hundreds at a shutdown
    except OSError as error:
        return files.is_gone(error)
    return True


class Cgroup(ABC):
    """A preview's group. Only ``CgroupTree.open`` makes and removes one.

    Attributes:
        name: The group's name, which is the preview's id.
        limits: The limits that were set.
        directories: The group's folder in each hierarchy, without duplicates.
    """

    def __init__(self, name: str, limits: GroupLimits, directories: Sequence[str]) -> None:
        self.name = name
        self.limits = limits
        self.directories = tuple(directories)
        # Counts when ``kill`` started: later counts would include the kill itself.
        self._last: Excess | None = None

    @property
    def entry_files(self) -> tuple[str, ...]:
        """Files to which a starting process writes "0" to enter, one per hierarchy; see ``enter_prefix``."""
        return tuple(f"{directory}/cgroup.procs" for directory in self.directories)

    def enter(self, process: OpenProcess) -> None:
        """Move a process into the group; blocks until the kernel has done so.

        The pid cannot be reused meanwhile. Reuse would take all other pids, 4 million (pid_max), within milliseconds,
        and a group gets only some hundred.

        Raises:
            NotVerified: The process has ended.
            OSError: The kernel refuses the move.
        """
        for name in self.entry_files:
            if process.has_ended:
                raise NotVerified("it ended before it was set up")
            files.write(name, str(process.pid))

    @abstractmethod
    def apply(self) -> None:
        """Write the limits.

        Raises:
            OSError: The kernel refuses a limit that is necessary.
        """

    @abstractmethod
    def usage(self) -> GroupUsage:
        """Read the current usage, all zero once the group is gone; takes well under a millisecond."""

    @abstractmethod
    def _count(self) -> Excess: ...

    @abstractmethod
    def _kill_at_once(self) -> None:
        """Refuse forks, and kill all processes at once if this version can; ``kill`` also signals each process."""

    def events(self) -> Excess:
        """Count how often the kernel has enforced a limit, up to the call of ``kill``."""
        return self._count() if self._last is None else self._last

    def pids(self) -> list[int]:
        """Return the processes in the group now; zombies have left it."""
        return list(dict.fromkeys(pid for directory in self.directories for pid in files.all_pids(directory)))

    def remove_empty(self) -> bool:
        """Remove the group if it is empty, and keep its counts; return whether the group is gone."""
        if self._last is None:
            self._last = self._count()
        return not [one for one in self.directories if not _removed(one)]

    async def kill(self) -> None:
        """Send SIGKILL to every process in the group until none is left; nothing is reaped.

        Cancellation: forks are refused, and found processes have been sent SIGKILL. Call it under a bounded shield.
        """
        if self._last is None:
            self._last = self._count()
        with suppress(FileNotFoundError):
            self._kill_at_once()
        pause_s = _FIRST_POLL_S
        while found := find_living(self.pids):
            for process in found:
                process.kill()
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_POLL_S)
        await trio.lowlevel.checkpoint()
