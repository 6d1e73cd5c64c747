"""A service over TLS whose certificate a private authority has signed."""

from __future__ import annotations

import importlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme
from typer.main import get_command

from preview.cli.entry import COMMANDS, run
from preview.cli.exits import ExitCode


class Handler(BaseHTTPRequestHandler):
    def do_DELETE(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PREVIEW_TOKEN", "t")
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("PREVIEW_CA", raising=False)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(context) as url:
        yield url


def test_the_authority_is_believed_that_the_option_or_else_the_variable_names(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ca, other = str(tmp_path / "ca.pem"), str(tmp_path / "other.pem")
    asked = ["stop", "gen_x", "--url", service]
    assert run(asked) == ExitCode.NO_SERVICE
    assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err
    assert run([*asked, "--ca", ca]) == ExitCode.OK
    monkeypatch.setenv("PREVIEW_CA", ca)
    assert run(asked) == ExitCode.OK
    assert run([*asked, "--ca", other]) == ExitCode.NO_SERVICE


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_holds_no_certificate_is_a_mistake(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREVIEW_TOKEN", "t")
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    assert run(["ls", "--url", "https://localhost:1", "--ca", str(file)]) == ExitCode.USAGE
    assert f"--ca ({file}) cannot be used as a certificate in PEM form: " in capsys.readouterr().err


def test_each_command_that_asks_a_service_takes_its_authority() -> None:
    loaded = {
        name: get_command(importlib.import_module(f"preview.cli.commands.{entry.module}").app)
        for name, entry in COMMANDS.items()
    }
    # Of a group, its commands.
    commands = [one for made in loaded.values() for one in getattr(made, "commands", {"": made}).values()]
    options = [{option for param in one.params for option in param.opts} for one in commands]
    assert [given for given in options if ("--url" in given) is not ("--ca" in given)] == []
    clients = [name for name, entry in COMMANDS.items() if entry.panel not in ("Start", "Maintenance")]
    of_clients = [one for name in clients for one in getattr(loaded[name], "commands", {"": loaded[name]}).values()]
    assert all("--url" in {option for param in one.params for option in param.opts} for one in of_clients)
