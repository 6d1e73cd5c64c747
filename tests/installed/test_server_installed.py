"""From an empty Debian to a preview in a browser, by the three commands of docs/install.md; and the units, booted.

A Debian with a systemd of its own boots, and downloads packages:
`uv run pytest -m long -n 0 -s tests/installed/test_server_installed.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import BROWSER_FLAGS, find_chromium
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from machine_kit import Machine, open_machine
from parts_kit import ROOT, checkout, parts_folder
from playwright.sync_api import Page, sync_playwright

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
_AUTHORITY = "/var/lib/caddy/.local/share/caddy/pki/authorities/local"
_MOST_S = 600.0
_PATIENCE_MS = 200_000
# Asks without a pause until the file is there; prints how often, and what failed.
_CLIENT = """
import http.client, json, pathlib
asked, failed = 0, []
while not pathlib.Path("/run/asked-enough").exists():
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=60)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            failed.append(str(answer.status))
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        failed.append(repr(error))
    asked += 1
print(json.dumps([asked, failed[:10]]))
"""


_READY = "python3 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=90)\""


@dataclass
class Server:
    """A machine with the service, and how long each step took."""

    machine: Machine
    token: str
    times: list[tuple[str, float]]

    def pids(self) -> set[str]:
        """The processes of the service's user; an empty Debian has no pgrep."""
        find = r"find /proc -maxdepth 1 -ignore_readdir_race -name '[0-9]*' -user preview -printf '%f\n'"
        return set(self.machine.do(find).split())

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
            opened_at = time.monotonic()
            said = machine.do(command)
            times.append((command, time.monotonic() - opened_at))
        yield Server(machine, said.splitlines()[-1], times)
        print(machine.do("journalctl --unit preview --output cat --no-pager | tail -n 5"))


def test_three_commands_bring_a_preview_to_a_browser_over_tls(server: Server, tmp_path: Path) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium")
    opened_at = time.monotonic()
    inside = tmp_path / "chromium"
    inside.write_text(f'#!/bin/sh\nexec {" ".join(server.machine.network)} {program} "$@"\n')
    inside.chmod(0o755)
    rules = "--host-resolver-rules=MAP *.example.com 127.0.0.1, MAP * ~NOTFOUND"
    flags = [*BROWSER_FLAGS, rules, f"--ignore-certificate-errors-spki-list={_pin(server)}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(inside), args=flags)
        page = browser.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        page.goto("https://preview.example.com/")
        _sign_in_and_launch(page, server.token)
        with page.context.expect_page() as opened:
            page.get_by_role("button", name="Open", exact=True).click()
        opened.value.get_by_text("Hello, world!").wait_for()
        assert re.fullmatch(r"https://[^/]+\.previews\.example\.com/", opened.value.url), opened.value.url
        server.times.append(("Chromium: sign in, upload, launch, open", time.monotonic() - opened_at))
        opened.value.screenshot(path=tmp_path / "preview.png")
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_label("Preview", exact=True).get_by_text("Stopped", exact=True).wait_for()
        browser.close()
    in_all_s = sum(taken_s for _, taken_s in server.times)
    for what, taken_s in (*server.times, ("in all", in_all_s)):
        print(f"{taken_s:7.1f} s  {what}")
    assert in_all_s <= _MOST_S, server.times


def _sign_in_and_launch(page: Page, token: str) -> None:
    page.get_by_label("Paste a token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.get_by_label("A folder").first.set_input_files(ROOT / "examples" / "hello")
    page.get_by_role("heading", name="hello", exact=True, level=2).wait_for()
    page.get_by_role("button", name=re.compile("^Launch")).click()
    page.get_by_label("Preview", exact=True).get_by_text("Running", exact=True).wait_for()


def _pin(server: Server) -> str:
    """The key of Caddy's own authority: the browser believes what it has signed, and nothing else."""
    said = server.machine.do(f"until cat {_AUTHORITY}/intermediate.crt; do sleep 1; done")
    root = x509.load_pem_x509_certificate(said.encode())
    key = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def test_the_unit_has_its_protections_and_delegated_control_groups(server: Server) -> None:
    machine = server.machine
    for unit in ("preview.socket", "preview.service", "preview-backup.timer", "caddy.service"):
        assert machine.do(f"systemctl is-active {unit}") == "active"
    pid = server.shown("MainPID")
    status = dict(line.split(":", 1) for line in machine.do(f"cat /proc/{pid}/status").splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert {status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["Uid"].split()[0] != "0"
    # As the unit sees the machine: the system cannot be written, homes are not there.
    inside = f"nsenter --mount --target {pid} setpriv --reuid preview --regid preview --clear-groups sh -c"
    refused = machine.do(f"{inside} 'touch /usr/x /etc/x 2>&1; ls /home /root 2>&1; ls /dev; touch /tmp/seen; true'")
    assert refused.count("Read-only file system") == 2
    assert "vda" not in refused
    assert machine.run("ls /tmp/seen").returncode != 0
    assert machine.do(f"stat --format %U {server.group()}") == "preview"
    # Without a sandbox or these groups, the service would not have started.
    assert machine.do("grep PREVIEW_ISOLATION /etc/preview/preview.env") == "PREVIEW_ISOLATION=require"


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


def test_a_restart_refuses_no_client(server: Server) -> None:
    machine = server.machine
    generation = _launched(server)["id"]
    before = server.shown("MainPID")
    machine.do("cat >client.py && rm -f /run/asked-enough", _CLIENT.encode())
    machine.do("systemd-run --quiet --unit client --collect -p StandardOutput=file:/root/asked python3 /root/client.py")
    for _ in range(3):
        machine.do("systemctl restart preview.service")
        machine.do(_READY)
    machine.do("touch /run/asked-enough; while systemctl is-active --quiet client; do sleep 0.1; done")
    asked, failed = json.loads(machine.do("cat /root/asked"))
    assert failed == [], failed
    # Also on a busy machine: some around each restart.
    assert asked > 3
    assert server.shown("MainPID") != before
    # What was uploaded is there.
    server.launch(generation)
    server.preview(f"stop {generation}")


def test_a_killed_service_comes_back_and_leaves_no_process(server: Server) -> None:
    machine = server.machine
    _launched(server)
    pids = server.pids()
    assert len(pids) > 1
    machine.do(f"kill -KILL {server.shown('MainPID')}")
    machine.do(_READY)
    left = server.pids() & pids
    assert left == set(), [machine.run(f"tr '\\0' ' ' </proc/{pid}/cmdline").stdout for pid in left]


def test_the_runbook_s_upgrade_and_rollback_keep_what_is_stored(server: Server) -> None:
    machine = server.machine
    generation = json.loads(server.preview("push ./preview/examples/hello --json"))["id"]
    # The runbook has `sudo -u`, which this machine lacks.
    own = f"cd /var/lib/preview && runuser -u preview -- env PREVIEW_DATA_DIR=/var/lib/preview {_PROGRAM}"
    machine.do(f"{own} backup before-upgrade.zip")
    machine.do("systemctl stop preview.socket preview")
    machine.do("echo '# the newer version' >>preview/preview/__init__.py")
    machine.do("/opt/preview/bin/pip install --upgrade ./preview")
    assert machine.do("grep -c 'the newer version' /opt/preview/lib/python3*/site-packages/preview/__init__.py") == "1"
    machine.do(f"{own} db upgrade")
    newest = machine.do(f"{own} db current")
    assert newest.endswith("(newest)"), newest
    # The way back of the database, and forward again.
    machine.do(f"{own} db downgrade -1")
    assert "(newest: " in machine.do(f"{own} db current")
    machine.do(f"{own} db upgrade")
    assert machine.do(f"{own} db current") == newest
    machine.do("systemctl start preview.socket preview")
    machine.do(_READY)
    server.launch(generation)
    assert "Hello, world!" in server.preview(f"request {generation} GET /")
    server.preview(f"stop {generation}")
    # The backup into a new data folder, in place of a migration down.
    machine.do(f"{own.replace('DIR=/var/lib/preview', 'DIR=/var/lib/preview/copy')} restore before-upgrade.zip --yes")
    assert machine.do("stat --format %U:%a /var/lib/preview/copy/preview.db").startswith("preview:600")
    machine.do("rm -r /var/lib/preview/copy /var/lib/preview/before-upgrade.zip")


def test_a_stop_leaves_nothing(server: Server) -> None:
    """The last test: it ends the service."""
    machine = server.machine
    _launched(server)
    group = server.group()
    machine.do("systemctl start preview-backup.service")
    assert machine.do("ls /var/lib/preview-backups").endswith(".zip")
    machine.do("systemctl stop preview.socket preview.service")
    assert server.pids() == set()
    assert machine.run(f"ls -d {group}").returncode != 0
    assert server.shown("Result") == "success"
    assert machine.run("python3 -c \"import socket; socket.create_connection(('127.0.0.1', 8000))\"").returncode != 0
