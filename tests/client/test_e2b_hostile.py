"""Attacks on E2B's API: other users' sandboxes, paths and links, floods, and a kill in the middle."""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from client_kit import PROGRAM, Service, serving

FOLDERS = "data/sandboxes"


class Caller:
    """A user of E2B's API who sends what an SDK would not."""

    def __init__(self, service: Service, token: str) -> None:
        self.http = httpx2.Client(base_url=f"{service.url}/e2b", timeout=60)
        self.token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def api(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return self.http.request(method, f"/api{path}", json=body, headers={"X-API-Key": self.token})

    def create(self) -> dict[str, str]:
        answer = self.api("POST", "/sandboxes", {"templateID": "base", "timeout": 300})
        assert answer.status_code == 201, answer.text
        made: dict[str, str] = answer.json()
        return made

    def kill(self, box: dict[str, str]) -> int:
        return self.api("DELETE", f"/sandboxes/{box['sandboxID']}").status_code

    def rpc(self, box: dict[str, str], name: str, message: Any) -> httpx2.Response:
        return self.http.post(f"/sandbox/{name}", json=message, headers=headers_of(box))

    def run(self, box: dict[str, str], command: str, timeout_ms: int = 60_000) -> list[dict[str, Any]]:
        """Run a command; return its events, the last of which is the end of the stream."""
        message = json.dumps({"process": {"cmd": "/bin/bash", "args": ["-c", command]}}).encode()
        answer = self.http.post(
            "/sandbox/process.Process/Start",
            content=struct.pack(">BI", 0, len(message)) + message,
            headers={
                **headers_of(box),
                "Content-Type": "application/connect+json",
                "Connect-Timeout-Ms": str(timeout_ms),
            },
        )
        assert answer.headers["content-type"] == "application/connect+json", answer.text
        events, left = [], answer.content
        while left:
            size = struct.unpack(">I", left[1:5])[0]
            events.append(json.loads(left[5 : 5 + size]))
            left = left[5 + size :]
        return events


def headers_of(box: dict[str, str]) -> dict[str, str]:
    return {"E2b-Sandbox-Id": box["sandboxID"], "X-Access-Token": box["envdAccessToken"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREVIEW_E2B", "true")
        patch.setenv("PREVIEW_DISK_LIMIT_MB", "64")
        patch.setenv("PREVIEW_MEMORY_LIMIT_MB", "256")
        patch.setenv("PREVIEW_MAX_PROCESSES", "64")
        with serving(tmp_path_factory.mktemp("e2b")) as started:
            yield started


@pytest.fixture
def caller(service: Service) -> Iterator[Caller]:
    with Caller(service, service.token) as made:
        yield made


@pytest.fixture
def box(caller: Caller) -> Iterator[dict[str, str]]:
    made = caller.create()
    yield made
    caller.kill(made)


def marked(box: dict[str, str]) -> list[int]:
    """Processes of the machine that belong to a sandbox."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if box["sandboxID"].encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_another_users_sandbox_is_like_one_that_never_was(
    service: Service, caller: Caller, box: dict[str, str]
) -> None:
    own = {"PREVIEW_DATA_DIR": str(service.folder / "data"), "PREVIEW_CACHE_DIR": str(service.folder / "cache")}
    said = subprocess.run([*PROGRAM, "token", "mallory"], env={**os.environ, **own}, capture_output=True, text=True)
    with Caller(service, said.stdout.strip()) as stranger:
        _try_to_reach(stranger, service, box)
    assert caller.rpc(box, "process.Process/List", {}).json() == {"processes": []}


def _try_to_reach(stranger: Caller, service: Service, box: dict[str, str]) -> None:
    for method, path, body in (
        ("GET", "", None), ("DELETE", "", None), ("POST", "/timeout", {"timeout": 0}),
        ("POST", "/connect", {"timeout": 9}),
    ):  # fmt: skip
        theirs = stranger.api(method, f"/sandboxes/{box['sandboxID']}{path}", body)
        nobodys = stranger.api(method, f"/sandboxes/{'i' + 19 * '0'}{path}", body)
        assert theirs.status_code == nobodys.status_code == 404
    assert stranger.api("GET", "/v2/sandboxes").json() == []
    assert stranger.api("GET", f"/sandboxes/{box['sandboxID']}/logs").status_code == 404
    other = stranger.create()
    try:
        for guess in ("", "x", other["envdAccessToken"], service.token):
            answer = stranger.rpc({**box, "envdAccessToken": guess}, "process.Process/List", {})
            assert answer.status_code == 502
    finally:
        stranger.kill(other)


def test_a_token_that_reads_only_makes_and_reaches_nothing(
    service: Service, caller: Caller, box: dict[str, str]
) -> None:
    body = {"name": "reader", "role": "read", "expires_in": 3600}
    made = httpx2.post(f"{service.url}/api/v1/tokens", json=body, headers={"Authorization": f"Bearer {caller.token}"})
    with Caller(service, made.json()["token"]) as reader:
        assert [one["sandboxID"] for one in reader.api("GET", "/v2/sandboxes").json()] == [box["sandboxID"]]
        assert "envdAccessToken" not in reader.api("GET", f"/sandboxes/{box['sandboxID']}").text
        for method, path in (
            ("POST", ""),
            ("POST", f"/{box['sandboxID']}/connect"),
            ("DELETE", f"/{box['sandboxID']}"),
        ):
            assert reader.api(method, f"/sandboxes{path}", {"timeout": 60}).status_code == 403


def test_no_path_or_link_leads_out(service: Service, caller: Caller, box: dict[str, str]) -> None:
    secret = service.folder / "secret.txt"
    secret.write_text("secret")
    caller.run(box, f"ln -s {secret} link; ln -s / root; ln -s /proc/self/root/ proc; mkfifo pipe; ln -s loop loop")
    up = "../" * 20
    for path in (
        str(secret), f"{up}{secret}", "link", f"root/{secret}", f"proc/{secret}", str(service.folder / "data/secret"),
        "/etc/shadow", "/dev/zero", "pipe", "loop", "x\0y", "/home/user", "",
    ):  # fmt: skip
        answer = caller.http.get("/sandbox/files", params={"path": path}, headers=headers_of(box))
        assert answer.status_code in (400, 403, 404), (path, answer.text)
    for path in (str(secret), "link", "/etc/passwd", "/usr/bin/x", "pipe"):
        caller.http.post("/sandbox/files", params={"path": path}, files={"file": b"changed"}, headers=headers_of(box))
    assert secret.read_text() == "secret"
    assert not Path("/usr/bin/x").exists()


def test_what_fills_the_disk_is_ended(caller: Caller, box: dict[str, str]) -> None:
    events = caller.run(box, "head -c 200000000 /dev/zero > big; sleep 100")
    assert events[-1]["error"]["code"] == "resource_exhausted"
    assert "64 MiB" in events[-1]["error"]["message"]
    assert (
        caller.http.post(
            "/sandbox/files", params={"path": "x"}, files={"file": b"x"}, headers=headers_of(box)
        ).status_code
        == 507
    )
    assert caller.rpc(box, "filesystem.Filesystem/Remove", {"path": "big"}).status_code == 200
    assert caller.run(box, "true")[-1] == {}


def test_a_file_that_is_too_large_is_refused(caller: Caller, box: dict[str, str]) -> None:
    # Empty: one byte in each would be more than the disk that a sandbox has here.
    assert caller.run(box, "truncate -s 900M sparse; seq 10001 | xargs touch")[-1] == {}
    answer = caller.http.get("/sandbox/files", params={"path": "sparse"}, headers=headers_of(box))
    assert (answer.status_code, answer.json()["code"]) == (413, 413)
    answer = caller.rpc(box, "filesystem.Filesystem/ListDir", {"path": "/home/user"})
    assert (answer.status_code, answer.json()["code"]) == (429, "resource_exhausted")


@pytest.mark.long
def test_a_flood_of_commands_output_and_processes_is_bounded(caller: Caller, box: dict[str, str]) -> None:
    with ThreadPoolExecutor(12) as threads:
        ends = [found[-1] for found in threads.map(lambda _: caller.run(box, "sleep 2"), range(12))]
    refused = [end for end in ends if "error" in end]
    assert refused
    assert all(end["error"]["code"] == "resource_exhausted" for end in refused)
    assert len(ends) - len(refused) <= 8
    late = caller.run(box, "sleep 100", timeout_ms=300)
    assert late[-1]["error"]["code"] == "deadline_exceeded"
    caller.run(box, ":(){ :|:& };:; sleep 1", timeout_ms=3000)
    # The sandbox may have no process left for another command; the service and other sandboxes have.
    caller.run(box, "true", timeout_ms=3000)
    other = caller.create()
    assert caller.run(other, "echo still")[1]["event"]["data"]["stdout"] == "c3RpbGwK"
    assert caller.kill(other) == 204
    # What a command leaves behind lives on, within the sandbox's limits.
    assert caller.kill(box) == 204
    assert marked(box) == []


def test_commands_together_have_the_limits_of_one_preview(caller: Caller, box: dict[str, str]) -> None:
    fill = "python3 -c 'import time; kept = bytearray(180_000_000); print(len(kept), flush=True); time.sleep(3)'"
    with ThreadPoolExecutor(4) as threads:
        ran = list(threads.map(lambda _: str(caller.run(box, fill, timeout_ms=8_000)), range(4)))
    # Four of them need more than PREVIEW_MEMORY_LIMIT_MB; each alone does not.
    assert any("killed" in one or "memory" in one for one in ran), ran
    # The kernel kills one of them, and the log says why; where the service watches the memory, the sandbox has ended.
    logged = caller.api("GET", f"/sandboxes/{box['sandboxID']}/logs")
    assert logged.status_code == 404 or "memory" in logged.text


def test_no_descriptor_of_a_command_is_a_socket(caller: Caller, box: dict[str, str]) -> None:
    """Through a socket a command could pass descriptors whose closing blocks the service."""
    said = caller.run(box, "ls -l /proc/self/fd | grep -c socket")
    assert base64.b64decode(said[1]["event"]["data"]["stdout"]) == b"0\n"


def test_a_sandbox_whose_first_process_is_killed_or_stopped_ends_or_says_so(caller: Caller) -> None:
    box = caller.create()
    caller.run(box, "kill -9 $PPID; sleep 5")
    while caller.rpc(box, "process.Process/List", {}).status_code != 502:
        pass
    box = caller.create()
    caller.run(box, "kill -STOP $PPID", timeout_ms=300)
    ended = caller.run(box, "true", timeout_ms=300)[-1]
    assert ended["error"]["code"] in {"deadline_exceeded", "unavailable"}
    assert caller.kill(box) == 204


def test_a_kill_in_the_middle_leaves_nothing(service: Service, caller: Caller) -> None:
    box = caller.create()
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(caller.run, box, "setsid sleep 1000 & sleep 1000") for _ in range(2)]
        while len(caller.rpc(box, "process.Process/List", {}).json()["processes"]) < 2:
            pass
        assert caller.kill(box) == 204
        assert marked(box) == []
        assert not (service.folder / FOLDERS / box["sandboxID"]).exists()
        for one in running:
            assert "error" in one.result()[-1] or "end" in str(one.result()[-2])
    assert caller.rpc(box, "process.Process/List", {}).status_code == 502


def test_nonsense_is_an_error_and_no_more(caller: Caller, box: dict[str, str]) -> None:
    for body in (b"", b"\0", b"\0\0\0\0\xff{}", b"\x01\0\0\0\x02{}", b"\0\0\0\0\x02[]", b"[" * 100_000):
        for kind in ("application/json", "application/connect+json", "application/proto"):
            answer = caller.http.post(
                "/sandbox/process.Process/Start", content=body, headers={**headers_of(box), "Content-Type": kind}
            )
            assert answer.status_code < 500 or answer.status_code == 501
    bodies: list[Any] = [{"timeout": "x"}, {"timeout": 1e308}, {"timeout": -1}, [], {"metadata": {"a": 1}}]
    for one in bodies:
        assert caller.api("POST", "/sandboxes", one).status_code == 400
    assert caller.api("GET", "/templates").status_code == 501
    assert caller.api("POST", f"/sandboxes/{box['sandboxID']}/pause").status_code == 501


def test_what_is_parsed_as_a_whole_is_small_and_uploads_are_few(caller: Caller, box: dict[str, str]) -> None:
    large = b'{"process": {"cmd": "true"}, "more": [' + b"0," * 1_000_000 + b"0]}"
    for kind, content in (
        ("application/json", large),
        ("application/connect+json", struct.pack(">BI", 0, len(large)) + large),
    ):
        answer = caller.http.post(
            "/sandbox/process.Process/Start", content=content, headers={**headers_of(box), "Content-Type": kind}
        )
        assert "larger than 1048576 bytes" in answer.text
    assert caller.api("POST", "/sandboxes", {"envVars": {"A": "x" * 300_000}}).status_code == 413
    for name, value in (("A=B", "x"), ("", "x"), ("A", "x\0")):
        assert caller.api("POST", "/sandboxes", {"envVars": {name: value}}).status_code == 400
    uploads = []
    for _ in range(8):
        stream = socket.create_connection((caller.http.base_url.host, caller.http.base_url.port or 80), timeout=30)
        uploads.append(stream)
        fields = {**headers_of(box), "Host": "localhost", "Content-Length": "1000"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        form = "Content-Type: multipart/form-data; boundary=x\r\n"
        stream.sendall(f"POST /e2b/sandbox/files HTTP/1.1\r\n{head}{form}\r\n--x\r\n".encode())
    answered, _, _ = select.select(uploads, [], [], 30)
    assert b" 429 " in answered[0].recv(1000)
    for stream in uploads:
        stream.close()


def test_it_is_off_unless_the_operator_turns_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREVIEW_E2B", raising=False)
    with serving(tmp_path) as plain:
        with Caller(plain, plain.token) as caller:
            answer = caller.api("POST", "/sandboxes", {})
        assert answer.status_code == 501
        assert "PREVIEW_E2B=true" in answer.json()["message"]


@pytest.mark.long
def test_a_killed_service_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_E2B", "true")
    with serving(tmp_path) as killed:
        with Caller(killed, killed.token) as caller, ThreadPoolExecutor(1) as threads:
            box = caller.create()
            running = threads.submit(caller.run, box, "setsid sleep 1000 & sleep 1000")
            while not marked(box):
                pass
            killed.kill()
            with pytest.raises(httpx2.HTTPError):
                running.result()
        while marked(box):
            pass
        killed.start()
        with Caller(killed, killed.token) as caller:
            assert caller.api("GET", "/v2/sandboxes").json() == []
        assert not (tmp_path / FOLDERS / box["sandboxID"]).exists()
