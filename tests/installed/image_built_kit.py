"""The image of the service, built without a network from a Debian base and wheels; and a container of it."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine_kit import engine_or_skip
from parts_kit import checkout, wheels

DEADLINE_S = 300.0
IMAGE_PACKAGES = ("python3", "python3-venv", "bubblewrap", "libseccomp2", "util-linux", "passwd")
"""Debian's packages that the image's base has to have."""
# Standard library only: where previews have no index of packages.
MAIN = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        content = b"Hello, world!"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""


class Box:
    """Docker's client, and a container of the image."""

    def __init__(self, docker: list[str]) -> None:
        self.docker = docker
        self.name = f"preview-test-{uuid.uuid4().hex[:12]}"

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [*self.docker, *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def do(self, *arguments: str, given: str = "") -> str:
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.strip()

    def preview(self, *arguments: str) -> str:
        return self.do("exec", self.name, "preview", *arguments)

    def shell(self, script: str, given: str = "") -> str:
        return self.do("exec", "--interactive", self.name, "sh", "-c", script, given=given)

    def wait_until_it_answers(self) -> None:
        until = time.monotonic() + DEADLINE_S
        while self.run("exec", self.name, "preview", "ls").returncode != 0:
            assert time.monotonic() < until, self.run("logs", self.name).stderr[-3000:]
            time.sleep(0.2)


@contextmanager
def built_image(parts: Path, folder: Path, base: Path) -> Iterator[tuple[list[str], str]]:
    """The command of Docker's client, and the image's name; the base's name has `:base` in place of `:built`."""
    docker = ["docker", "--host", f"unix://{engine_or_skip()}"]
    name = f"preview-test-{uuid.uuid4().hex[:12]}"
    context = folder / "context"
    checkout(context)
    (context / "wheels").symlink_to(wheels(parts))
    with base.open("rb") as archive:
        subprocess.run([*docker, "import", "-", f"{name}:base"], stdin=archive, check=True, stdout=subprocess.DEVNULL)
    try:
        pack = ["tar", "--create", "--dereference", "--directory", str(context), "."]
        command = [*docker, "build", "--network=none", f"--build-arg=BASE={name}:base", f"--tag={name}:built"]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packed:
            done = subprocess.run(
                [*command, "--file", "deploy/Dockerfile", "-"],
                stdin=packed.stdout,
                env=os.environ | {"DOCKER_BUILDKIT": "0"},
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        yield docker, f"{name}:built"
    finally:
        for tag in ("built", "base"):
            subprocess.run([*docker, "rmi", "--force", f"{name}:{tag}"], capture_output=True, check=False)
