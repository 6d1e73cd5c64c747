"""``preview ws`` and ``preview requests`` with a service, a preview, and an application that misbehaves."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_service import PROGRAM, serving

from preview.cli.entry import run
from preview.cli.exits import ExitCode

APP = r"""
import base64, hashlib, os, socketserver, struct

def frame(kind, content):
    size = len(content)
    head = bytes([0x80 | kind]) + (bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size))
    return head + content

class Handler(socketserver.StreamRequestHandler):
    def message(self):
        kind, size = self.rfile.read(2)
        mask = self.rfile.read(4) if size & 0x7F < 126 else None
        return kind & 15, bytes(one ^ mask[at % 4] for at, one in enumerate(self.rfile.read(size & 0x7F)))

    def handle(self):
        path, fields = self.rfile.readline().split()[1], {}
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip()
        if b"sec-websocket-key" not in fields or path == b"/none":
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        key = hashlib.sha1(fields[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.wfile.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                         + base64.b64encode(key) + b"\r\n\r\n")
        if path == b"/flood":
            for number in range(20_000):
                self.wfile.write(frame(1, b"%d" % number))
            self.wfile.write(frame(8, struct.pack(">H", 4001) + b"enough"))
        elif path == b"/huge":
            self.wfile.write(b"\x82\x7f" + struct.pack(">Q", 100 * 1024 * 1024))
            for _ in range(1600):
                self.wfile.write(bytes(65536))
        elif path == b"/invalid":
            self.wfile.write(frame(1, b"\xff\xfe"))
        while True:
            kind, content = self.message()
            if kind == 1 and path == b"/echo":
                self.wfile.write(frame(1, content + b" again") + frame(2, b"\x00\xff"))
            elif kind == 8 and path != b"/stubborn":
                self.wfile.write(frame(8, content))
                return

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True

print("ready", flush=True)
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


ENVIRONMENT: dict[str, str] = {}


@pytest.fixture(scope="module")
def generation(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("ws")
    folders = {"PREVIEW_DATA_DIR": str(folder / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    project = folder / "project"
    project.mkdir()
    (project / "main.py").write_text(APP)
    (project / "preview.toml").write_text('[start]\ncommand = "python main.py"\n')
    ENVIRONMENT.update({name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")} | folders)
    with serving(folders):
        made = tell("push", str(project)).stdout.strip()
        assert tell("launch", made, "--wait", "60").returncode == ExitCode.OK
        yield made


def tell(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], input=said, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("path", "code"), [("/huge", {1006, 1009}), ("/invalid", {1006, 1007}), ("/flood", {4001}), ("/stubborn", {1000})]
)
def test_an_application_that_misbehaves_ends_its_own_connection_only(
    generation: str, path: str, code: set[int]
) -> None:
    done = tell("ws", generation, path, "--json", "--wait", "3" if path != "/stubborn" else "0")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "open"
    assert events[-1]["event"] == "close", done.stderr
    assert events[-1]["code"] in code
    assert done.returncode == (ExitCode.OK if path == "/stubborn" else ExitCode.FAILED)
    if path == "/flood":
        assert [one["text"] for one in events[1:-1]] == [str(number) for number in range(20_000)]


def test_lines_are_messages_and_messages_are_lines(generation: str) -> None:
    done = tell("ws", generation, "/echo", said="one\ntwo\n")
    assert done.stdout == "one again\ntwo again\n"
    assert done.stderr.count("a message of 2 bytes") == 2
    assert done.stderr.endswith("closed with 1000\n")
    assert done.returncode == ExitCode.OK
    done = tell("ws", generation, "/echo", "--json", "--code", "3001", "--wait", "0.5", said="one\n")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in events] == ["open", "text", "binary", "close"]
    assert events[2]["base64"] == "AP8="
    assert events[3]["code"] == 3001
    assert done.returncode == ExitCode.OK


def test_a_handshake_is_recorded_and_a_refused_one_is_explained(generation: str) -> None:
    done = tell("ws", generation, "/none")
    assert done.returncode == ExitCode.FAILED
    assert "refused with 404" in done.stderr
    assert "/none" in tell("requests", generation).stdout
    assert tell("ws", generation, "none").returncode == ExitCode.USAGE
    assert tell("ws", generation, "/x", "--code", "1002").returncode == ExitCode.USAGE


def test_recorded_requests_go_to_other_tools_and_come_back(
    generation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def requests(*arguments: str, code: ExitCode = ExitCode.OK) -> str:
        assert run(["requests", generation, *arguments]) == code
        said = capsys.readouterr()
        return said.out + said.err

    # What does not go together, is missing, or is in the way, is refused with nothing done.
    assert "needs the number" in requests("--pin", code=ExitCode.USAGE)
    assert "omit one of the two" in requests("1", "--har", "-", code=ExitCode.USAGE)
    assert "cannot be combined" in requests("--har", "a", "--import", "b", code=ExitCode.USAGE)
    assert "at most 500" in requests("--har", "-", "--limit", "501", code=ExitCode.USAGE)
    assert "cannot be read" in requests("--import", str(tmp_path / "missing"), code=ExitCode.USAGE)
    file = tmp_path / "shop.har"
    file.write_text("mine")
    assert "Add --yes" in requests("--har", str(file), code=ExitCode.USAGE)
    assert file.read_text() == "mine"
    assert "not a HAR file" in requests("--import", str(write(tmp_path / "a.har", "{}")), code=ExitCode.USAGE)

    assert run(["request", generation, "GET", "/none?page=2", "-H", "X-Shop: books"]) == ExitCode.OK
    capsys.readouterr()
    newest = requests("--limit", "1", "--json")
    number = str(json.loads(newest)["number"])
    forms = {"curl": "curl --globoff", "httpx": "import httpx", "fetch": "await fetch(", "pytest": "def test_"}
    for form, part in forms.items():
        text = requests(number, "--as", form)
        assert part in text
        assert "/none?page=2" in text
    assert json.loads(requests(number, "--as", "curl", "--json"))["text"].startswith("curl ")
    for option, is_pinned in (("--pin", True), ("--unpin", False)):
        requests(number, option)
        assert json.loads(requests(number, "--json"))["pinned"] is is_pinned

    assert f"1 request written to {file}" in requests("--har", str(file), "--limit", "1", "--yes")
    log = json.loads(file.read_text())["log"]
    assert log["version"] == "1.2"
    assert log["entries"][0]["request"]["url"].endswith("/none?page=2")
    assert json.loads(requests("--har", "-", "--limit", "1"))["log"]["version"] == "1.2"
    assert f"imported as record {int(number) + 1}" in requests("--import", str(file))
    again = json.loads(requests("--limit", "1", "--json"))
    assert (again["target"], again["number"]) == ("/none?page=2", int(number) + 1)

    # A curl command is not sent: it becomes a command of this program.
    curl = requests(number, "--as", "curl")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(curl.encode())))
    words = shlex.split(requests("--import", "-"))
    assert words[:5] == ["preview", "request", generation, "GET", "/none?page=2"]
    assert any(word.lower() == "x-shop: books" for word in words)
    assert requests("--limit", "1", "--json") == json.dumps(again, ensure_ascii=False) + "\n"


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file
