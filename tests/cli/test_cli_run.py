"""``preview run``: the whole job, as a person has it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest
from cli_service import PROGRAM, without_remark, write_project

from preview.cli.entry import run
from preview.cli.exits import ExitCode

pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "shop")


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*PROGRAM, "run", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def running_with(project: Path, **variables: str) -> Iterator[None]:
    """A run that is ready, in an environment with these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with running(str(project), "--json") as process:
            ready(process)
            yield


def until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Lines up to the one that holds ``word``."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if word in line:
            return lines
    raise AssertionError("\n".join(lines))


def ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(until(process, '"event": "ready"')[-1])
    return event


def still_there(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run; of one that has ended only its adoptive parent knows, which nobody tells to look."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_it_tells_the_launch_the_addresses_the_output_and_the_end(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(str(project)) as process:
        lines = until(process, "Ctrl-C")
        example = next(line for line in lines if "  Try" in line).split("curl ")[1]
        assert example.endswith("/books")
        urlopen(f"{example}?q=tea", timeout=60).close()
        until(process, "asked for tea")
        # The other commands find it.
        assert run(["services", "shop"]) == ExitCode.OK
        assert run(["fork", "shop"]) == ExitCode.CONFLICT
        assert "cannot be forked here; with `preview serve`" in capsys.readouterr().err
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert any(line.endswith("| hello from the app") for line in lines)
    assert any(" * " in line for line in lines)
    assert re.fullmatch(r"stopped; 1 process, port 3\d+ and 1 folder freed", out.splitlines()[-1])
    assert without_remark(error) == ""
    assert "\x1b" not in "".join(lines) + out


def test_nothing_is_left_behind(project: Path, tmp_path: Path) -> None:
    with running(str(project), "--json") as process:
        base_url = ready(process)["base_url"]
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    freed = json.loads(out.splitlines()[-1])
    assert (freed["event"], freed["left"], freed["processes"]) == ("freed", [], 1)
    assert children
    assert still_there(children) == []
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", int(base_url.rpartition(":")[2])))


def test_a_preview_that_cannot_start_is_exit_code_1_with_its_reason(tmp_path: Path) -> None:
    broken = "from fastapi import FastAPI\napp = FastAPI()\nraise RuntimeError('why')\n"
    with running(str(write_project(tmp_path / "broken", broken))) as process:
        out, error = process.communicate(timeout=60)
    assert process.returncode == ExitCode.FAILED
    # Once as it printed it, once as the reason of the end.
    assert sum(line.endswith("| RuntimeError: why") for line in out.splitlines()) == 1
    assert without_remark(error) == (
        "preview: The process ended with exit code 1 before it answered: RuntimeError: why (main.py line 3)\n"
    )


def test_a_preview_that_dies_is_exit_code_1(project: Path) -> None:
    with running(str(project), "--json") as process:
        base_url = ready(process)["base_url"]
        with pytest.raises((URLError, ConnectionError)):
            urlopen(f"{base_url}/die", timeout=60)
        out, error = process.communicate(timeout=60)
    assert process.returncode == ExitCode.FAILED
    end = next(event for line in out.splitlines() if (event := json.loads(line))["event"] == "end")
    assert (end["status"], end["exit_code"]) == ("failed", 3)
    assert "3" in error


@pytest.mark.long
def test_a_preview_whose_time_is_over_is_no_failure(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_MAX_UPTIME", "8")
    with running(str(project), "--json") as process:
        out, error = process.communicate(timeout=60)
    assert (process.returncode, without_remark(error)) == (0, "")
    assert "time limit reached" in out.splitlines()[-1]


@pytest.mark.long
def test_a_second_signal_hurries(tmp_path: Path) -> None:
    stubborn = (
        "import signal\nfrom fastapi import FastAPI\napp = FastAPI()\n"
        "@app.on_event('startup')\nasync def ignore() -> None:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    )
    with running(str(write_project(tmp_path / "stubborn", stubborn)), "--json") as process:
        ready(process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        until(process, '"event": "stopping"')
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode in {ExitCode.INTERRUPTED, ExitCode.OK}
    assert still_there(children) == []


@pytest.mark.long
def test_two_runs_at_once_have_their_own_places(project: Path) -> None:
    with running(str(project), "--json") as first, running(str(project), "--json") as second:
        one, two = ready(first), ready(second)
        assert one["base_url"] != two["base_url"]
        assert one["page"].partition("/login")[0] != two["page"].partition("/login")[0]


def test_what_a_killed_run_left_is_cleaned_up_by_the_next(project: Path, tmp_path: Path) -> None:
    with running(str(project), "--json") as killed:
        ready(killed)
        children = psutil.Process(killed.pid).children(recursive=True)
        killed.kill()
        killed.wait()
    with running(str(project), "--json") as process:
        ready(process)
        assert still_there(children) == []
        assert [path.name for path in (tmp_path / "data" / "run").iterdir()] == ["0"]


def test_other_users_see_nothing_of_a_run_that_makes_the_data_folder(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    with running_with(project, PREVIEW_DATA_DIR=str(data)):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data, *(data / "run" / "0").glob("*.db*"))}
    assert modes.pop("data") == 0o700
    assert len(modes) >= 2
    assert set(modes.values()) == {0o600}


def test_a_reader_that_goes_away_ends_it_quietly(project: Path) -> None:
    with running(str(project)) as process:
        address = next(line.split()[1] for line in until(process, "Ctrl-C") if line.startswith("  Preview"))
        assert process.stdout is not None
        assert process.stderr is not None
        children = psutil.Process(process.pid).children(recursive=True)
        process.stdout.close()
        urlopen(f"{address}/books", timeout=60).close()
        assert process.wait(timeout=60) == ExitCode.FAILED
        assert without_remark(process.stderr.read()) == ""
    assert still_there(children) == []


@pytest.mark.parametrize(("target", "said"), [("nowhere", "There is no folder"), ("file", "is a file")])
def test_what_is_no_folder_is_a_mistake(
    target: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["run", str(tmp_path / target)]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_folder_without_a_backend_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with running(str(tmp_path / "empty")) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == ExitCode.FAILED
    error = without_remark(error)
    assert error.startswith("preview: ")
    assert error.count("\n") == 1


def test_a_taken_port_is_named_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([*PROGRAM, "run", ".", "--port", str(port)], capture_output=True, text=True, check=False)
    said = f"preview: The port {port} cannot be used (Address already in use); choose another one with --port.\n"
    assert (done.returncode, done.stderr) == (1, said)
