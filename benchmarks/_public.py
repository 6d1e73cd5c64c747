"""A service as a user has it: the process of ``preview serve``, used by commands and the HTTP API alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import trio
from _caches import use_usual_caches

__all__ = ["Launch", "LaunchRefused", "PublicService", "open_public_service"]

# A launch: the environment's build (300 s), steps (180 s each) and the start (30 s), with the machine's delays.
_REQUEST_S = 60.0
_STOP_S = 40.0
_LINES = 200
_PREVIEW = str(Path(sys.executable).with_name("preview"))


class LaunchRefused(Exception):
    """The service took the project not, or launched it not; the message is its sentence."""


@dataclass
class Launch:
    """One launch of a project.

    Attributes:
        generation_id: The uploaded files.
        token: For requests to the preview.
        state: ``running``, or how it ended: ``failed``, ``stopped``; ``late`` if neither came in time.
        reason: Why it ended, in the service's words.
        seconds: From the launch to its first answer, or to its end.
        silence_s: The longest time without a line in between.
        lines: The newest of its log.
    """

    generation_id: str
    token: str = ""
    state: str = "starting"
    reason: str = ""
    seconds: float = 0.0
    silence_s: float = 0.0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))


@dataclass(frozen=True)
class PublicService:
    """A running service, and a client that is signed in."""

    client: httpx2.AsyncClient
    url: str
    variables: Mapping[str, str]

    async def push(self, folder: Path) -> str:
        """Upload a folder as ``preview push`` does; return the generation's id.

        Raises:
            LaunchRefused: The service refuses the files.
        """
        command = [_PREVIEW, "push", str(folder), "--json", "--url", self.url]
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, env=dict(self.variables)
        )
        if done.returncode != 0:
            raise LaunchRefused(done.stderr.decode(errors="replace").strip())
        found: str = json.loads(done.stdout)["id"]
        return found

    async def get(self, generation_id: str, path: str) -> Any:
        """Return the JSON of a route below the generation.

        Raises:
            LaunchRefused: The files are no project that can be launched.
        """
        answer = await self.client.get(f"/api/v1/generations/{generation_id}{path}")
        if answer.status_code == 400:
            raise LaunchRefused(answer.json().get("detail", answer.text))
        answer.raise_for_status()
        return answer.json()

    @asynccontextmanager
    async def launched(
        self, generation_id: str, timeout_s: float, options: Mapping[str, object] | None = None
    ) -> AsyncIterator[Launch]:
        """Launch, and wait until it serves or has ended; stop it in the end.

        Raises:
            LaunchRefused: No preview was made.
        """
        started = time.perf_counter()
        launch = Launch(generation_id)
        base = f"/api/v1/generations/{generation_id}/preview"
        answer = await self.client.post(f"{base}/launch", json=dict(options or {}))
        if answer.status_code != 201:
            raise LaunchRefused(answer.json().get("detail", answer.text))
        launch.token = answer.json()["session_token"]
        try:
            with trio.move_on_after(timeout_s) as scope:
                await self._follow(launch, f"{base}/logs/stream")
            if scope.cancelled_caught:
                launch.state, launch.reason = "late", f"not within {timeout_s:g} s"
            launch.seconds = time.perf_counter() - started
            yield launch
        finally:
            with trio.move_on_after(_STOP_S, shield=True):
                await self.client.delete(base)

    async def _follow(self, launch: Launch, path: str) -> None:
        """Read the log until the preview serves or ends."""
        last = time.perf_counter()
        headers = {"Accept": "application/x-ndjson"}
        async with self.client.stream("GET", path, headers=headers, timeout=None) as stream:
            async for text in stream.aiter_lines():
                event = json.loads(text) if text.strip() else {"type": "progress"}
                if event["type"] == "line":
                    now = time.perf_counter()
                    launch.silence_s, last = max(launch.silence_s, now - last), now
                    launch.lines.append(event["message"])
                elif event["type"] in {"status", "end"}:
                    launch.state, launch.reason = event["status"], event.get("reason") or ""
                    if launch.state == "running" or event["type"] == "end":
                        return

    async def request(self, launch: Launch, method: str, path: str, **parts: object) -> dict[str, Any]:
        """Send one request through the service; ``status_code`` is 0 if the preview has not answered it."""
        body = {"method": method, "path": path, **{name: one for name, one in parts.items() if one is not None}}
        answer = await self.client.post(
            f"/api/v1/generations/{launch.generation_id}/preview/request",
            json=body,
            headers={"X-Preview-Token": launch.token},
        )
        if answer.status_code != 200:
            return {"status_code": 0, "headers": {}, "body": answer.json().get("detail", answer.text)}
        found: dict[str, Any] = answer.json()
        return found

    async def last_lines(self, generation_id: str, number: int) -> list[str]:
        """Return the newest lines of the log."""
        page = await self.get(generation_id, "/preview/logs?limit=1000")
        lines = [line["message"] for line in page["lines"]]
        while page["next"] and page["lines"]:
            answer = await self.client.get(page["next"])
            page = answer.json()
            lines += [line["message"] for line in page["lines"]]
        return lines[-number:]


@asynccontextmanager
async def open_public_service(
    *, cache: Path | None = None, at_once: int = 1, settings: Mapping[str, str] | None = None
) -> AsyncIterator[PublicService]:
    """Start ``preview serve`` on temporary folders; ``cache`` keeps the environments for the next time."""
    use_usual_caches()
    with tempfile.TemporaryDirectory(prefix="preview-public-", ignore_cleanup_errors=True) as temporary:
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")},
            "PREVIEW_DATA_DIR": str(Path(temporary) / "data"),
            "PREVIEW_CACHE_DIR": str(cache or Path(temporary) / "cache"),
            "PREVIEW_MAX_INSTANCES_ENTERPRISE": str(at_once),
            # Measured is the launch, with its environment.
            "PREVIEW_BUILD_ON_PUSH": "false",
            **(settings or {}),
        }
        log = Path(temporary) / "service.log"
        with log.open("wb") as stderr:
            service = await trio.lowlevel.open_process(
                [_PREVIEW, "serve", "--bind", "127.0.0.1:0", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=variables,
                cwd=temporary,
            )
        try:
            url = await _announced(service, log)
            token = await _output([_PREVIEW, "token", "local", "--tier", "enterprise", "--ttl", "86400"], variables)
            variables["PREVIEW_TOKEN"] = token
            headers = {"Authorization": f"Bearer {token}"}
            # The service closes a connection that nobody has used for five seconds, maybe just before a request.
            limits = httpx2.Limits(keepalive_expiry=2)
            async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=_REQUEST_S, limits=limits) as client:
                yield PublicService(client, url, variables)
        finally:
            with trio.move_on_after(_STOP_S, shield=True):
                if service.returncode is None:
                    service.send_signal(signal.SIGTERM)
                await service.wait()
            if service.returncode is None:
                service.kill()


async def _announced(service: trio.Process, log: Path) -> str:
    """Wait for the line of ``serve --json``; return the address in it."""
    assert service.stdout is not None
    said = b""
    while b"\n" not in said:
        piece = await service.stdout.receive_some()
        if not piece:
            raise RuntimeError(f"preview serve has ended:\n{log.read_text()}")
        said += piece
    found: str = json.loads(said.partition(b"\n")[0])["url"]
    return found


async def _output(command: Sequence[str], variables: Mapping[str, str]) -> str:
    done = await trio.run_process(command, capture_stdout=True, env=dict(variables))
    return done.stdout.decode().strip()
