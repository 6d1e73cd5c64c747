"""The units of `preview deploy init`, booted in an empty Debian that the three commands of docs/install.md set up.

A Debian with a systemd of its own boots, and downloads packages:
`uv run pytest -m long -n 0 -s tests/installed/test_server_installed.py`.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from machine_kit import Machine, open_machine
from parts_kit import checkout, parts_folder

pytestmark = pytest.mark.long

_PROGRAM = "/opt/preview/bin/preview"
# As docs/install.md has them, but for `sudo`: a new Debian's first user is root.
COMMANDS = (
    (
        "apt-get update -qq && apt-get install -y python3-venv && python3 -m venv /opt/preview"
        " && /opt/preview/bin/pip install ./preview"
    ),
    (
        f"{_PROGRAM} deploy init /etc/preview/deploy --systemd --domain preview.example.com --tls caddy"
        " --certificate internal --yes"
    ),
    "sh /etc/preview/deploy/install.sh",
)
_READY = "python3 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=90)\""


@dataclass
class Server:
    """A machine with the service, and how long each step took."""

    machine: Machine
    token: str
    times: list[tuple[str, float]]

    def preview(self, arguments: str) -> str:
        return self.machine.do(f"PREVIEW_URL=http://127.0.0.1:8000 PREVIEW_TOKEN={self.token} {_PROGRAM} {arguments}")

    def launch(self, generation: str) -> None:
        """Launch; on a busy machine, again until it has read the project in time."""
        for _ in range(5):
            with suppress(AssertionError):
                self.preview(f"launch {generation} --wait 200")
                return
        self.preview(f"launch {generation} --wait 200")

    def shown(self, name: str) -> str:
        return self.machine.do(f"systemctl show preview.service --property {name} --value")

    def group(self) -> str:
        """Its control group, where memory is limited."""
        of_memory = "/memory" if "memory" in self.machine.groups else ""
        return f"/sys/fs/cgroup{of_memory}{self.shown('ControlGroup')}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    checkout(folder / "preview")
    with parts_folder() as parts, open_machine(parts, folder) as machine:
        times, said = [], ""
        with subprocess.Popen(["tar", "--create", "--directory", folder, "preview"], stdout=subprocess.PIPE) as packed:
            assert packed.stdout is not None
            machine.do("tar --extract", packed.stdout.read())
        for command in COMMANDS:
            begun = time.monotonic()
            said = machine.do(command)
            times.append((command, time.monotonic() - begun))
        yield Server(machine, said.splitlines()[-1], times)
        print(machine.do("journalctl --unit preview --output cat --no-pager | tail -n 5"))


def _launched(server: Server) -> dict[str, Any]:
    made = json.loads(server.preview("push ./preview/examples/hello --json"))
    server.launch(str(made["id"]))
    return dict(made)


def test_a_preview_has_its_own_group_with_limits(server: Server) -> None:
    generation = _launched(server)["id"]
    assert "Hello, world!" in server.preview(f"request {generation} GET /")
    limit = "memory.limit_in_bytes" if "memory" in server.machine.groups else "memory.max"
    limits = server.machine.do(f"find {server.group()} -mindepth 2 -name {limit} -exec cat {{}} +").split()
    assert str(1024 * 1024 * 1024) in limits
    server.machine.do("sed -i s/Hello/Goodbye/ preview/examples/hello/main.py")
    server.preview(f"sync {generation} ./preview/examples/hello --yes")
    assert "Goodbye, world!" in server.preview(f"request {generation} GET /")
    server.machine.do("sed -i s/Goodbye/Hello/ preview/examples/hello/main.py")
    server.preview(f"stop {generation}")


def test_a_killed_service_comes_back_and_leaves_no_process(server: Server) -> None:
    machine = server.machine
    _launched(server)
    pids = machine.do("pgrep -u preview").split()
    assert len(pids) > 1
    machine.do(f"kill -KILL {server.shown('MainPID')}")
    machine.do(_READY)
    left = set(machine.do("pgrep -u preview").split()) & set(pids)
    assert left == set(), machine.do("ps -u preview -o pid,args")


def test_a_stop_leaves_nothing(server: Server) -> None:
    """The last test: it ends the service."""
    machine = server.machine
    _launched(server)
    group = server.group()
    machine.do("systemctl start preview-backup.service")
    assert machine.do("ls /var/lib/preview-backups").endswith(".zip")
    machine.do("systemctl stop preview.socket preview.service")
    assert machine.run("pgrep -u preview").stdout == b""
    assert machine.run(f"ls -d {group}").returncode != 0
    assert server.shown("Result") == "success"
    assert machine.run("python3 -c \"import socket; socket.create_connection(('127.0.0.1', 8000))\"").returncode != 0
