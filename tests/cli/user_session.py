"""A user's session with a real ``systemd --user``, in namespaces of its own, for tests of the scope.

The machine's own systemd takes no part. The manager gets a group of version 2 that root has made for it. On machines
whose memory controller is in version 1, this group has no controller: the move is real, the limits are not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SYSTEMD = "/usr/lib/systemd/systemd"
# The number that the session's user has in its user namespace; outside it is the user of the tests.
USER = 1000
_NOBODY = 65534

# As root: the folders that a session has, and the group. Then the user, in a user namespace without capabilities.
_MACHINE = """
set -e
for folder in /run /var/lib/systemd; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir -p /run/systemd/system /run/user /var/lib/systemd/linger
install -d -m 700 /run/user/1000
umount --lazy --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cd "/sys/fs/cgroup/$1"
echo 0 > session/cgroup.procs
shift
exec unshare --user --map-user=1000 --map-group=1000 --wd="$OLDPWD" -- /bin/sh -c "$@"
"""
_SESSION = """
export XDG_RUNTIME_DIR=/run/user/1000
dbus-daemon --session --address=unix:path=$XDG_RUNTIME_DIR/bus --nofork --nopidfile >/dev/null 2>&1 &
(
  echo 0 > "/sys/fs/cgroup/$1/user/cgroup.procs"
  export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus SYSTEMD_LOG_TARGET=null
  exec "$0" --user --unit=basic.target >/dev/null 2>&1
) &
shift
until systemctl --user is-system-running >/dev/null 2>&1; do :; done
"$@"
exit "$?"
"""


def in_session(
    *argv: str, environment: Mapping[str, str] | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a program in a new session, and return what it did; the session ends with it."""
    # The tests themselves may run below nohup or in tmux.
    inherited = {name: value for name, value in os.environ.items() if name not in {"TMUX", "STY"}}
    with session() as prefix:
        return subprocess.run(
            ["env", "--default-signal=HUP", *prefix, *argv],
            env={**inherited, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@contextmanager
def session() -> Iterator[Sequence[str]]:
    """Yield the prefix of a command line that runs a program in a new session."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a group to the session's user")
    missing = [one for one in (SYSTEMD, "dbus-daemon", "busctl", "unshare") if shutil.which(one) is None]
    if missing:
        pytest.skip(f"no user session without {', '.join(missing)}")
    mount = _version_2()
    group = mount / f"preview-test-{uuid.uuid4().hex[:12]}"
    (group / "user").mkdir(parents=True)
    # A session's group is not the user's own: here it belongs to a user that the session's namespace does not have.
    (group / "session").mkdir()
    for path in (group / "session", *(group / "session").iterdir()):
        os.chown(path, _NOBODY, _NOBODY)
    try:
        yield [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation=private"),
            *("/bin/sh", "-c", _MACHINE, "machine", group.name, _SESSION, SYSTEMD, group.name),
        ]
    finally:
        for folder in sorted(group.rglob("*/"), reverse=True):
            folder.rmdir()
        group.rmdir()


def _version_2() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    pytest.skip("no control groups of version 2 are mounted")


def python(source: str) -> list[str]:
    """Return the command line of a Python program that can import the project."""
    return [sys.executable, "-c", source]
