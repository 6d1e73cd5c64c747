"""Version 2: one tree for all controllers; a group that has groups below it with limits holds no processes itself.

So where the service sits in a group that is its own (``Delegate=yes``, a container), it moves into a leaf beside the
previews' groups, and back at the end.

Source: the kernel's documentation, admin-guide/cgroup-v2; systemd's, CGROUP_DELEGATION.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

import psutil

from preview.runtime.cgroups import files
from preview.runtime.cgroups.group import CPU_PERIOD_US, Cgroup, GroupLimits, GroupUsage, cpu_quota_us
from preview.runtime.cgroups.home import Home, Refused, named_below, why_refused
from preview.runtime.cgroups.own_groups import OwnGroup
from preview.runtime.interface import Excess

_NECESSARY = ("memory", "pids")
_WANTED = (*_NECESSARY, "cpu")
_US = 1_000_000
# Whatever forks while it is being moved is moved in the next round.
_MOVE_ROUNDS = 10


class V2Cgroup(Cgroup):
    """See ``Cgroup``."""

    def __init__(self, name: str, limits: GroupLimits, directory: str, *, with_cpu: bool) -> None:
        """Args: directory: the group's folder. with_cpu: whether it has the controller cpu."""
        super().__init__(name, limits, (directory,))
        self._directory = directory
        self._with_cpu = with_cpu

    def apply(self) -> None:
        """See ``Cgroup``."""
        folder = self._directory
        files.write(f"{folder}/memory.max", str(self.limits.memory_bytes))
        files.write(f"{folder}/pids.max", str(self.limits.processes))
        # Missing where the kernel does not count swap, or is older than Linux 4.19: then the first one dies, not all.
        with suppress(FileNotFoundError):
            files.write(f"{folder}/memory.swap.max", "0")
        with suppress(FileNotFoundError):
            files.write(f"{folder}/memory.oom.group", "1")
        if self._with_cpu:
            files.write(f"{folder}/cpu.max", f"{cpu_quota_us(self.limits.cpu_cores)} {CPU_PERIOD_US}")

    def usage(self) -> GroupUsage:
        """See ``Cgroup``."""
        folder = self._directory
        used = files.read_number(f"{folder}/memory.current")
        droppable = files.read_events(f"{folder}/memory.stat", "inactive_file")
        cpu_s = files.read_events(f"{folder}/cpu.stat", "usage_usec") / _US
        tasks = files.read_number(f"{folder}/pids.current")
        # The two are read one after the other, and may not fit together.
        return GroupUsage(max(0, used - droppable), cpu_s, len(files.pids(folder)), tasks)

    def _count(self) -> Excess:
        folder = self._directory
        return Excess(
            killed_for_memory=files.read_events(f"{folder}/memory.events", "oom_kill"),
            refused_processes=files.read_events(f"{folder}/pids.events", "max"),
            throttled_s=files.read_events(f"{folder}/cpu.stat", "throttled_usec") / _US,
        )

    def _kill_at_once(self) -> None:
        files.write(f"{self._directory}/pids.max", "0")
        # Since Linux 5.14: all of them at once, those below too.
        files.write(f"{self._directory}/cgroup.kill", "1")


class V2Home(Home):
    """See ``Home``. Tried below the process's own group first, then below those above it."""

    version = 2

    def __init__(self, name: str, place: OwnGroup) -> None:
        """Args: name: see ``home_name``. place: this process's own group."""
        super().__init__(name)
        self._place = place
        # What was changed in the group above the service's, to be put back: controllers enabled in it, and the leaf
        # its processes were moved to.
        self._parent = place.directory
        self._enabled: list[str] = []
        self._leaf: str | None = None

    def claim(self) -> None:
        """See ``Home``."""
        line = self._place.line
        first: Refused | None = None
        if line[0].rpartition("/")[2] == self._leaf_name and len(line) > 1:
            # An earlier run was killed, and what started it, this one too, is still in that run's leaf: ours now.
            line = line[1:]
            self._leaf = self._place.directory
        # First where no other program is touched; then, as in a container's or a unit's only group, where all that
        # runs beside us was started by what started us (``preview serve | tee log``).
        for parent, with_siblings in [*((one, False) for one in line), *((one, True) for one in line)]:
            try:
                self._claim_below(parent, with_siblings=with_siblings)
            except OSError as error:
                refused = Refused(why_refused(error, parent))
                refused.__cause__ = error
            except Refused as error:
                refused = error
            else:
                return
            self._undo()
            # What the process's own group lacks is what the operator can give.
            first = first or refused
        raise first or Refused("No control group can be reached.")

    @property
    def _leaf_name(self) -> str:
        return f"{self.name}-service"

    def _claim_below(self, parent: str, *, with_siblings: bool) -> None:
        self._parent = parent
        available = files.read(f"{parent}/cgroup.controllers").split()
        missing = [controller for controller in _NECESSARY if controller not in available]
        if missing:
            raise Refused(
                f"The control group {parent} has no controller for {' and '.join(missing)}; run the service as a "
                "systemd unit with Delegate=yes, or boot with all controllers in version 2 "
                "(systemd.unified_cgroup_hierarchy=1)."
            )
        enabled = files.read(f"{parent}/cgroup.subtree_control").split()
        wanted = [controller for controller in _WANTED if controller in available]
        if self._leaf is not None:
            self._enabled = [controller for controller in wanted if controller in enabled]
        if any(controller not in enabled for controller in wanted) and not _is_real_root(parent):
            self._empty(parent, with_siblings=with_siblings)
        self.without_cpu = self._enable([controller for controller in wanted if controller not in enabled])
        if "cpu" not in available:
            self.without_cpu = f"the control group {parent} has no controller cpu; say Delegate=yes, or Delegate=cpu"
        self._make_root(parent)
        for controller in wanted:
            if controller != "cpu" or self.without_cpu is None:
                files.write(f"{self.roots[0]}/cgroup.subtree_control", f"+{controller}")

    def _enable(self, controllers: list[str]) -> str | None:
        """Enable controllers for the groups below the parent; says why there is none for cpu, if there is not."""
        for controller in controllers:
            try:
                files.write(f"{self._parent}/cgroup.subtree_control", f"+{controller}")
            except OSError as error:
                # The kernel refuses cpu alone where realtime processes are running (CONFIG_RT_GROUP_SCHED).
                if controller != "cpu":
                    raise
                return f"the controller cpu cannot be enabled in {self._parent}: {error.strerror}"
            self._enabled.append(controller)
        return None

    def _empty(self, parent: str, *, with_siblings: bool) -> None:
        """Move our own processes out of the group, into a leaf beside the previews' groups.

        Ours are this process, those that started it and those it started. Is there any other, none is moved.
        """
        leaf = f"{parent}/{self._leaf_name}"
        for _ in range(_MOVE_ROUNDS):
            found = files.pids(parent)
            if not found:
                return
            if not _lineage(found, with_siblings=with_siblings).issuperset(found):
                raise OSError(errno.EBUSY, "processes of other programs", parent)
            if self._leaf is None:
                with suppress(FileExistsError):
                    os.mkdir(leaf, 0o755)  # noqa: PTH102
                self._leaf = leaf
            _move(found, self._leaf)

    def _undo(self) -> None:
        """Give up a parent after a failed try, so that the next can be tried."""
        for root in self._roots:
            with suppress(OSError):
                os.rmdir(root)  # noqa: PTH106
        self._roots.clear()
        self._give_back()
        self.without_cpu = None

    def _give_back(self) -> None:
        # Controllers first: until then the kernel lets no process back. Another service that has its groups beside
        # ours (EBUSY) keeps both the controllers and the leaf.
        for controller in reversed(self._enabled):
            with suppress(OSError):
                files.write(f"{self._parent}/cgroup.subtree_control", f"-{controller}")
        self._enabled.clear()
        if self._leaf is not None and self._leaf.rpartition("/")[0] == self._parent:
            with suppress(OSError):
                for _ in range(_MOVE_ROUNDS):
                    _move(files.pids(self._leaf), self._parent)
                os.rmdir(self._leaf)  # noqa: PTH106
            self._leaf = None

    def _group(self, name: str, limits: GroupLimits, directories: list[str]) -> Cgroup:
        return V2Cgroup(name, limits, directories[0], with_cpu=self.without_cpu is None)

    def leftovers(self) -> list[str]:
        """See ``Home``."""
        return named_below(self._place.mount, self.name)


def _is_real_root(directory: str) -> bool:
    """Return whether it is the tree's real root, which may hold processes beside groups and has no type."""
    return not os.path.exists(f"{directory}/cgroup.type")  # noqa: PTH110


def _lineage(group: list[int], *, with_siblings: bool) -> set[int]:
    """Return this process with its ancestors and descendants; or all descendants of the group's first."""
    this = psutil.Process()
    found = {this.pid}
    with suppress(psutil.Error):
        above = this.parents()
        found.update(one.pid for one in above)
        inside = [one for one in [this, *above] if one.pid in group]
        head = inside[-1] if with_siblings and inside else this
        found.update(one.pid for one in head.children(recursive=True))
    return found


def _move(pids: list[int], group: str) -> None:
    for pid in pids:
        # It may have ended since.
        with suppress(ProcessLookupError):
            files.write(f"{group}/cgroup.procs", str(pid))
