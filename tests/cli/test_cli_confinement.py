"""``--network``, ``--loopback-port`` and ``--isolation``: what they decide, and what a project may not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from cli_service import PROGRAM, without_remark

from preview.cli.entry import run
from preview.cli.exits import ExitCode, UsageMistake
from preview.cli.local.own_settings import own_settings
from preview.cli.overrides import overrides_from_options, start_body
from preview.cli.tokens import confinement, name_option, wanted_network
from preview.core.isolation import Isolation, Network
from preview.errors import InvalidGeneration

# Answers with what it could read from a port of the machine's loopback.
MAIN_PY = """
import http.server, os, socket, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            with socket.create_connection(("127.0.0.1", int(os.environ["ASKED"])), timeout=5) as one:
                said = one.recv(100)
        except OSError as error:
            said = type(error).__name__.encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said or b"closed")

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN_PY)
    return folder


def asks(folder: Path, network: str) -> Path:
    (folder / "preview.toml").write_text(f'[start]\nnetwork = "{network}"\n')
    return folder


@contextmanager
def greeter() -> Iterator[int]:
    """A server of this machine that says one word to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"welcome")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@contextmanager
def answering(folder: Path, *options: str) -> Iterator[str]:
    """Its address, once it answers."""
    command = [*PROGRAM, "run", str(folder), "--command", "python main.py", "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if '"event": "ready"' in line:
                yield json.loads(line)["base_url"]
                break
        else:
            raise AssertionError("".join(lines))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def read(url: str) -> str:
    with urlopen(url, timeout=60) as answer:
        text: bytes = answer.read()
        return text.decode()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--loopback-port"], "welcome"),
        pytest.param(
            ["--network", "none"],
            "ConnectionRefusedError",
            marks=pytest.mark.skipif(shutil.which("bwrap") is None, reason="no sandbox: bwrap is not installed"),
        ),
        (["--network", "host"], "welcome"),
    ],
)
def test_what_the_person_allows_is_what_the_backend_reaches(given: list[str], said: str, project: Path) -> None:
    with greeter() as port:
        options = [*given, str(port)] if given == ["--loopback-port"] else given
        with answering(project, "--env", f"ASKED={port}", *options) as url:
            assert read(url) == said


@pytest.mark.parametrize(("network", "option"), [("host", "--network host"), ("loopback-only", "--loopback-port PORT")])
def test_a_project_that_asks_for_more_is_refused_with_the_option_that_allows_it(
    network: str, option: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", str(asks(project, network))]) == ExitCode.FAILED
    said = without_remark(capsys.readouterr().err)
    assert said.count("\n") == 1
    assert f'asks for network = "{network}"' in said
    assert f"Allow it with {option}, or run it without network: --network none." in said


def test_other_refusals_of_a_project_are_not_about_an_option() -> None:
    assert name_option(InvalidGeneration("no")) is None


def test_what_is_said_wins_over_the_project() -> None:
    overrides = overrides_from_options(None, None, None, Network.NONE)
    assert overrides is not None
    assert overrides.network is Network.NONE


def test_a_launch_asks_in_its_request() -> None:
    assert start_body(None, None, None, Network.HOST) == {"start": {"network": "host"}}


def test_settings_come_from_what_was_given_alone() -> None:
    assert confinement(None, None, None) == {}
    assert confinement(Network.HOST, None, Isolation.PLAIN) == {"network": Network.HOST, "isolation": Isolation.PLAIN}
    assert confinement(None, [5432, 6379, 5432], None) == {
        "network": Network.LOOPBACK_ONLY,
        "loopback_ports": (5432, 6379),
    }


def test_they_win_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_NETWORK", "host")
    monkeypatch.setenv("PREVIEW_LOOPBACK_PORTS", "5001,5002")
    settings = own_settings(tmp_path, confinement(None, [5003], Isolation.REQUIRE), None, is_watched=False)
    assert (settings.network, settings.loopback_ports) == (Network.LOOPBACK_ONLY, (5003,))
    assert settings.isolation is Isolation.REQUIRE


@pytest.mark.parametrize("network", [Network.NONE, Network.HOST])
def test_a_port_and_another_network_contradict_each_other(network: Network) -> None:
    with pytest.raises(UsageMistake, match=f"not with --network {network}"):
        wanted_network(network, [5432])


def test_loopback_only_without_a_port_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageMistake, match="add --loopback-port PORT"):
        wanted_network(Network.LOOPBACK_ONLY, None)
    monkeypatch.setenv("PREVIEW_LOOPBACK_PORTS", "5432")
    assert wanted_network(Network.LOOPBACK_ONLY, None) is Network.LOOPBACK_ONLY


@pytest.mark.parametrize("options", [["--network", "some"], ["--isolation", "total"], ["--loopback-port", "0"]])
def test_a_word_that_is_no_choice_is_a_mistake_of_the_command_line(
    options: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", str(project), *options]) == ExitCode.USAGE
    assert options[0] in capsys.readouterr().err
    assert run(["serve", *options]) == ExitCode.USAGE
