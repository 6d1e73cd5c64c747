"""Services in containers: hidden parts of ``/proc``, other process numbers, few users, root without its rights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from runtime_kit import open_driver

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes what a container engine makes")

# As a container engine: own processes, and parts of /proc under covers.
_CONTAINER = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]
_COVERED = [*_CONTAINER, "sh", "-c", 'mount -t tmpfs -o ro none /proc/acpi && exec "$@"', "sh"]


@NEEDS_ROOT
@pytest.mark.parametrize("way", [pytest.param(_CONTAINER, id="own"), pytest.param(_COVERED, id="covered")])
@pytest.mark.parametrize("runtime", ["sandbox", "warm"])
async def test_root_of_a_container_has_sandboxes_of_all_kinds(runtime: str, way: list[str], project: Path) -> None:
    """Numbers of the inner process namespace once were looked up in the outer ``/proc``."""
    async with open_driver([*way, sys.executable], runtime, project, "IGNORE_TERM") as driver:
        assert driver.told.get("said") == "up", driver.told
