"""A template or a snapshot that lies about which process a fork is: the service believes the kernel alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import trio

from preview.runtime.cgroups import CgroupTree, open_cgroups

DRIVER = Path(__file__).with_name("hostile_forks_driver.py")


# No option of a socket has this number: as on a kernel that cannot refuse descriptors at the sender.
NO_OPTION = "9999"
ATTACKS = {
    "snapshot": ("restarted", "sent unexpected file descriptors"),
    "snapshot-itself": ("names a process that is in use", "sent unexpected file descriptors"),
    # It exits: on its way out it leaves its namespaces first.
    "template": ("ended before it was set up", "names a process in a namespace", "sent unexpected file descriptors"),
    "template-itself": (
        "ended before it was set up",
        "names a process that is not the first",
        "sent unexpected file descriptors",
    ),
}


# The service is a process of its own: the attack would kill it.
@pytest.mark.parametrize("kernel", ["refuses descriptors", "passes descriptors"])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_fork_that_names_another_process_as_itself_is_refused_and_the_service_lives(
    tmp_path: Path, project: Path, attack: str, kernel: str
) -> None:
    data = tmp_path / "data"
    passes = [NO_OPTION] if kernel == "passes descriptors" else []
    command = [sys.executable, str(DRIVER), attack, str(data), str(project), *passes]
    with trio.fail_after(90):
        ran = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    async with open_cgroups(data) as left:
        # What a service that was killed has left.
        if isinstance(left, CgroupTree):
            await left.remove_leftovers()
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    told = json.loads(ran.stdout)
    if "refused" in told:
        pytest.skip(told["refused"])
    assert told["same_group"]
    if attack.startswith("snapshot") and not told["has_groups"]:
        # The snapshot serves itself: no fork of it is asked for, so none says anything.
        assert told["said"] == "restarted"
        return
    assert any(one in told["said"] for one in ATTACKS[attack]), told
    if passes:
        assert "sent unexpected file descriptors" in told["said"]
