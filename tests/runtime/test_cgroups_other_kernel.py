"""Version 2 by a real kernel on a machine that has version 1: a kernel that runs as a program (User Mode Linux).

    apt-get install user-mode-linux
    PREVIEW_TEST_OTHER_KERNEL=1 pytest tests/runtime/test_cgroups_other_kernel.py

It sees this machine's files read-only, takes one to three minutes, and runs ``test_cgroups_limits`` twice: in the root
of the tree, and in a group of its own with another program in it, as a unit or a container has it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNEL = shutil.which("linux.uml")
# How a run ends in which nothing failed.
PASSED = re.compile(r"^\d+ passed in ", re.MULTILINE)

INIT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TMPDIR=/run PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir /run/files
# Not in memory, as a file there is memory that counts.
mount -t hostfs none /run/files -o {files}
cd {root}
tests() {{
    {python} -m pytest -q -n 0 --noconftest -p no:cacheprovider --basetemp=/run/files/base \\
        -o addopts= tests/runtime/test_cgroups_limits.py 2>&1 | tail -n 40
    echo "left: [$(find /sys/fs/cgroup -name 'preview*')]"
}}
tests
echo '+memory +pids +cpu' > /sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/unit.service
echo $$ > /sys/fs/cgroup/unit.service/cgroup.procs
tests
halt -f
"""


@pytest.mark.skipif(os.environ.get("PREVIEW_TEST_OTHER_KERNEL") != "1", reason="PREVIEW_TEST_OTHER_KERNEL=1 starts it")
@pytest.mark.skipif(KERNEL is None, reason="User Mode Linux (linux.uml) is not installed")
def test_version_2_holds_in_the_root_and_in_a_group_of_its_own(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    init = tmp_path / "init"
    init.write_text(INIT.format(files=files, root=ROOT, python=sys.executable))
    init.chmod(0o755)
    argv = [
        str(KERNEL),
        "mem=1024M",
        "rootfstype=hostfs",
        "hostfs=/",
        "ro",
        f"init={init}",
        "con=null",
        "con0=fd:0,fd:1",
    ]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400)
    assert len(PASSED.findall(done.stdout)) == 2, done.stdout
    assert done.stdout.count("left: []") == 2, done.stdout
