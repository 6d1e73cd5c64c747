"""``preview serve`` as root of an ordinary user's range of ids: the real program, unshare and newuidmap."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from cli_service import PROGRAM, Started, serving, write_project

from preview.cli.data_folder import read_note
from preview.cli.local import own_range
from preview.cli.local.own_range import Outside, enter_range, read_outside, try_range
from preview.core.env_file import EnvFile
from preview.runtime.sandbox import NoRange
from preview.settings import Settings

_FIRST, _LAST = 100_000, 4_000_000_000


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PREVIEW_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PREVIEW_MAX_INSTANCES_PER_USER", "2")
    return tmp_path / "data"


@pytest.fixture
def in_range(data: Path) -> Path:
    lack = try_range(Settings(data_dir=data))
    if lack is not None:
        pytest.skip(f"serve cannot enter a range of ids here: {lack.reason}")
    return data


def id_map(pid: int) -> list[list[int]]:
    return [list(map(int, line.split())) for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines()]


def client(*arguments: str) -> str:
    """A command outside of the range, as the user gives it."""
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def killed_later(started: Started) -> Iterator[list[int]]:
    """Descriptors of all processes of the service, then it is killed; at the end they must have ended."""
    children = psutil.Process(started.process.pid).children(recursive=True)
    yield [one.pid for one in children]
    started.process.kill()
    started.process.wait()
    assert psutil.wait_procs(children, timeout=30)[1] == []


def two_previews(tmp_path: Path) -> None:
    for name in ("one", "two"):
        if not (tmp_path / name).exists():
            write_project(tmp_path / name)
        generation = json.loads(client("push", str(tmp_path / name), "--json"))["id"]
        client("launch", generation, "--wait", "60")


def owners(data: Path) -> set[int]:
    return {folder.lstat().st_uid for folder in data.glob("previews/*/project")}


def of_others(folder: Path) -> list[str]:
    command = ["find", str(folder), "!", "-uid", str(os.geteuid())]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def test_each_preview_has_its_own_user_and_a_kill_leaves_no_process(in_range: Path, tmp_path: Path) -> None:
    """Also: a folder that was used by one user works inside, and the next start inside removes all folders."""
    with serving({}, "--one-user") as started:
        assert id_map(started.process.pid)[0][2] > _LAST
    with serving({}) as started:
        # The same process, which is still the user's for the machine.
        assert id_map(started.process.pid)[0] == [0, os.geteuid(), 1]
        assert read_note(in_range) is not None
        two_previews(tmp_path)
        users = owners(in_range) - {os.geteuid()}
        assert len(users) == 2
        assert min(users) >= _FIRST
        with killed_later(started) as pids:
            running = {Path(f"/proc/{pid}").stat().st_uid for pid in pids}
            assert users <= running
    assert of_others(in_range) != []
    with serving({}, "--one-user") as started:
        pass
    # The sentence names the command that helps, and the command does.
    assert started.process.returncode == 0
    assert of_others(in_range) != []
    with serving({}) as started:
        assert of_others(in_range) == []
        assert list(in_range.glob("previews/*")) == []


def test_a_service_of_one_user_names_the_command_that_removes_the_folders(in_range: Path) -> None:
    for folder in ("previews/preview_left/project", "storage/previews/preview_left"):
        (in_range / folder).mkdir(parents=True)
        (in_range / folder / "file").touch()
    left = [str(in_range / "previews/preview_left/project"), str(in_range / "storage/previews/preview_left")]
    subprocess.run([*own_range.ENTER, "chown", "-R", "3000:3000", *left], check=True, timeout=60)
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--json", "--bind", "127.0.0.1:0", "--one-user"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert "Traceback" not in said
    assert said.count("folders of other users left") == 1
    # No try to remove what cannot be removed.
    assert "not removed" not in said
    command = re.search(r"`(unshare [^`]+)`", said)
    assert command is not None, said
    assert of_others(in_range) != []
    subprocess.run(command[1], shell=True, check=True, timeout=60)
    assert of_others(in_range) == []


def test_open_runs_the_browser_as_the_user(in_range: Path, tmp_path: Path) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    os.mkfifo(opened)
    browser.write_text(f'#!/bin/sh\necho "$(id -u) $1" > {opened}\n')
    browser.chmod(0o755)
    with serving({"BROWSER": str(browser)}, "--open") as started:
        # Blocks until the browser writes.
        assert opened.read_text().split() == [str(os.geteuid()), started.login]


def test_inside_the_user_and_its_database_role_keep_their_names(in_range: Path) -> None:
    with serving({}) as started:
        said = Path(f"/proc/{started.process.pid}/environ").read_bytes().split(b"\0")
        names = dict(one.decode().partition("=")[::2] for one in said if b"=" in one)
    assert names["HOME"] == os.environ["HOME"]
    assert names["PGUSER"] not in ("", "root")


def test_a_settings_file_is_read_once_and_outside(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inside, a file of the machine's root seems to belong to nobody, and would not be trusted."""
    file = EnvFile(tmp_path / ".env", {"PREVIEW_PORT_MIN": "4000", "PREVIEW_SECRET_KEY": "s3cret" * 100_000})
    told: list[str] = []

    def execute(_program: str, argv: list[str], variables: dict[str, str]) -> None:
        told.extend(argv)
        # Processes of the same user can read them.
        assert not any("s3cret" in value for value in variables.values())
        passed = os.dup(int(variables["_PREVIEW_OUTSIDE"]))
        assert os.get_inheritable(int(variables["_PREVIEW_OUTSIDE"]))
        monkeypatch.setenv("_PREVIEW_OUTSIDE", str(passed))

    monkeypatch.setattr(sys, "argv", ["preview", "serve"])
    monkeypatch.setattr(own_range, "try_range", lambda _folder: None)
    monkeypatch.setattr(os, "execvpe", execute)
    enter_range(Settings(data_dir=data), file, opens_browser=False)
    assert told[: len(own_range.ENTER) + 1] == [*own_range.ENTER, sys.executable]
    assert read_outside() == Outside(file)
    # No process that the service starts is told, and a second look finds nothing.
    assert "_PREVIEW_OUTSIDE" not in os.environ
    assert read_outside() is None


def test_only_the_command_itself_is_executed_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_range, "try_range", lambda _folder: None)
    assert "command" in enter_range(Settings(data_dir=data), None, opens_browser=False).reason


def test_what_the_kernel_does_not_execute_goes_on_outside(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe to the browser is closed, so its process ends."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.E2BIG, "Argument list too long")

    monkeypatch.setattr(os, "execvpe", refuse)
    monkeypatch.setattr(sys, "argv", ["preview", "serve"])
    monkeypatch.setattr(own_range, "try_range", lambda _settings: None)
    reading, writing = os.pipe()
    monkeypatch.setattr(own_range, "_start_opener", lambda: writing)
    file = EnvFile(data / ".env", {"PREVIEW_PORT_MIN": "4000"})
    assert "cannot be run" in enter_range(Settings(data_dir=data), file, opens_browser=True).reason
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_storage_on_another_disk_is_tried_too(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one disk")
    tried = tmp_path / "tried"
    program = tmp_path / "unshare"
    program.write_text(f'#!/bin/sh\necho "$@" > {tried}\n')
    program.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1501)
    monkeypatch.setattr(own_range, "why_no_range", lambda: None)
    monkeypatch.setattr(own_range, "closed_to_previews", lambda: None)
    monkeypatch.setattr(own_range, "ENTER", (str(program),))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert try_range(Settings(data_dir=data, db_path=Path("/dev/shm/not/there"))) is None
    assert f" {data}/range-" in tried.read_text()
    assert " /dev/shm/range-" in tried.read_text()
    assert list(Path("/dev/shm").glob("range-*")) == []


def test_an_installation_that_other_users_cannot_read_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1501)
    monkeypatch.setattr(own_range, "why_no_range", lambda: None)
    monkeypatch.setattr(own_range, "closed_to_previews", lambda: Path("/opt/a b/launchers"))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    lack = try_range(Settings(data_dir=data))
    assert lack == NoRange("other users cannot read /opt/a b/launchers", "`chmod -R go+rX '/opt/a b/launchers'`")


def test_root_enters_no_range(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert try_range(Settings(data_dir=data)) == NoRange("the service runs as root")
    assert not data.exists()


@pytest.mark.parametrize(
    ("script", "reason", "advice"),
    [
        ("echo \"unshare: unrecognized option '--map-auto'\" >&2; exit 1", "map-auto", "util-linux 2.38"),
        ("echo 'chown: Operation not permitted' >&2; exit 1", "chown", "docs/containers.md"),
        ("exit 3", "status 3", "docs/containers.md"),
        ("exec sleep 600", "cannot be tested", ""),
    ],
)
def test_a_machine_that_refuses_is_named(
    script: str, reason: str, advice: str, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "unshare"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1501)
    monkeypatch.setattr(own_range, "why_no_range", lambda: None)
    monkeypatch.setattr(own_range, "closed_to_previews", lambda: None)
    monkeypatch.setattr(own_range, "_TRY_S", 0.5)
    monkeypatch.setattr(own_range, "ENTER", (str(program),))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    lack = try_range(Settings(data_dir=data))
    assert lack is not None
    assert reason in lack.reason
    assert advice in lack.advice
    assert list(data.iterdir()) == []
