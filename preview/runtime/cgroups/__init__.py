"""Limits of whole process trees by control groups, version 2 or 1."""

from preview.runtime.cgroups.engine_groups import EngineGroups, open_engine_groups
from preview.runtime.cgroups.group import Cgroup, GroupLimits, GroupUsage, enter_prefix
from preview.runtime.cgroups.migration_lock import MigrationLockWarmer, open_lock_warmer
from preview.runtime.cgroups.own_groups import find_own_groups, read_own_groups
from preview.runtime.cgroups.probe import NoCgroups, open_cgroups
from preview.runtime.cgroups.tree import CgroupTree

__all__ = [
    "Cgroup",
    "CgroupTree",
    "EngineGroups",
    "GroupLimits",
    "GroupUsage",
    "MigrationLockWarmer",
    "NoCgroups",
    "enter_prefix",
    "find_own_groups",
    "open_cgroups",
    "open_engine_groups",
    "open_lock_warmer",
    "read_own_groups",
]
