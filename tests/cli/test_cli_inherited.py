"""Sockets that a service manager passes: wrong ones first, then a restart during which no client is refused."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_service import PROGRAM
from user_session import in_session, python

from preview.cli.deploying.choices import make_deployment
from preview.cli.deploying.files import make_files
from preview.cli.local.own_range import Outside
from preview.cli.local.serving import Serving, run_service
from preview.errors import ConfigurationError
from preview.http.protocol import inherited
from preview.http.protocol.inherited import take_inherited_sockets
from preview.settings import load_settings

_PATIENCE_S = 90


def passed(count: str, pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": "x", "HOME": "/"}


@pytest.mark.parametrize("count", ["", "0", "-1", "1.5", "x", "101", "9" * 50, "²"])
def test_a_wrong_count_is_one_sentence(count: str) -> None:
    environment = passed(count)
    with pytest.raises(ConfigurationError, match="no number of sockets"):
        take_inherited_sockets(environment)
    assert environment == {"HOME": "/"}


def test_variables_of_another_process_mean_nothing() -> None:
    environment = passed("1", pid=1)
    assert take_inherited_sockets(environment) == []
    assert environment == {"HOME": "/"}
    assert take_inherited_sockets({}) == []


# Becomes the program, with descriptor 3 and the variables of sd_listen_fds(3).
_PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


def start(listener: int, folders: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """The service with this descriptor as its only passed one, as systemd starts it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    return subprocess.Popen(
        [sys.executable, "-c", _PASS, str(listener), *PROGRAM, "serve", "--json", *arguments],
        env=environment | folders,
        pass_fds=[listener],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_what_is_no_listening_socket_is_not_taken(kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch) -> None:
    # Bound, but not listening, or no stream.
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        monkeypatch.setattr(inherited, "_FIRST", sock.fileno())
        with pytest.raises(ConfigurationError, match="is no listening stream socket"):
            inherited.take_inherited_sockets(passed("1"))
        assert sock.fileno() >= 0
        assert sock.getsockname()
    # Closed, or a file.
    with Path("/dev/null").open() as file:
        for number in (file.fileno(), 999_999):
            monkeypatch.setattr(inherited, "_FIRST", number)
            with pytest.raises(ConfigurationError, match="is no listening stream socket"):
                inherited.take_inherited_sockets(passed("1"))


def test_an_address_beside_passed_sockets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(inherited, "_FIRST", listener.fileno())
        listener.set_inheritable(True)
        for name, value in passed("1").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match="omit --bind"):
            run_service(load_settings(), Serving("127.0.0.1:1", None, False, False), Outside(None))
        assert not listener.get_inheritable()


@contextmanager
def asking(address: tuple[str, int]) -> Iterator[list[str]]:
    """Ask for the health of the service again and again, each time on a new connection; yields the answers."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                with socket.create_connection(address, timeout=_PATIENCE_S) as sock:
                    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answers.append(sock.recv(100).split(b"\r\n")[0].decode())
            except OSError as error:
                answers.append(f"{type(error).__name__} {error}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(_PATIENCE_S)


@pytest.mark.long
def test_no_client_is_refused_while_the_service_restarts(tmp_path: Path) -> None:
    folders = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(tmp_path / "cache")}
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, asking(listener.getsockname()) as answers:
        service = start(listener.fileno(), folders)
        try:
            assert service.stdout is not None
            line = service.stdout.readline()
            assert json.loads(line)["url"] == f"http://127.0.0.1:{listener.getsockname()[1]}"
            seen = len(answers)
            while len(answers) < seen + 3:
                threading.Event().wait(0.01)
        finally:
            service.send_signal(signal.SIGTERM)
            service.communicate(timeout=_PATIENCE_S)
        assert service.returncode == 0
        # Somebody waits already.
        again = start(listener.fileno(), folders)
        assert again.stdout is not None
        again.stdout.readline()
        seen = len(answers)
        while len(answers) < seen + 3:
            threading.Event().wait(0.01)
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=_PATIENCE_S)
    assert {one.strip() for one in answers} == {"HTTP/1.1 200"}, set(answers)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="no systemd-socket-activate")
def test_systemd_s_own_program_starts_the_service_upon_the_first_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = found.getsockname()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    passed_on = [f"--setenv={name}" for name in ("PATH", "HOME") if name in environment]
    passed_on += [f"--setenv=PREVIEW_DATA_DIR={tmp_path / 'data'}", f"--setenv=PREVIEW_CACHE_DIR={tmp_path / 'cache'}"]
    command = [
        "systemd-socket-activate",
        f"--listen={address[0]}:{address[1]}",
        *passed_on,
        *PROGRAM,
        "serve",
        "--json",
    ]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as service:
        try:
            assert service.stderr is not None
            assert b"Listening on" in service.stderr.readline()
            with socket.create_connection(address, timeout=_PATIENCE_S) as sock:
                sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert sock.recv(100).startswith(b"HTTP/1.1 200")
        finally:
            service.send_signal(signal.SIGTERM)
            service.communicate(timeout=_PATIENCE_S)
    assert service.returncode == 0


# In the session of a user with a real systemd: its argument is the folder of units, and the port.
_RESTARTS = """
import http.client, json, os, subprocess, sys, threading
from pathlib import Path

folder, port = Path(sys.argv[1]), int(sys.argv[2])
units = Path(os.environ["XDG_RUNTIME_DIR"]) / "systemd" / "user"
units.mkdir(parents=True)
for one in folder.iterdir():
    (units / one.name).write_text(one.read_text())

def systemctl(*arguments):
    subprocess.run(["systemctl", "--user", *arguments], check=True)

systemctl("daemon-reload")
systemctl("start", "preview.socket")
answers, over = [], threading.Event()

def ask():
    while not over.is_set():
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
            connection.request("GET", "/healthz", headers={"Host": "localhost", "Connection": "close"})
            answers.append(str(connection.getresponse().status))
        except Exception as error:
            answers.append(f"{type(error).__name__} {error}")

def pids():
    done = subprocess.run(["systemctl", "--user", "show", "preview.service", "--property=MainPID", "--value"],
                          capture_output=True, text=True, check=True)
    return int(done.stdout)

threads = [threading.Thread(target=ask) for _ in range(4)]
for one in threads:
    one.start()
seen = set()
for _ in range(2):
    before = len(answers)
    while len(answers) < before + 20:
        threading.Event().wait(0.01)
    seen.add(pids())
    systemctl("restart", "preview.service")
over.set()
for one in threads:
    one.join(90)
systemctl("stop", "preview.socket", "preview.service")
print(json.dumps([sorted(set(answers)), len(answers), len(seen)]))
"""
# What the manager of a user cannot do: other users, folders of the machine, and most restrictions.
_KEPT = re.compile(r"^(\[|Description|Requires|After=preview|Type|ExecStart|KillMode|Timeout|Restart|ListenStream"
                   r"|NoDelay|Backlog|Limit|UMask|Delegate)")  # fmt: skip


@pytest.mark.long
def test_a_real_systemd_restarts_the_service_and_no_client_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    settings = {"DATA_DIR": tmp_path / "data", "CACHE_DIR": tmp_path / "cache"}
    environment = "".join(f"Environment=PREVIEW_{name}={value}\n" for name, value in settings.items())
    program = shlex.join(PROGRAM)
    units = tmp_path / "units"
    units.mkdir()
    for file in make_files(make_deployment(kind="systemd", domain="preview.example.com")):
        if file.name in {"preview.service", "preview.socket"}:
            text = "".join(line for line in file.content.splitlines(keepends=True) if _KEPT.match(line))
            text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("/opt/preview/bin/preview", program)
            (units / file.name).write_text(text.replace("[Service]\n", f"[Service]\n{environment}"))
    tmp_path.chmod(0o777)
    for one in (tmp_path, *tmp_path.parents):
        if one.stat().st_mode & 0o777 == 0o700:
            one.chmod(0o755)
    done = in_session(*python(_RESTARTS), str(units), str(port), timeout_s=400)
    assert done.returncode == 0, done.stderr[-2000:]
    answers, count, processes = json.loads(done.stdout)
    assert answers == ["200"]
    assert count >= 40
    assert processes == 2
