"""Backends for tests: launched on a service, with a note of each request; used by the pytest plugin."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from preview.client.blocking import Answer, Client, Preview
from preview.client.errors import ClientError, PreviewProblem

# Most requests of one test that its report shows: the last ones; and most lines and characters of each.
_MOST_CALLS = 10
_MOST_LINES = 50
_MOST_LAST_LINES = 20
_MOST_CHARACTERS = 8_000
_STOP_S = 60.0
_PROGRAM = (sys.executable, "-c", "from preview.cli import main; main()")


@dataclass(frozen=True, slots=True)
class _Sent:
    preview: Preview
    method: str
    path: str
    status: str
    request_id: str
    answer: Answer | None


class BackendCalls:
    """Requests of the running test."""

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque(maxlen=_MOST_CALLS)

    def clear(self) -> None:
        """Forget all."""
        self._sent.clear()

    def note(
        self, preview: Preview, method: str, path: str, status: str, request_id: str, answer: Answer | None = None
    ) -> None:
        """Note a request."""
        self._sent.append(_Sent(preview, method, path, status, request_id, answer))

    def sections(self) -> list[tuple[str, str]]:
        """Return title and text of each request, for a report."""
        return [
            (f"preview: {one.method} {one.path} {one.status}", _text_of(one)[:_MOST_CHARACTERS]) for one in self._sent
        ]


class Backend:
    """A launched backend.

    Attributes:
        preview: The preview below it: log, reload, snapshots.
    """

    def __init__(self, preview: Preview, calls: BackendCalls) -> None:
        self.preview = preview
        self._calls = calls

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; options are those of ``Preview.request``."""
        try:
            answer = self.preview.request(method, path, **options)
        except PreviewProblem as error:
            request_id = error.details.get("request_id")
            if isinstance(request_id, str):
                self._calls.note(self.preview, method, path, error.code, request_id)
            raise
        self._calls.note(self.preview, method, path, str(answer.status_code), answer.request_id, answer)
        return answer

    def get(self, path: str, **options: Any) -> Answer:
        """Send a ``GET``."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> Answer:
        """Send a ``POST``."""
        return self.request("POST", path, body=body, **options)

    def put(self, path: str, body: object = None, **options: Any) -> Answer:
        """Send a ``PUT``."""
        return self.request("PUT", path, body=body, **options)

    def patch(self, path: str, body: object = None, **options: Any) -> Answer:
        """Send a ``PATCH``."""
        return self.request("PATCH", path, body=body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        """Send a ``DELETE``."""
        return self.request("DELETE", path, **options)


def launch_backend(
    client: Client,
    calls: BackendCalls,
    folder: Path,
    *,
    env: Mapping[str, str] | None,
    start: Mapping[str, Any] | None,
    wait: float,
) -> Backend:
    """Launch a folder; fail the test with the preview's last lines if it does not start."""
    try:
        return Backend(client.launch(folder, env=env, start=start, wait=wait), calls)
    except PreviewProblem as error:
        generation = error.details.get("generation_id")
        if isinstance(generation, str):
            with suppress(ClientError):
                client.preview(generation).remove()
        lines = error.details.get("last_lines")
        said = "\n".join(map(str, lines[-_MOST_LINES:])) if isinstance(lines, list) else ""
        pytest.fail(f"preview: {error.detail}\n{said}"[:_MOST_CHARACTERS], pytrace=False)


def remove_backend(backend: Backend) -> None:
    """Stop a backend and remove its files; a service that has gone is no failure of the tests."""
    with suppress(ClientError):
        backend.preview.remove()


@contextmanager
def open_service_client(url: str | None, folders: pytest.TempPathFactory) -> Iterator[Client]:
    """Provide a client of the given service, of ``PREVIEW_URL``, or of one that lives as long as the context."""
    if url or os.environ.get("PREVIEW_URL"):
        with Client(url) as client:
            yield client
        return
    if find_spec("preview.cli") is None:
        pytest.fail("preview: set PREVIEW_URL and PREVIEW_TOKEN, or install the package `preview`.", pytrace=False)
    folder = folders.mktemp("preview")
    environment = {**os.environ, "PREVIEW_DATA_DIR": str(folder / "data"), "PREVIEW_MAX_INSTANCES_PER_USER": "10"}
    with (folder / "service.log").open("wb") as errors:
        process = subprocess.Popen(
            [*_PROGRAM, "serve", "--json", "--bind", "127.0.0.1:0"],
            env=environment, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        address = _announced(process, folder / "service.log")
        made = subprocess.run(
            [*_PROGRAM, "token", "local"], env=environment, capture_output=True, text=True, check=True
        )
        with Client(address, made.stdout.strip()) as client:
            yield client
    finally:
        _end(process)


def _announced(process: subprocess.Popen[bytes], log: Path) -> str:
    line = b"" if process.stdout is None else process.stdout.readline()
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError, TypeError):
        said = log.read_text("utf-8", "replace")[-_MOST_CHARACTERS:]
        pytest.fail(f"preview: the service for the tests did not start.\n{said}", pytrace=False)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _text_of(sent: _Sent) -> str:
    """Return the request's lines and failure record; without lines of its own, those printed during it."""
    try:
        if sent.answer is not None:
            lines, title = sent.answer.lines(), "printed for it"
        else:
            lines, title = sent.preview.lines(request_id=sent.request_id, limit=_MOST_LINES), "printed for it"
        if not lines:
            lines, title = sent.preview.lines(limit=_MOST_LAST_LINES), "the last lines of the log"
        said = "\n".join(f"{one.seq} {one.level} {one.message}" for one in lines[-_MOST_LINES:])
        text = f"request id {sent.request_id}; {title}:\n{said}"
        for one in sent.preview.failures():
            if sent.request_id in (one.first.request_id, one.last.request_id):
                text += f"\n\n{sent.preview.failure_text(one)}"
                break
    except ClientError as error:
        return f"its lines cannot be read: {error}"
    return text
