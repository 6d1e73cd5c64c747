"""Version 2: one hierarchy for all controllers; a group whose subgroups have limits cannot contain processes itself.

The service may be in a group that it can manage (``Delegate=yes``, a container). It then moves into a leaf group beside
the previews' groups, and back at the end.

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
# A process that is forked during a move is moved in the next round.
_MOVE_ROUNDS = 10


class V2Cgroup(Cgroup):
    """See ``Cgroup``."""

    def __init__(self, name: str, limits: GroupLimits, directory: str, *, with_cpu: bool) -> None:
        """Store the group's folder, and whether the group has the cpu controller."""
        super().__init__(name, limits, (directory,))
        self._directory = directory
        self._with_cpu = with_cpu

    def apply(self) -> None:
        """See ``Cgroup``."""
        folder = self._directory
        files.write(f"{folder}/memory.max", str(self.limits.memory_bytes))
        files.write(f"{folder}/pids.max", str(self.limits.processes))
        # Missing without swap accounting, and before Linux 4.19, which then kills one process, not the whole group.
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
        # The two values are read one after the other, and may be inconsistent.
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
        # Since Linux 5.14: kills all processes at once, including subgroups.
        files.write(f"{self._directory}/cgroup.kill", "1")


class V2Home(Home):
    """See ``Home``. Tries to work below the process's own group first, then below each parent group."""

    version = 2

    def __init__(self, name: str, place: OwnGroup) -> None:
        """Store the name, see ``home_name``, and this process's own group."""
        super().__init__(name)
        self._place = place
        # Changes in the parent group, to be undone: the enabled controllers, and the leaf to which the processes of the
        # parent were moved.
        self._parent = place.directory
        self._enabled: list[str] = []
        self._leaf: str | None = None

    def claim(self) -> None:
        """See ``Home``."""
        line = self._place.line
        first: Refused | None = None
        if line[0].rpartition("/")[2] == self._leaf_name and len(line) > 1:
            # A killed earlier run left its leaf, with the process that started both runs; this run takes the leaf over.
            line = line[1:]
            self._leaf = self._place.directory
        # First without moving other programs. Then with siblings: in a container's or a unit's only group, the process
        # that started this service also started all others (``preview serve | tee log``).
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
            # Report the problem of the process's own group, which the operator can fix.
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
        """Enable controllers for the parent's subgroups; return why cpu cannot be enabled, or None."""
        for controller in controllers:
            try:
                files.write(f"{self._parent}/cgroup.subtree_control", f"+{controller}")
            except OSError as error:
                # The kernel refuses cpu, and only cpu, while realtime processes run (CONFIG_RT_GROUP_SCHED).
                if controller != "cpu":
                    raise
                return f"the controller cpu cannot be enabled in {self._parent}: {error.strerror}"
            self._enabled.append(controller)
        return None

    def _empty(self, parent: str, *, with_siblings: bool) -> None:
        """Move the service's processes out of the parent, into a leaf beside the previews' groups.

        These are this process, its ancestors and its descendants. If there is any other process, none is moved.
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
        """Undo the changes in a parent after a failed try, before the next parent is tried."""
        for root in self._roots:
            with suppress(OSError):
                os.rmdir(root)  # noqa: PTH106
        self._roots.clear()
        self._give_back()
        self.without_cpu = None

    def _give_back(self) -> None:
        # Controllers first, because until then the kernel lets no process back. If another service uses groups here
        # (EBUSY), both the controllers and the leaf stay.
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
    """Return whether this is the hierarchy's real root, which has no type and may contain processes and groups."""
    return not os.path.exists(f"{directory}/cgroup.type")  # noqa: PTH110


def _lineage(group: list[int], *, with_siblings: bool) -> set[int]:
    """Return this process, its ancestors and descendants; with siblings, all descendants of the group's head."""
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
        # The process may have ended.
        with suppress(ProcessLookupError):
            files.write(f"{group}/cgroup.procs", str(pid))
