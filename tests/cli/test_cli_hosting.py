"""The edges of running the service in this process."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import structlog
import trio

from preview.cli.commands.run import _listen
from preview.cli.exits import CommandFailed
from preview.cli.hosting import configure_logging, run_async
from preview.cli.ports import can_bind
from preview.errors import ConfigurationError, LaunchFailed, PreviewError


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


@pytest.fixture
def _structlog_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_structlog_as_before")
def test_the_services_own_log_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    structlog.get_logger("a").info("hello", number=1)
    structlog.get_logger("a").debug("too quiet")
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["event"] == "hello"


@pytest.mark.usefixtures("_structlog_as_before")
def test_the_services_own_log_is_readable_by_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "console")
    structlog.get_logger("a").warning("careful", why="so")
    assert "careful why=so" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("_structlog_as_before")
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
