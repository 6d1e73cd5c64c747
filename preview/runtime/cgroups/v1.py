"""Version 1: one hierarchy per controller, or for several; the service's group is below its own group in each.

Source: the kernel's documentation, admin-guide/cgroup-v1 (memory, pids, cpuacct) and scheduler/sched-bwc.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from preview.runtime.cgroups import files
from preview.runtime.cgroups.group import CPU_PERIOD_US, Cgroup, GroupLimits, GroupUsage, cpu_quota_us
from preview.runtime.cgroups.home import Home, Refused, named_below, why_refused
from preview.runtime.cgroups.own_groups import OwnGroup, OwnGroups
from preview.runtime.interface import Excess

_NECESSARY = ("memory", "pids")
_OPTIONAL = ("cpu", "cpuacct")
_NS = 1_000_000_000


class V1Cgroup(Cgroup):
    """See ``Cgroup``. A missing controller has no folder."""

    def __init__(self, name: str, limits: GroupLimits, folders: dict[str, str]) -> None:
        """Store the group's folders by controller; several controllers may share a folder."""
        super().__init__(name, limits, tuple(dict.fromkeys(folders.values())))
        self._memory, self._pids = folders["memory"], folders["pids"]
        self._cpu, self._cpuacct = folders.get("cpu"), folders.get("cpuacct")

    def apply(self) -> None:
        """See ``Cgroup``."""
        memory = str(self.limits.memory_bytes)
        files.write(f"{self._memory}/memory.limit_in_bytes", memory)
        # Memory plus swap, so no additional swap. The file is missing if swap is not counted (swapaccount=0).
        with suppress(FileNotFoundError):
            files.write(f"{self._memory}/memory.memsw.limit_in_bytes", memory)
        files.write(f"{self._pids}/pids.max", str(self.limits.processes))
        if self._cpu is not None:
            files.write(f"{self._cpu}/cpu.cfs_period_us", str(CPU_PERIOD_US))
            try:
                files.write(f"{self._cpu}/cpu.cfs_quota_us", str(cpu_quota_us(self.limits.cpu_cores)))
            except OSError as error:
                # The limit exceeds that of a parent group, which then applies.
                if error.errno != errno.EINVAL:
                    raise

    def usage(self) -> GroupUsage:
        """See ``Cgroup``."""
        used = files.read_number(f"{self._memory}/memory.usage_in_bytes")
        droppable = files.read_events(f"{self._memory}/memory.stat", "total_inactive_file")
        cpu_s = None
        if self._cpuacct is not None:
            cpu_s = files.read_number(f"{self._cpuacct}/cpuacct.usage") / _NS
        tasks = files.read_number(f"{self._pids}/pids.current")
        # The two values are read one after the other, and may be inconsistent.
        return GroupUsage(max(0, used - droppable), cpu_s, len(files.pids(self._pids)), tasks)

    def _count(self) -> Excess:
        throttled_ns = 0 if self._cpu is None else files.read_events(f"{self._cpu}/cpu.stat", "throttled_time")
        return Excess(
            killed_for_memory=files.read_events(f"{self._memory}/memory.oom_control", "oom_kill"),
            refused_processes=files.read_events(f"{self._pids}/pids.events", "max"),
            throttled_s=throttled_ns / _NS,
        )

    def _kill_at_once(self) -> None:
        # Version 1 cannot kill a whole group. Without forks, no process can escape the signals.
        files.write(f"{self._pids}/pids.max", "0")


class V1Home(Home):
    """See ``Home``. Only root can use it, because version 1 has no delegation."""

    version = 1

    def __init__(self, name: str, places: OwnGroups) -> None:
        """Store the name, see ``home_name``, and this process's own groups."""
        super().__init__(name)
        self._places = places.controllers
        self._folders: dict[str, str] = {}

    def claim(self) -> None:
        """See ``Home``."""
        missing = [controller for controller in _NECESSARY if controller not in self._places]
        if missing:
            raise Refused(
                f"No tree of control groups for {' and '.join(missing)} can be reached from here; mount cgroup2 at "
                "/sys/fs/cgroup, and enable the controller on the kernel's command line (cgroup_enable=memory)."
            )
        for controller in _NECESSARY:
            try:
                self._enter(controller)
            except OSError as error:
                raise Refused(why_refused(error, self._places[controller].directory)) from error
        for controller in _OPTIONAL:
            if controller in self._places:
                with suppress(OSError):
                    self._enter(controller)
        self._without_cpu()

    def _enter(self, controller: str) -> None:
        parent = self._places[controller].directory
        root = f"{parent}/{self.name}"
        if root not in self._roots:
            self._make_root(parent)
        self._folders[controller] = root
        if controller == "memory":
            # Before Linux 5.11 a group's limit applied to its subgroups only with this setting.
            with suppress(OSError):
                files.write(f"{root}/memory.use_hierarchy", "1")

    def _without_cpu(self) -> None:
        """Note why processor time is not limited, if it is not."""
        root = self._folders.get("cpu")
        if root is None:
            self.without_cpu = "the controller cpu is not mounted, or not writable"
        elif not os.path.exists(f"{root}/cpu.cfs_quota_us"):  # noqa: PTH110
            self.without_cpu = "the kernel is built without CONFIG_CFS_BANDWIDTH"
            del self._folders["cpu"]

    def _give_back(self) -> None:
        """Do nothing: only folders were made."""

    def _group(self, name: str, limits: GroupLimits, directories: list[str]) -> Cgroup:
        del directories  # Found by controller instead.
        return V1Cgroup(name, limits, {controller: f"{root}/{name}" for controller, root in self._folders.items()})

    def leftovers(self) -> list[str]:
        """See ``Home``."""
        used: dict[str, OwnGroup] = {self._places[one].mount: self._places[one] for one in self._folders}
        return [path for mount in used for path in named_below(mount, self.name)]
