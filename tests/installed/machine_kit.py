"""An empty Debian with a systemd of its own, in namespaces of its own: what a machine has that was just installed.

Its network is slirp4netns': it reaches packages as this machine does, and nothing on this machine. Its control groups
are below those of the tests, in the versions that this machine has.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from parts_kit import debian, needed, reach_packages, wheels

_PACKAGES = ("systemd-sysv", "dbus", "udev", "libpam-systemd", "ca-certificates", "iproute2")
_PROGRAMS = ("debootstrap", "unshare", "nsenter", "slirp4netns", "setpriv")
_BOOT_S = 300.0
_STEP_S = 900.0
_GROUPS = Path("/sys/fs/cgroup")
# cpuset has no processors until somebody writes them.
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "devices", "freezer", "blkio")
# As root of the machine: its groups become the root of what the new one sees.
_GROUP = """
set -eu
for folder in "$@"; do mkdir -p "$folder"; echo 0 >"$folder/cgroup.procs"; done
"""
# The mounts of a container, as systemd wants them; then systemd is the first process.
_START = """
set -eu
cd "$1"
hostname server
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
for one in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${one%:*}" c 1 "${one#*:}"; done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t tmpfs -o mode=755 tmpfs run
if [ -n "$2" ]; then
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    for one in $2; do mkdir "sys/fs/cgroup/$one"; mount -t cgroup -o "$one" cgroup "sys/fs/cgroup/$one"; done
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
else
    mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
pivot_root . mnt
umount --lazy /mnt
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
"""


# With controllers in version 1, systemd delegates none of them to an ordinary user: here the operator does.
_DELEGATE = "for one in cpu memory pids; do chown -R preview: /sys/fs/cgroup/$one/system.slice/preview.service; done"


class Machine:
    """A running machine.

    Attributes:
        network: The prefix of a command line that runs a program of this machine in the other one's network.
        groups: Where it has its control groups, for each controller of version 1; `unified` is version 2.
    """

    def __init__(self, first: int, groups: dict[str, Path]) -> None:
        self.first = first
        self.groups = groups
        self.network = ["nsenter", f"--net=/proc/{first}/ns/net"]
        names = ("mount", "uts", "ipc", "net", "pid", "cgroup")
        self._enter = ["nsenter", f"--target={first}", *(f"--{one}" for one in names), "--root", "--"]

    def run(self, command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        line = [*self._enter, "/bin/sh", "-c", f"cd /root && {command}"]
        return subprocess.run(line, env=environment, input=given, capture_output=True, timeout=_STEP_S, check=False)

    def do(self, command: str, given: bytes = b"") -> str:
        """Run a command as root; it has to succeed. Returns its output."""
        done = self.run(command, given)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0, (command, said[-3000:], done.stderr.decode(errors="replace")[-3000:])
        return said.strip()

    def wait_until_booted(self) -> str:
        until = time.monotonic() + _BOOT_S
        while (state := self.run("systemctl is-system-running").stdout.decode().strip()) not in ("running", "degraded"):
            assert time.monotonic() < until, (state, self.run("systemctl list-jobs").stdout.decode())
            time.sleep(0.5)
        return state


@contextmanager
def open_machine(parts: Path, folder: Path) -> Iterator[Machine]:
    """An empty Debian, booted. It is gone at the end."""
    needed(*_PROGRAMS)
    tree = folder / "root"
    tree.mkdir()
    archive = debian(parts, "machine", _PACKAGES)
    subprocess.run(["tar", "--extract", "--file", str(archive), "--directory", str(tree)], check=True)
    _set_up(tree, wheels(parts))
    groups = _groups(f"preview-test-{uuid.uuid4().hex[:12]}")
    controllers = " ".join(name for name in groups if name in _CONTROLLERS)
    alone = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child=KILL"]
    start = f'exec unshare --cgroup -- sh -c "$START" start "{tree}" "{controllers}"'
    line = [*alone, "--propagation=private", "--", "sh", "-c", _GROUP + start, "group", *map(str, groups.values())]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", *line], env={"START": _START, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    ) as process:
        try:
            machine = Machine(_first_of(process), groups)
            with _open_network(machine.first):
                machine.wait_until_booted()
                yield machine
        finally:
            process.kill()
            process.wait()
            _remove(groups)


def _first_of(process: subprocess.Popen[bytes]) -> int:
    """The pid of the machine's first process, once it is systemd."""
    until = time.monotonic() + _BOOT_S
    while time.monotonic() < until:
        assert process.poll() is None, "the machine has not started"
        with suppress(OSError, ValueError):
            first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            if Path(f"/proc/{first}/comm").read_text() in ("systemd\n", "init\n"):
                return first
        time.sleep(0.1)
    raise AssertionError("the machine has not started")


@contextmanager
def _open_network(first: int) -> Iterator[None]:
    command = [
        "setpriv",
        "--pdeathsig=KILL",
        "slirp4netns",
        "--configure",
        "--disable-host-loopback",
        str(first),
        "tap0",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def _groups(name: str) -> dict[str, Path]:
    """New groups, below those that these tests are in."""
    if (_GROUPS / "cgroup.controllers").exists():
        return {"unified": _GROUPS / name}
    found = {"systemd": _GROUPS / "systemd" / name, "unified": _GROUPS / "unified" / name}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers in _CONTROLLERS:
            found[controllers] = _GROUPS / controllers / own.strip("/") / name
    return found


def _remove(groups: dict[str, Path]) -> None:
    until = time.monotonic() + _BOOT_S
    for group in groups.values():
        while group.exists() and time.monotonic() < until:
            for folder in sorted((one for one in (group, *group.rglob("*")) if one.is_dir()), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            time.sleep(0.05)


def _set_up(tree: Path, found: Path) -> None:
    """What an installer asks for; Debian's packages come as on this machine, Python's from a folder."""
    reach_packages(tree)
    (tree / "etc/hostname").write_text("server\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost server preview.example.com\n")
    (tree / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    # Python's packages come from a folder, so that the test does not depend on an index.
    shutil.copytree(found, tree / "wheels")
    (tree / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    unit = tree / "etc/systemd/system/preview.service.d"
    unit.mkdir(exist_ok=True)
    if not (_GROUPS / "cgroup.controllers").exists():
        (unit / "groups.conf").write_text(f"[Service]\nExecStartPre=+/bin/sh -c {_DELEGATE!r}\n")
    (unit / "wheels.conf").write_text("[Service]\nEnvironment=UV_FIND_LINKS=/wheels UV_NO_INDEX=1\n")
