"""``preview doctor --fix``: what is missing is installed by the distribution's own program, after a question."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from preview.cli.doctor import installing
from preview.cli.entry import run

Say = Callable[[str, int], None]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PREVIEW_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On a Debian without bubblewrap, whose apt-get writes down how it was called, as nobody's root."""
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "mint", "ID_LIKE": "ubuntu debian"})
    monkeypatch.setattr("os.geteuid", lambda: 0)
    which = shutil.which
    monkeypatch.setattr("shutil.which", lambda name, **more: None if name == "bwrap" else which(name, **more))
    programs = tmp_path / "programs"
    programs.mkdir()
    calls = tmp_path / "calls.txt"
    _program(programs / "apt-get", f'echo "$@" >> {calls}; echo installing')
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return calls


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def test_nothing_is_installed_where_nobody_can_be_asked(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--fix"]) == 2
    said = capsys.readouterr().err
    assert "apt-get install -y --no-install-recommends bubblewrap" in said
    assert "--yes" in said
    assert not ran.exists()


def test_with_yes_the_missing_package_alone_is_installed(ran: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--fix", "--yes", "--json"])
    assert ran.read_text().splitlines() == ["update", "install -y --no-install-recommends bubblewrap"]
    captured = capfd.readouterr()
    assert captured.out.startswith("{")
    assert "installing" in captured.err


def test_an_installer_that_fails_is_told_with_its_status(
    ran: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _program(tmp_path / "programs" / "apt-get", "exit 100")
    assert run(["doctor", "--fix", "--yes"]) == 1
    assert "apt-get update ended with status 100" in capfd.readouterr().err
    assert not ran.exists()


@pytest.mark.usefixtures("ran")
def test_an_unknown_distribution_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "plan9"})
    assert run(["doctor", "--fix", "--yes"]) == 1
    assert "install bubblewrap yourself" in capsys.readouterr().err


def test_an_ordinary_user_needs_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "alpine"})
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert installing.install_commands(["bubblewrap", "util-linux"]) == [
        ["sudo", "apk", "add", "bubblewrap", "util-linux-misc"]
    ]


@pytest.mark.usefixtures("ran")
def test_a_machine_that_has_all_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("preview.cli.commands.upkeep.doctor.find_missing", list)
    run(["doctor", "--fix"])
    assert "all packages that previews need are installed" in capsys.readouterr().err
