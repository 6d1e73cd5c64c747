"""Where control groups cannot be had, one sentence says why and what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.cgroups import NoCgroups, open_cgroups
from preview.runtime.cgroups.home import home_name, why_refused
from preview.runtime.cgroups.own_groups import OwnGroup, OwnGroups, read_own_groups

# Prints the reason, or "held".
LOOK = """
import sys, trio
from pathlib import Path
from preview.runtime.cgroups import NoCgroups, open_cgroups

async def main():
    async with open_cgroups(Path(sys.argv[1])) as found:
        print(found.reason if isinstance(found, NoCgroups) else 'held')

trio.run(main)
"""
# After all imports: the other user need not be able to read the package.
DROP = """
import os
os.setgroups([])
os.setresuid(65534, 65534, 65534)
"""
needs_namespaces = pytest.mark.skipif(
    os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0,
    reason="only root can change what is mounted for one program",
)


def look_after(command: str, data_dir: Path) -> str:
    """What is found in a mount namespace of its own, after a shell command there."""
    argv = ["unshare", "-m", "/bin/sh", "-ec", f'{command}; exec "$@"', "sh", sys.executable, "-c", LOOK, str(data_dir)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@needs_namespaces
def test_no_mount_says_to_mount_them(tmp_path: Path) -> None:
    said = look_after("umount -R /sys/fs/cgroup", tmp_path)
    assert said.startswith("No control groups are mounted")
    assert "mount cgroup2 at /sys/fs/cgroup" in said


@needs_namespaces
def test_a_read_only_mount_says_so(tmp_path: Path) -> None:
    remount = (
        "awk '$0 ~ / - cgroup/ {print $5}' /proc/self/mountinfo | while read -r point; do"
        ' mount -o remount,bind,ro "$point"; done'
    )
    said = look_after(remount, tmp_path)
    assert "are mounted read-only, as containers have them by default" in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_user_without_delegation_is_told_about_it(tmp_path: Path) -> None:
    line = [sys.executable, "-c", LOOK.replace("trio.run(main)", DROP + "trio.run(main)"), str(tmp_path)]
    said = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    assert "User 65534 may not make control groups in" in said
    assert "run the service as a systemd unit with Delegate=yes, or start it as the machine's root" in said


async def test_version_2_without_memory_and_pids_says_which_are_missing(tmp_path: Path) -> None:
    unified = read_own_groups().unified
    if unified is None:
        pytest.skip("no cgroup2 is mounted")
    if "memory" in Path(unified.mount, "cgroup.controllers").read_text().split():  # noqa: ASYNC240
        pytest.skip("here version 2 has its controllers")
    async with open_cgroups(tmp_path, places=OwnGroups(unified)) as found:
        assert isinstance(found, NoCgroups)
        assert (
            "has no controller for memory and pids; run the service as a systemd unit with Delegate=yes" in found.reason
        )


async def test_version_1_without_memory_says_so(tmp_path: Path) -> None:
    pids = {"pids": OwnGroup(str(tmp_path), str(tmp_path))}
    async with open_cgroups(tmp_path, places=OwnGroups(None, pids)) as found:
        assert isinstance(found, NoCgroups)
        assert "No tree of control groups for memory can be reached" in found.reason


async def test_a_folder_that_is_no_tree_of_groups_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    trees = {"memory": OwnGroup(str(tmp_path), str(tmp_path)), "pids": OwnGroup(str(tmp_path), str(tmp_path))}
    async with open_cgroups(tmp_path, places=OwnGroups(None, trees)) as found:
        assert isinstance(found, NoCgroups)
        assert found.reason
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "mounted read-only"),
        (errno.EACCES, "Delegate=yes, or start it as the machine's root"),
        (errno.EPERM, "Delegate=yes, or start it as the machine's root"),
        (errno.EBUSY, "holds other programs' processes"),
        (errno.ENOENT, "cgroup_enable=memory"),
        (errno.EINVAL, "Invalid argument; run the service as root"),
    ],
)
def test_each_refusal_says_where_and_what_to_do(number: int, words: str) -> None:
    said = why_refused(OSError(number, os.strerror(number)), "/groups/mine")
    assert "/groups/mine" in said
    assert words in said
    assert said.endswith(".")


def test_the_name_is_the_data_folders_and_no_others(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    assert home_name(first) == home_name(tmp_path / "two" / ".." / "one") != home_name(second)


def test_a_folder_made_again_at_the_same_path_may_be_another_containers(tmp_path: Path) -> None:
    first = tmp_path / "data"
    first.mkdir()
    before = home_name(first)
    # Kept beside, so that its inode is not given to the next.
    first.rename(tmp_path / "moved")
    first.mkdir()
    assert home_name(first) != before
