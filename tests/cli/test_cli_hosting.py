"""The edges of running the service in this process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
import trio

from preview.cli.commands.run import _listen
from preview.cli.exits import CommandFailed
from preview.cli.local.hosting import configure_logging
from preview.cli.local.run_async import run_async
from preview.errors import ConfigurationError, LaunchFailed, PreviewError
from preview.runtime.listener import can_bind


async def fail_with(*errors: Exception) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async with trio.open_nursery() as nursery:
        for error in errors:
            nursery.start_soon(fail, error)


def test_a_failure_comes_out_of_its_groups() -> None:
    with pytest.raises(LaunchFailed, match="once"):
        run_async(lambda: fail_with(LaunchFailed("once")))


def test_of_several_failures_on_purpose_one_is_told() -> None:
    with pytest.raises(PreviewError, match="x"):
        run_async(lambda: fail_with(LaunchFailed("x"), ConfigurationError("x")))


def test_a_mistake_among_them_is_not_hidden() -> None:
    with pytest.RaisesGroup(LaunchFailed, ValueError, flatten_subgroups=True):
        run_async(lambda: fail_with(LaunchFailed("x"), ValueError("mistake")))


def test_the_page_takes_the_next_port_where_the_first_is_taken() -> None:
    with _listen(None) as first, _listen(None) as second:
        one, two = first.getsockname()[1], second.getsockname()[1]
    assert 8000 <= one < two


def test_a_port_asked_for_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandFailed, match=f"port {port} cannot be used .*--port"):
            _listen(port)


def test_without_any_port_the_sentence_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.cli.commands.run._PORTS", range(0))
    with pytest.raises(CommandFailed, match="--port"):
        _listen(None)


def test_the_services_own_log_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    structlog.get_logger("a").info("hello", number=1)
    structlog.get_logger("a").debug("too quiet")
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["event"] == "hello"


def test_the_services_own_log_is_readable_by_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "console")
    structlog.get_logger("a").warning("careful", why="so")
    assert "careful why=so" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_variables_held_is_not_in_the_log_of_an_error(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", log_format)
    secret = "sesame" * 2
    try:
        int(f"{len(secret)} characters")
    except ValueError:
        structlog.get_logger("a").exception("it failed")
    said = capsys.readouterr().err
    assert "12 characters" in said
    assert "sesamesesame" not in said


def test_a_taken_port_cannot_be_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not can_bind("127.0.0.1", taken.getsockname()[1])


FROZEN = """
import gc, sys, trio
from pathlib import Path
from preview.cli.local.hosting import open_host
from preview.settings import Settings
async def main():
    settings = Settings(data_dir=Path(sys.argv[1]), cache_dir=Path(sys.argv[1]) / "cache")
    async with open_host(settings, bind="127.0.0.1:0"):
        gc.collect()
        print("frozen", gc.get_freeze_count() > len(gc.get_objects()))
trio.run(main)
"""


@pytest.mark.long
def test_what_imports_have_made_is_left_alone_when_garbage_is_collected(tmp_path: Path) -> None:
    """Else each full collection stops all streams for as long as it takes to go through all modules."""
    argv = [sys.executable, "-c", FROZEN, str(tmp_path / "data")]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert "frozen True\n" in ran.stdout, ran.stderr
