"""How a service begins and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import psutil
import pytest
from cli_service import PROGRAM, Started, serving, write_project

from preview.cli.entry import run
from preview.cli.exits import ExitCode
from preview.cli.local.hosting import reachable


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> dict[str, str]:
    made = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PREVIEW_URL", raising=False)
    monkeypatch.delenv("PREVIEW_TOKEN", raising=False)
    return made


def test_without_a_service_the_commands_say_how_to_start_one(
    folders: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ls"]) == ExitCode.NO_SERVICE
    assert "start one with `preview serve`" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:eight", ":", "127.0.0.1:65536", "[::1]:"])
def test_an_address_that_is_none_is_refused_before_anything_starts(
    address: str, folders: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--bind", address]) == ExitCode.USAGE
    assert "is not an address to listen on; write HOST:PORT" in capsys.readouterr().err
    assert not Path(folders["PREVIEW_DATA_DIR"]).exists()


def test_the_first_start_makes_folder_and_secret_for_the_owner_alone(folders: dict[str, str]) -> None:
    with serving(folders):
        data = Path(folders["PREVIEW_DATA_DIR"])
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert {stat.S_IMODE((data / name).stat().st_mode) for name in ("secret", "service.json")} == {0o600}


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_signal_ends_it_with_0_and_leaves_no_preview(
    number: signal.Signals, folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(folders) as started:
        run(["push", str(write_project(tmp_path / "shop"))])
        generation = capsys.readouterr().out.strip()
        assert run(["launch", generation, "--wait", "60"]) == 0
        children = psutil.Process(started.process.pid).children(recursive=True)
        follower = subprocess.Popen([*PROGRAM, "logs", generation, "-f", "--json"], stdout=subprocess.PIPE, text=True)
        assert follower.stdout is not None
        follower.stdout.readline()
        started.process.send_signal(number)
        assert started.process.wait(timeout=60) == 0
        lines, _ = follower.communicate(timeout=60)
    assert children
    # What ends with the service is reaped by the machine's first process, a moment later.
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert json.loads(lines.splitlines()[-1])["event"] == "end"
    assert run(["ls"]) == ExitCode.NO_SERVICE


def own_log(started: Started) -> list[tuple[str, str | None]]:
    """Event and ``by`` of each line about previews that an ended service has written."""
    _, written = started.process.communicate(timeout=60)
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    return [(line["event"], line.get("by")) for line in lines if line["event"].startswith("preview ")]


@pytest.mark.long
def test_its_own_log_has_one_end_for_each_preview_after_kill_9_too(
    folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders["PREVIEW_SERVICE_LOG_FORMAT"] = "json"
    with serving(folders) as started:
        run(["push", str(write_project(tmp_path / "shop"))])
        generation = capsys.readouterr().out.strip()
        assert run(["launch", generation, "--wait", "60"]) == 0
        started.process.kill()
        first = own_log(started)
    with serving(folders) as started:
        assert run(["launch", generation, "--wait", "60"]) == 0
        started.process.send_signal(signal.SIGTERM)
        second = own_log(started)
    begun = [("preview launched", None), ("preview running", None)]
    assert first == begun
    assert second == [("preview failed", "service"), *begun, ("preview stopped", "shutdown")]


def test_after_kill_9_the_next_start_finds_its_way(
    folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(folders) as started:
        run(["push", str(write_project(tmp_path / "shop"))])
        generation = capsys.readouterr().out.strip()
        assert run(["launch", generation, "--wait", "60"]) == 0
        children = psutil.Process(started.process.pid).children(recursive=True)
        started.process.kill()
        started.process.wait()
    assert run(["ls"]) == ExitCode.NO_SERVICE
    capsys.readouterr()
    with serving(folders):
        assert psutil.wait_procs(children, timeout=5)[1] == []
        assert run(["ls", "--json"]) == 0
        states = [one["status"] for one in json.loads(capsys.readouterr().out)["previews"]]
        assert states in (["stopped"], ["failed"])
        assert run(["logs", generation]) == 0
        assert "hello from the app" in capsys.readouterr().out


def test_an_address_that_is_taken_is_one_sentence(folders: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*PROGRAM, "serve", "--bind", bind], capture_output=True, text=True, timeout=60, env=dict(os.environ)
        )
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.splitlines()[-1].startswith(f"preview: Cannot listen on {bind}")
    assert "Traceback" not in done.stderr


def test_hypercorns_own_file_is_honoured(folders: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "hypercorn.toml"
    config.write_text("nonsense = 1\n")
    done = subprocess.run(
        [*PROGRAM, "serve", "--config", str(config)], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert done.returncode == ExitCode.USAGE
    assert "nonsense" in done.stderr


def test_it_announces_itself_to_a_person(folders: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--bind", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    assert lines[1].startswith("  Service  http://127.0.0.1:")
    assert "/login/" in lines[2]


def test_open_opens_the_page(folders: dict[str, str], tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    with serving({**folders, "BROWSER": str(browser)}, "--open") as started:
        pass
    assert opened.read_text() == started.login


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("http://0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("http://[::]:8000", "http://[::1]:8000"),
        ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
    ],
)
def test_a_wildcard_is_no_destination(address: str, reached: str) -> None:
    assert reachable(address) == reached
