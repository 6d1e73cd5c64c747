"""What the doctor finds, and what it says to do."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from preview.cli.data_folder import ServiceNote, publish_note
from preview.cli.doctor import checks, servers
from preview.cli.doctor.checks import run_checks
from preview.cli.doctor.result import Check, Result
from preview.cli.entry import run
from preview.core.isolation import Network
from preview.core.servers import Program
from preview.runtime import Runtime
from preview.settings import Settings
from preview.storage import migrate


def found(settings: Settings, name: str) -> Check:
    return next(check for check in run_checks(settings) if check.name.startswith(name))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PREVIEW_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_here")
def test_a_machine_that_can_run_previews_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("fail")] == []
    assert any(line.startswith("ok") and "uv" in line for line in lines)


@pytest.mark.usefixtures("_here")
def test_as_json_it_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {"name", "result", "found", "advice", "section"} == set(report["checks"][0])


@pytest.mark.usefixtures("_here")
def test_something_missing_is_exit_code_1_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name, **_more: None)
    assert run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "setpriv and prlimit missing" in text
    assert "-> install the package util-linux" in text


def test_a_range_without_a_free_port_fails(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = found(settings.model_copy(update={"port_min": port, "port_max": port}), "ports")
    assert (check.result, check.found) == (Result.FAIL, "0 of 1 free on 127.0.0.1")


def test_a_range_that_something_else_uses_is_a_warning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "can_bind", lambda _host, port: port < 3011)
    check = found(settings, "ports")
    assert (check.result, check.found) == (Result.WARN, "10 of 100 free on 127.0.0.1")


def test_a_folder_that_cannot_be_made_fails(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = found(settings.model_copy(update={"data_dir": tmp_path / "file" / "data"}), "data folder")
    assert check.result is Result.FAIL
    assert "PREVIEW_DATA_DIR" in check.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_fails(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    assert found(settings, "cache folder").result is Result.FAIL


def test_a_full_disk_is_a_warning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_ROOM_BYTES", 2**62)
    assert found(settings, "data folder").result is Result.WARN


def test_a_database_that_is_not_there_yet_is_made_by_the_first_start(settings: Settings) -> None:
    check = found(settings, "database")
    assert check.result is Result.OK
    assert "first start" in check.found


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "postgresql://127.0.0.1:1/nowhere"])
def test_a_database_that_cannot_be_used_fails(url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, cache_dir=tmp_path, database_url=url)
    assert found(settings, "database").result is Result.FAIL


def test_a_database_of_an_older_version_is_brought_up_to_date_by_the_next_start(settings: Settings) -> None:
    migrate.upgrade(settings.resolved_database_url)
    assert "up to date" in found(settings, "database").found
    migrate.downgrade(settings.resolved_database_url, "-1")
    check = found(settings, "database")
    assert check.result is Result.OK
    assert "next start" in check.found


def test_no_service_is_fine_and_says_how_to_start_one(settings: Settings) -> None:
    check = found(settings, "service")
    assert (check.result, check.advice) == (Result.OK, "start one with `preview serve`")


def test_a_service_that_does_not_answer_fails(settings: Settings) -> None:
    settings.data_dir.mkdir()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with publish_note(settings.data_dir, ServiceNote.of_this_process(url)):
            check = found(settings, "service")
    assert check.result is Result.FAIL
    assert "does not answer" in check.found


def test_a_uv_that_does_not_start_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert found(settings, "uv").result is Result.FAIL


def test_a_kernel_that_forbids_adoption_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid() -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(checks, "child_subreaper", forbid)
    assert found(settings, "subreaper").result is Result.FAIL


def test_another_system_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    assert found(settings, "Python").result is Result.FAIL


def test_the_servers_that_previews_get_are_shown_with_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.13'\n")
    program.chmod(0o755)
    kinds = (
        ("PostgreSQL", "postgres", lambda: Program(program, "PostgreSQL"), "postgresql"),
        ("MySQL", "mysql", lambda: None, "mariadb-server"),
        ("Redis", "redis", lambda: Program(tmp_path / "gone", "Redis"), "redis-server"),
    )
    monkeypatch.setattr(servers, "_KINDS", kinds)
    runtime = cast("Runtime", SimpleNamespace(network=lambda asked: asked))
    settings = Settings(network=Network.NONE, postgres="auto", mysql="auto", redis="auto")
    found = {one.name: one for one in servers.server_checks(settings, runtime)}
    assert found["PostgreSQL"].found == f"PostgreSQL 15.13 ({program}): each preview that needs it gets its own"
    assert (found["MySQL"].found, found["Redis"].result) == ("no server program found", Result.WARN)
    assert "mariadb-server" in found["MySQL"].advice
    assert "PREVIEW_MONGODB" in found["MongoDB"].advice
