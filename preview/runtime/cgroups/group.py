"""One preview's control group, of either version: its limits hold for the whole tree, however it forks."""

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

# The kernel's own default; a tree that has used up its share waits for the rest of it.
CPU_PERIOD_US = 100_000
# The least that the kernel takes (``min_cfs_quota_period``).
_LEAST_QUOTA_US = 1000

# Killed processes are gone within milliseconds; the poll backs off for those stuck in the kernel.
_FIRST_POLL_S = 0.001
_LAST_POLL_S = 0.02

# Each file is a group to enter; "0" means the writer. Shell builtins only: the shell itself enters, then becomes the
# program. 125: the code by which such wrappers (env, chroot, docker) tell their own failure from the program's.
_ENTER = (
    'while [ "$1" != -- ]; do echo 0 > "$1" || { echo "The preview cannot enter its control group $1; '
    'see \\`preview doctor\\`." >&2; exit 125; }; shift; done; shift; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """Limits of the whole tree.

    Attributes:
        memory_bytes: Memory with the page cache that cannot be dropped; no swap besides.
        cpu_cores: Processor time per time, 1.0 for one core all the while.
        processes: Processes and threads.
    """

    memory_bytes: int
    cpu_cores: float
    processes: int


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """Current usage of the whole tree.

    Attributes:
        memory_bytes: Memory that counts: without page cache that the kernel drops when it needs room.
        cpu_s: Processor time used so far, in seconds, by processes that have ended too; None where nothing counts it.
        processes: How many processes.
        tasks: How many processes and threads: what the limit counts.
    """

    memory_bytes: int
    cpu_s: float | None
    processes: int
    tasks: int


def cpu_quota_us(cores: float) -> int:
    """Microseconds of processor time in each period of ``CPU_PERIOD_US``."""
    return max(_LEAST_QUOTA_US, round(cores * CPU_PERIOD_US))


def enter_prefix(entry_files: Sequence[str]) -> list[str]:
    """Return the prefix that starts a program in the groups, without a moment outside and without a fork.

    Put it before whatever drops privileges: only the service's own user may move processes. Where the move is refused
    one sentence goes to stderr and the exit code is 125.
    """
    return ["/bin/sh", "-c", _ENTER, "preview-enter", *entry_files, "--"]


async def remove_groups(directories: Iterable[str], deadline_s: float) -> list[str]:
    """Remove empty groups and what is below them; the kernel may take a moment to release one (EBUSY).

    Returns:
        Those that are still there after ``deadline_s`` seconds.

    Cancellation: what could be removed is; the rest stays. Call it under a bounded shield.
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
    """A preview's group. Made and removed by ``CgroupTree.open`` alone.

    Attributes:
        name: The group's name: the preview's id.
        limits: What was set.
        directories: The group's folder in each tree it is in, each once.
    """

    def __init__(self, name: str, limits: GroupLimits, directories: Sequence[str]) -> None:
        self.name = name
        self.limits = limits
        self.directories = tuple(directories)
        # What was counted when the last process was killed; from then on only the end itself would be counted.
        self._last: Excess | None = None

    @property
    def entry_files(self) -> tuple[str, ...]:
        """Files where a starting process writes "0" to enter, one for each group; see ``enter_prefix``."""
        return tuple(f"{directory}/cgroup.procs" for directory in self.directories)

    def enter(self, process: OpenProcess) -> None:
        """Put a process into the group. Blocks until the kernel has done so.

        Nobody uses the process's number again meanwhile: for that all others would have to be used within the
        milliseconds that this takes, 4 million (pid_max), of which a group gets some hundred.

        Raises:
            NotVerified: It has ended.
            OSError: The kernel refuses.
        """
        for name in self.entry_files:
            if process.has_ended:
                raise NotVerified("it ended before it was set up")
            files.write(name, str(process.pid))

    @abstractmethod
    def apply(self) -> None:
        """Write the limits.

        Raises:
            OSError: The kernel refuses one that is necessary.
        """

    @abstractmethod
    def usage(self) -> GroupUsage:
        """Read the current usage; all zero once the group has gone. Takes well under a millisecond."""

    @abstractmethod
    def _count(self) -> Excess: ...

    @abstractmethod
    def _kill_at_once(self) -> None:
        """Kill at once, if this version can; ``kill`` signals each process too."""

    def events(self) -> Excess:
        """Count how often the kernel enforced a limit; after ``kill``, until then."""
        return self._count() if self._last is None else self._last

    def pids(self) -> list[int]:
        """Return the processes in the group now (zombies have left it)."""
        return list(dict.fromkeys(pid for directory in self.directories for pid in files.all_pids(directory)))

    def remove_empty(self) -> bool:
        """Remove the group if nothing is in it any more; whether it is gone. What was counted stays known."""
        if self._last is None:
            self._last = self._count()
        return not [one for one in self.directories if not _removed(one)]

    async def kill(self) -> None:
        """SIGKILL for every process in the group, until none is left; nothing is reaped.

        Cancellation: what was found has been sent SIGKILL, and forks are refused. Call it under a bounded shield.
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
