"""The compose files of `preview deploy init`, started: the service or three nodes, PostgreSQL, Caddy, Prometheus.

The images are made here from Debian's packages, as no registry is asked; Grafana is in none of them. It takes minutes:
`uv run pytest -m long -n 0 -s tests/installed/test_compose_started.py`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import BROWSER_FLAGS, find_chromium
from engine_kit import engine_or_skip, engine_pid
from image_built_kit import DEADLINE_S, IMAGE_PACKAGES, MAIN, built_image
from parts_kit import debian, needed, parts_folder
from playwright.sync_api import sync_playwright

from preview.cli.entry import run

pytestmark = pytest.mark.long

_PACKAGES = (*IMAGE_PACKAGES, "postgresql", "caddy", "prometheus")
# What the images of the registry do, with Debian's programs.
POSTGRES = r"""#!/bin/sh
set -eu
data=/var/lib/postgresql/data
programs=$(echo /usr/lib/postgresql/*/bin)
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
chown postgres "$data"
if [ ! -s "$data/PG_VERSION" ]; then
    as_postgres "$programs/initdb" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" \
        --auth scram-sha-256 --encoding UTF8 "$data"
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | as_postgres "$programs/postgres" --single -D "$data" postgres
fi
exec setpriv --reuid postgres --regid postgres --init-groups "$programs/postgres" -D "$data" -c listen_addresses='*' \
    -c unix_socket_directories=/tmp
"""
_STAND_INS = {
    "postgres:17": 'COPY start /start\nENTRYPOINT ["/start"]\n',
    "caddy:2": 'ENV XDG_DATA_HOME=/data\nCMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]\n',
    "prom/prometheus:v3.5.0": 'ENTRYPOINT ["prometheus"]\n',
}
_DOMAIN = "preview.example.com"
_PATIENCE_MS = 200_000


class Stack:
    """A started stack; the host's programs reach it in the engine's network."""

    def __init__(self, compose: list[str], folder: Path, inside: list[str], entrance: str) -> None:
        self._compose = compose
        self._folder = folder
        self.inside = inside
        self.entrance = entrance

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._compose, *arguments],
            cwd=self._folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def do(self, *arguments: str, given: str = "") -> str:
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, (arguments, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout.strip()

    def ask(self, url: str, *options: str) -> str:
        """Ask through Caddy, whose authority has to have signed for the host."""
        host = url.split("/")[2]
        command = [*self.inside, "curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60"]
        command += ["--cacert", str(self._folder / "root.crt"), "--resolve", f"{host}:443:127.0.0.1"]
        done = subprocess.run([*command, *options, url], capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, (url, done.stdout[-1000:], done.stderr[-1000:])
        return done.stdout

    def wait_until(self, what: str, *arguments: str) -> str:
        until = time.monotonic() + DEADLINE_S
        while (done := self.run(*arguments)).returncode != 0:
            assert time.monotonic() < until, (what, done.stderr, self.run("ps").stdout, self.run("logs").stdout[-5000:])
            time.sleep(0.5)
        return done.stdout


def _compose() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False).stdout
            if said.startswith(("2", "v2")):
                return command
    pytest.skip("no Docker Compose of version 2 (in Debian 13: docker-compose)")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of the service, and those of the programs around it."""
    needed("docker", "dockerd", "debootstrap", "uv", "nsenter", "curl")
    _compose()
    folder = tmp_path_factory.mktemp("images")
    (folder / "start").write_text(POSTGRES)
    (folder / "start").chmod(0o755)
    with parts_folder() as parts, built_image(parts, folder, debian(parts, "stack", _PACKAGES)) as (docker, image):
        base = image.replace(":built", ":base")
        for name, lines in _STAND_INS.items():
            (folder / "Dockerfile").write_text(f"FROM {base}\n{lines}")
            (folder / ".dockerignore").write_text("*\n!start\n")
            subprocess.run(
                [*docker, "build", "--quiet", "--tag", name, str(folder)],
                env=os.environ | {"DOCKER_BUILDKIT": "0"},
                check=True,
                stdout=subprocess.DEVNULL,
            )
        try:
            yield image
        finally:
            subprocess.run([*docker, "rmi", "--force", *_STAND_INS], capture_output=True, check=False)


@contextmanager
def started(folder: Path, image: str, *options: str) -> Iterator[Stack]:
    engine = engine_or_skip()
    told = ["--compose", "--domain", _DOMAIN, "--database", "postgresql", "--certificate", "internal", "--yes"]
    assert run(["deploy", "init", str(folder), *told, "--image", image, *options]) == 0
    file = folder / "compose.yaml"
    wanted: dict[str, Any] = yaml.safe_load(file.read_text())
    entrance = next(name for name in wanted["services"] if name.startswith("preview"))
    command = [*_compose(), "--project-name", "preview"]
    # An engine without CAP_SYS_RESOURCE cannot raise its own limit.
    most = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    file.write_text(file.read_text().replace("soft: 65536, hard: 65536", f"soft: {most}, hard: {most}"))
    pid = engine_pid(engine.parent)
    assert pid is not None
    stack = Stack(
        ["env", f"DOCKER_HOST=unix://{engine}", *command], folder, ["nsenter", f"--net=/proc/{pid}/ns/net"], entrance
    )
    services = sorted(set(wanted["services"]) - {"grafana"})
    try:
        begun = time.monotonic()
        up = stack.run("up", "--detach", *services)
        assert up.returncode == 0, (up.stderr[-2000:], stack.run("logs", "--no-color", "migrate").stdout[-3000:])
        stack.wait_until("the service", "exec", "-T", entrance, "preview", "ls")
        root = "/data/caddy/pki/authorities/local/root.crt"
        (folder / "root.crt").write_text(stack.wait_until("the authority", "exec", "-T", "caddy", "cat", root))
        print(f"{time.monotonic() - begun:.1f} s from `up` to a service that answers")
        yield stack
    finally:
        stack.run("down", "--volumes", "--timeout", "30")


def _launched(stack: Stack) -> tuple[str, str]:
    """A preview, and a token."""
    service = ("exec", "-T", stack.entrance)
    stack.do(*service, "sh", "-c", "mkdir -p /tmp/hello && cat >/tmp/hello/main.py", given=MAIN)
    settings = '[start]\ncommand = "python3 main.py"\n'
    stack.do(*service, "sh", "-c", "cat >/tmp/hello/preview.toml", given=settings)
    token = stack.do(*service, "preview", "token", "admin").splitlines()[-1]
    as_admin = (*service, "env", "PREVIEW_URL=http://127.0.0.1:8000", f"PREVIEW_TOKEN={token}", "preview")
    generation = json.loads(stack.do(*as_admin, "push", "/tmp/hello", "--json"))["id"]
    stack.do(*as_admin, "launch", generation, "--wait", "200")
    return generation, token


def _answers_over_tls(stack: Stack, generation: str, token: str) -> None:
    bearer = ("--header", f"Authorization: Bearer {token}")
    access = stack.ask(f"https://{_DOMAIN}/api/v1/generations/{generation}/preview/access", *bearer)
    address = json.loads(access)["address"]
    assert address.startswith("https://")
    assert ".previews.example.com" in address
    assert stack.ask(address, *bearer) == "Hello, world!"


def test_the_service_with_postgresql_caddy_and_prometheus(images: str, tmp_path: Path) -> None:
    with started(tmp_path, images) as stack:
        generation, token = _launched(stack)
        _answers_over_tls(stack, generation, token)
        checks = json.loads(stack.run("exec", "-T", stack.entrance, "preview", "doctor", "--json").stdout)["checks"]
        assert {one["result"] for one in checks if one["name"] in ("sandbox", "database")} == {"ok"}, checks
        found = stack.wait_until("a scrape", *_ASK_PROMETHEUS)
        assert json.loads(found)["data"]["result"][0]["value"][1] == "1"
        # Another start has the same database: the preview's files are there.
        stack.do("restart", stack.entrance)
        stack.wait_until("the service", "exec", "-T", stack.entrance, "preview", "ls")
        generation_again = stack.ask(
            f"https://{_DOMAIN}/api/v1/generations/{generation}", "--header", f"Authorization: Bearer {token}"
        )
        assert json.loads(generation_again)["id"] == generation


_ASK_PROMETHEUS = (
    *("exec", "-T", "prometheus", "python3", "-c"),
    (
        "import sys, urllib.request as u\n"
        "said = u.urlopen('http://127.0.0.1:9090/api/v1/query?query=up%7Bjob=%22preview%22%7D==1').read().decode()\n"
        "print(said); sys.exit('\"value\"' not in said)"
    ),
)


def test_a_newcomer_s_cluster_of_three_nodes_is_shown_on_the_page(images: str, tmp_path: Path) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium")
    with started(tmp_path, images, "--nodes", "3") as stack:
        for number in (1, 2, 3):
            stack.wait_until(f"node {number}", "exec", "-T", f"preview-{number}", "preview", "ls")
        generation, token = _launched(stack)
        # Caddy takes the nodes in turn: each answers for the preview.
        for _ in range(6):
            _answers_over_tls(stack, generation, token)
        wrapper = tmp_path / "chromium"
        wrapper.write_text(f'#!/bin/sh\nexec {" ".join(stack.inside)} {program} "$@"\n')
        wrapper.chmod(0o755)
        flags = [*BROWSER_FLAGS, "--host-resolver-rules=MAP *.example.com 127.0.0.1", "--ignore-certificate-errors"]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(wrapper), args=flags)
            page = browser.new_page()
            page.set_default_timeout(_PATIENCE_MS)
            page.goto(f"https://{_DOMAIN}/")
            page.get_by_label("Paste a token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name="Sign out").wait_for()
            page.get_by_role("button", name="Account of admin").click()
            page.get_by_role("tab", name="Operator").click()
            for number in (1, 2, 3):
                page.get_by_text(f"preview-{number}", exact=True).first.wait_for()
            browser.close()
