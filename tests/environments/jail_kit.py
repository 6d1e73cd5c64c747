"""A jail as the service makes one, on machines that have a sandbox."""

from __future__ import annotations

import psutil
import pytest

from preview.environments import Jail, find_jail
from preview.runtime import Refusal, probe_sandbox
from preview.runtime.cgroups import CgroupTree
from preview.settings import Settings

__all__ = ["make_jail", "newest_child"]


async def make_jail(settings: Settings, groups: CgroupTree | None = None) -> Jail:
    """Skips the test where this machine has no sandbox."""
    etc = settings.data_dir / "sandbox"
    sandbox = await probe_sandbox(etc)
    if isinstance(sandbox, Refusal):
        pytest.skip(f"no sandbox: {sandbox.reason}")
    jail = await find_jail(settings, etc, groups)
    assert jail is not None
    return jail


def newest_child(name: str) -> int:
    """The running process of this name that this process has started last; other rooms may keep theirs meanwhile."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return max((child.create_time(), child.pid) for child in children if child.name() == name)[1]
