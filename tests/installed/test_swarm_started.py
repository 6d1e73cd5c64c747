"""The stack of `preview deploy init --swarm` on two machines: engines of Docker's, in networks that one wire joins.

The images are made here from Debian's packages, as no registry is asked. It takes many minutes:
`uv run pytest -m long -n 0 -s tests/installed/test_swarm_started.py`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from image_built_kit import DEADLINE_S, IMAGE_PACKAGES, MAIN, built_image
from parts_kit import ROOT, debian, needed, parts_folder
from test_compose_started import POSTGRES

from preview.cli.entry import run

pytestmark = pytest.mark.long

_PACKAGES = (*IMAGE_PACKAGES, "postgresql", "caddy", "prometheus")
_IMAGE = "preview-swarm-test"
_STAND_INS = {
    "postgres:17": 'COPY start /start\nENTRYPOINT ["/start"]\n',
    "caddy:2": 'ENV XDG_DATA_HOME=/data\nCMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]\n',
}
# A network, mounts and processes of its own; all of it ends with the first process.
_ALONE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
_ENGINE = (
    # Nobody answers names here: without a server at all, each search for an image would last 20 seconds.
    "mount --bind $0/resolv.conf /etc/resolv.conf; "
    "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1; exec dockerd --data-root $0/root --exec-root $0/exec "
    "--pidfile $0/pid -H unix://$0/s --config-file $0/json --cgroup-parent /preview-swarm-$1 --log-level error"
)


class Machine:
    """An engine, and its address."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.number = number
        self.address = f"10.98.77.{number}"
        self.docker = ["docker", "--host", f"unix://{folder}/s"]
        folder.mkdir()
        (folder / "json").write_text(json.dumps({"seccomp-profile": str(ROOT / "deploy" / "seccomp.json")}))
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        with (folder / "log").open("wb") as log:
            command = ["setpriv", "--pdeathsig=KILL", *_ALONE, "sh", "-c", _ENGINE, str(folder), str(number)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.until("the engine", lambda: self.run("info").returncode == 0)

    @property
    def engine(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def join(self, wire: str) -> None:
        """Give the machine an end of the wire."""
        subprocess.run(["ip", "link", "set", wire, "netns", str(self.engine)], check=True)
        for words in (f"addr add {self.address}/24 dev {wire}", f"link set {wire} up", "route add default dev " + wire):
            subprocess.run(["nsenter", f"--net=/proc/{self.engine}/ns/net", "ip", *words.split()], check=True)

    def run(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [*self.docker, *arguments]
        return subprocess.run(command, input=given, capture_output=True, timeout=DEADLINE_S, check=False)

    def do(self, *arguments: str, given: bytes = b"") -> str:
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.decode().strip()

    def node(self) -> str:
        """The container of one node that runs on this machine."""
        return self.do("ps", "--quiet", "--filter", "name=preview_preview-").split()[0]

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < until, (what, (self.folder / "log").read_text("utf-8", "replace")[-3000:])
            time.sleep(0.5)

    def end(self) -> None:
        # `unshare` ignores the signal while its child runs.
        with suppress(OSError, IndexError):
            os.kill(self.engine, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        for group in Path("/sys/fs/cgroup").glob(f"**/preview-swarm-{self.number}"):
            with suppress(OSError):
                group.rmdir()


@contextmanager
def _two_machines(folder: Path) -> Iterator[tuple[Machine, Machine]]:
    machines: list[Machine] = []
    try:
        machines += [Machine(folder / "one", 1)]
        machines += [Machine(folder / "two", 2)]
        subprocess.run(["ip", "link", "add", "swarm-1", "type", "veth", "peer", "name", "swarm-2"], check=True)
        for one in machines:
            one.join(f"swarm-{one.number}")
        yield machines[0], machines[1]
    finally:
        for one in machines:
            one.end()


def _images(machine: Machine, folder: Path) -> None:
    """Build on one machine what a registry would have."""
    (folder / "start").write_text(POSTGRES)
    (folder / "start").chmod(0o755)
    with parts_folder() as parts:
        context = debian(parts, "stack", _PACKAGES)
        os.environ["PREVIEW_TEST_ENGINE"] = str(machine.folder / "s")
        with built_image(parts, folder, context) as (docker, image):
            base = image.replace(":built", ":base")
            subprocess.run([*docker, "tag", image, _IMAGE], check=True)
            for name, lines in _STAND_INS.items():
                (folder / "Dockerfile").write_text(f"FROM {base}\n{lines}")
                (folder / ".dockerignore").write_text("*\n!start\n")
                quiet = os.environ | {"DOCKER_BUILDKIT": "0"}
                build = [*docker, "build", "--quiet", "--tag", name, str(folder)]
                subprocess.run(build, env=quiet, check=True, stdout=subprocess.DEVNULL)


def test_a_stack_on_two_machines_is_a_cluster_of_three_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed("docker", "dockerd", "debootstrap", "uv", "ip", "nsenter", "setpriv", "sysctl")
    monkeypatch.setenv("PREVIEW_TEST_ENGINE", "")
    with _two_machines(tmp_path) as (one, two):
        (tmp_path / "images").mkdir()
        _images(one, tmp_path / "images")
        with subprocess.Popen([*one.docker, "save", _IMAGE, "caddy:2"], stdout=subprocess.PIPE) as saved:
            subprocess.run([*two.docker, "load", "--quiet"], stdin=saved.stdout, check=True, stdout=subprocess.DEVNULL)
        assert saved.returncode == 0
        one.do("swarm", "init", "--advertise-addr", one.address)
        token = one.do("swarm", "join-token", "--quiet", "worker")
        two.do("swarm", "join", "--token", token, "--advertise-addr", two.address, f"{one.address}:2377")

        stack = tmp_path / "stack"
        told = ["--swarm", "--domain", "preview.example.com", "--certificate", "internal", "--image", _IMAGE, "--yes"]
        assert run(["deploy", "init", str(stack), *told]) == 0
        # An engine without CAP_SYS_RESOURCE cannot raise its own limit.
        most = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        for file in (stack / "nodes").iterdir():
            file.write_text(file.read_text().replace("soft: 65536, hard: 65536", f"soft: {most}, hard: {most}"))
        deploy = partial(_deployed, stack, one)
        deploy()

        as_admin = _admin(one)
        one.until("three nodes", lambda: len(_live(one, as_admin)) == 3)
        # Swarm has put some on each machine.
        assert one.node()
        two.until("a node of the other machine", lambda: bool(two.run("ps", "--quiet").stdout))
        pushed = _a_preview_answers_through_the_other_machine(one, two, as_admin)
        _the_service_has_no_rights(two)
        _an_update_moves_previews(deploy, stack, one, as_admin, pushed)


def _deployed(stack: Path, machine: Machine) -> str:
    host = os.environ | {"DOCKER_HOST": f"unix://{machine.folder}/s"}
    done = subprocess.run(
        ["sh", str(stack / "deploy.sh")], env=host, timeout=5 * DEADLINE_S, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def _an_update_moves_previews(
    deploy: Callable[[], str], stack: Path, machine: Machine, as_admin: list[str], pushed: str
) -> None:
    """One node after the other is drained and updated; what is the same is left alone."""
    told = deploy()
    assert told.count("is up to date") == 3, told
    with (stack / "preview.env").open("a") as settings:
        settings.write("PREVIEW_QUEUE_LIMIT=900\n")
    before = _tasks(machine)
    told = deploy()
    assert [told.count(f"preview-{number} is empty") for number in (1, 2, 3)] == [1, 1, 1], told
    # A second start would end the previews that came meanwhile.
    assert [len(new - old) for new, old in zip(_tasks(machine), before, strict=True)] == [1, 1, 1]
    machine.until("three nodes after the update", lambda: len(_live(machine, as_admin)) == 3)

    def answers() -> bool:
        return (
            b"Hello, world!"
            in machine.run("exec", *as_admin, machine.node(), "preview", "request", pushed, "GET", "/").stdout
        )

    machine.until("the preview after the update", answers)


def _tasks(machine: Machine) -> list[set[str]]:
    """The starts of each node."""
    return [set(machine.do("service", "ps", "--quiet", f"preview_preview-{n}").split()) for n in (1, 2, 3)]


def _admin(machine: Machine) -> list[str]:
    """The options of `docker exec` for the operator; once a node responds."""
    found: list[str] = []

    def has_token() -> bool:
        with suppress(AssertionError, IndexError):
            token = machine.do("exec", "--user=10001", machine.node(), "preview", "token", "admin").splitlines()[-1]
            found[:] = ["--user=10001", "--env=PREVIEW_URL=http://127.0.0.1:8000", f"--env=PREVIEW_TOKEN={token}"]
        return bool(found)

    machine.until("a node that responds", has_token)
    return found


def _live(machine: Machine, as_admin: list[str]) -> list[str]:
    with suppress(AssertionError, IndexError):
        told = machine.do("exec", *as_admin, machine.node(), "preview", "nodes", "ls").splitlines()
        return [line for line in told if " live " in line]
    return []


def _a_preview_answers_through_the_other_machine(one: Machine, two: Machine, as_admin: list[str]) -> str:
    node = one.node()
    write = "mkdir -p /tmp/hello && cat >/tmp/hello/main.py && printf '[start]\\ncommand = \"python3 main.py\"\\n' "
    write += ">/tmp/hello/preview.toml"
    one.do("exec", "--interactive", "--user=10001", node, "sh", "-c", write, given=MAIN.encode())
    pushed = json.loads(one.do("exec", *as_admin, node, "preview", "push", "/tmp/hello", "--json"))["id"]
    one.do("exec", *as_admin, node, "preview", "launch", pushed, "--wait", "200")
    assert "Hello, world!" in two.do("exec", *as_admin, two.node(), "preview", "request", pushed, "GET", "/")
    return str(pushed)


def _the_service_has_no_rights(machine: Machine) -> None:
    checks = machine.run("exec", "--user=10001", machine.node(), "preview", "doctor", "--json").stdout
    found = {one["name"]: one["result"] for one in json.loads(checks)["checks"]}
    assert (found["sandbox"], found["container"], found["database"]) == ("ok", "ok", "ok"), found
    state = machine.do("exec", machine.node(), "cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in state
    assert "CapBnd:\t0000000000000000" in state
