"""Backups: a service is saved while it runs, killed, and restored elsewhere; and files that are no backups."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_service import PROGRAM, serving
from sqlalchemy import Column, Float, LargeBinary, String, func, select

from preview.cli.entry import run
from preview.errors import DatabaseUnavailable
from preview.storage import migrate
from preview.storage.engine import make_engine
from preview.storage.tables import HEAD, metadata, preview_logs

# Prints without end, and answers.
_TALKS = """
import http.server, os, threading
def talk():
    number = 0
    while True:
        number += 1
        print("line", number, flush=True)
        if number % 50 == 0:
            threading.Event().wait(0.01)
threading.Thread(target=talk, daemon=True).start()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def preview(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [*PROGRAM, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(url: str) -> dict[str, list[Any]]:
    """Return what does not change while a service runs."""
    engine = make_engine(url)
    tables = [metadata.tables[name] for name in ("users", "projects", "generations", "generation_files", "api_tokens")]
    with engine.connect() as connection:
        found = {one.name: sorted(map(tuple, connection.execute(select(one)))) for one in tables}
    engine.dispose()
    return found


def lines(url: str) -> dict[int, str]:
    engine = make_engine(url)
    with engine.connect() as connection:
        found = connection.execute(select(preview_logs.c.seq, preview_logs.c.message)).all()
    engine.dispose()
    return {row.seq: row.message for row in found}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The database that is saved, and the one that is restored into."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data/preview.db'}", f"sqlite:///{tmp_path / 'other/preview.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    yield server.create("saved"), server.create("restored")
    for name in ("saved", "restored"):
        server.drop(name)


@pytest.mark.long
def test_a_running_service_is_saved_killed_and_restored_elsewhere(
    urls: tuple[str, str], tmp_path: Path, shared_cache: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text(_TALKS)
    common = {"PREVIEW_CACHE_DIR": str(shared_cache), "PREVIEW_ISOLATION": "plain", "PREVIEW_DATABASE_UPGRADE": "auto"}
    here = {**common, "PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_DATABASE_URL": urls[0]}
    there = {**common, "PREVIEW_DATA_DIR": str(tmp_path / "other"), "PREVIEW_DATABASE_URL": urls[1]}
    backup = tmp_path / "backup.zip"
    with serving(here) as service:
        generation = json.loads(preview(here, "push", str(project), "--json"))["id"]
        preview(here, "launch", generation, "--command", "python main.py")
        said = json.loads(preview(here, "backup", str(backup), "--json"))
        service.process.kill()
    assert (said["revision"], said["database"]) == (HEAD, urls[0].partition(":")[0])
    assert backup.stat().st_mode & 0o777 == 0o600
    assert json.loads(preview(there, "restore", str(backup), "--yes", "--json"))["restored"]
    assert rows(urls[1]) == rows(urls[0])
    saved, restored = lines(urls[0]), lines(urls[1])
    assert restored == {seq: saved[seq] for seq in restored}
    for name in ("secret", "sealing-keys"):
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "data" / name).read_bytes()
    with serving(there):
        followed = [json.loads(line) for line in preview(there, "logs", generation, "--json").splitlines()]
        preview(there, "audit", "verify")
        preview(there, "ls")
    numbers = sorted(lines(urls[1]))
    assert numbers == list(range(1, len(numbers) + 1)), "dense: the journal has what the database did not have yet"
    assert len(numbers) >= len(restored) > 0
    assert followed
    assert {path.name for path in tmp_path.iterdir()} == {"backup.zip", "data", "other", "project"}


# What is saved, and where it may be restored


def test_all_that_is_saved_is_restored_closed_to_others(saved: Path, tmp_path: Path) -> None:
    assert run(["restore", str(saved), "--yes"]) == 0
    restored = tmp_path / "empty"
    names = {str(path.relative_to(restored)) for path in restored.rglob("*") if path.is_file()}
    assert names == {"secret", "sealing-keys", "journal/00000000.lines", "audit/head", "snapshots/snap_1/files.tar",
                     "preview.db", "service.lock"}  # fmt: skip
    modes = {path.name: path.stat().st_mode & 0o777 for path in (restored, *restored.iterdir())}
    assert set(modes.values()) == {0o700, 0o600}
    # Programs in a sandbox read it.
    assert (restored / "snapshots/snap_1/files.tar").stat().st_mode & 0o777 == 0o644


def test_nothing_is_overwritten(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", str(saved)]) == 1
    assert run(["restore", str(saved), "--yes"]) == 0
    assert run(["restore", str(saved), "--yes"]) == 1
    said = capsys.readouterr().err
    assert "exists already" in said
    assert "is not empty (it has 'audit')" in said
    (tmp_path / "elsewhere.db").write_text("mine")
    other = {"PREVIEW_DATA_DIR": str(tmp_path / "third"), "PREVIEW_DATABASE_URL": f"sqlite:///{tmp_path}/elsewhere.db"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in other.items():
            patch.setenv(name, value)
        assert run(["restore", str(saved), "--yes"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "elsewhere.db").read_text() == "mine"
    assert not (tmp_path / "third" / "secret").exists()


def test_without_a_terminal_it_shows_what_it_would_do_and_asks_for_yes(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["restore", str(saved)]) == 2
    said = capsys.readouterr().err
    assert f"this fills the data folder {tmp_path / 'empty'}" in said
    assert "--yes" in said
    assert not (tmp_path / "empty").exists()
    assert run(["restore", str(saved), "--check"]) == 0
    assert "complete; saved 20" in capsys.readouterr().out


def test_a_postgres_with_rows_is_left_alone(
    saved: Path, postgres_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREVIEW_DATABASE_URL", postgres_database_url)
    engine = make_engine(postgres_database_url)
    with engine.begin() as connection:
        connection.execute(metadata.tables["users"].insert().values(id="ann", created_at=1))
    assert run(["restore", str(saved), "--yes"]) == 1
    assert "has rows already (table users)" in capsys.readouterr().err
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(metadata.tables["users"])) == 1
    engine.dispose()


def test_a_full_disk_is_one_sentence_and_leaves_no_database(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("preview.cli.backup.contents.ArchiveReader.extract", fail)
    capsys.readouterr()
    assert run(["restore", str(saved), "--yes"]) == 1
    said = capsys.readouterr().err
    assert "cannot be written: No space left on device" in said
    assert said.count("\n") == 1
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"service.lock"}


@pytest.mark.long
def test_a_database_that_fails_leaves_the_folder_empty(
    saved: Path, tmp_path: Path, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREVIEW_DATABASE_URL", empty_postgres_url)

    def fail(*_: object) -> None:
        raise DatabaseUnavailable("it is gone")

    with monkeypatch.context() as patch:
        patch.setattr("preview.cli.backup.databases._copy_tables", fail)
        assert run(["restore", str(saved), "--yes"]) == 1
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"service.lock"}
    assert run(["restore", str(saved), "--yes"]) == 0
    assert (tmp_path / "empty" / "secret").read_text() == "secret"


def test_a_row_that_postgres_refuses_is_one_sentence_and_nothing_is_stored(
    tmp_path: Path,
    empty_postgres_url: str,
    sqlite_template: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    shutil.copy(sqlite_template, tmp_path / "data" / "preview.db")
    engine = make_engine(f"sqlite:///{tmp_path / 'data/preview.db'}")
    with engine.begin() as connection:
        users = [{"id": "ann", "created_at": 1}, {"id": "b\0b", "created_at": 1}]
        connection.execute(metadata.tables["users"].insert(), users)
    engine.dispose()
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    assert run(["backup", str(tmp_path / "a.zip")]) == 0
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("PREVIEW_DATABASE_URL", empty_postgres_url)
    capsys.readouterr()
    assert run(["restore", str(tmp_path / "a.zip"), "--yes"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "refuses a row of the table users" in said
    assert set(map(len, all_rows(empty_postgres_url).values())) == {0}
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"service.lock"}


def test_an_older_backup_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    migrate.upgrade(f"sqlite:///{tmp_path / 'data/preview.db'}", "0010")
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "data"))
    assert run(["backup", str(tmp_path / "a.zip")]) == 0
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "empty"))
    assert run(["restore", str(tmp_path / "a.zip"), "--yes"]) == 0
    assert migrate.current(f"sqlite:///{tmp_path / 'empty/preview.db'}") == HEAD
    assert migrate.current(f"sqlite:///{tmp_path / 'data/preview.db'}") == "0010"


def value(column: Column[Any], number: int) -> Any:
    """Return a value that fits the column, and the row of the same number that it refers to."""
    if column.foreign_keys:
        return value(next(iter(column.foreign_keys)).column, number)
    if column.nullable and number % 2:
        return None
    kind = column.type
    if isinstance(kind, String):
        return f"{number}-{column.name} \u00fc\U0001f600'\"\\\n"[: kind.length]
    if isinstance(kind, LargeBinary):
        return bytes(range(256)) * number
    return number / 7 if isinstance(kind, Float) else number


def all_rows(url: str) -> dict[str, list[str]]:
    engine = make_engine(url)
    with engine.connect() as connection:
        found = {one.name: sorted(map(repr, connection.execute(select(one)))) for one in metadata.sorted_tables}
    engine.dispose()
    return found


def test_each_row_of_each_table_moves_from_sqlite_to_postgres_and_back(
    tmp_path: Path, empty_postgres_url: str, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "middle", "last"):
        (tmp_path / name).mkdir(mode=0o700)
    urls = {name: f"sqlite:///{tmp_path / name / 'preview.db'}" for name in ("first", "last")}
    urls["middle"] = empty_postgres_url
    shutil.copy(sqlite_template, tmp_path / "first" / "preview.db")
    engine = make_engine(urls["first"])
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            made = [{one.name: value(one, number) for one in table.columns} for number in range(1, 13)]
            connection.execute(table.insert(), made)
        more = [{"id": f"user {number}", "created_at": number} for number in range(1200)]
        connection.execute(metadata.tables["users"].insert(), more)
    engine.dispose()
    for command, name, file in (
        ("backup", "first", "a"),
        ("restore", "middle", "a"),
        ("backup", "middle", "b"),
        ("restore", "last", "b"),
    ):
        monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / name))
        monkeypatch.setenv("PREVIEW_DATABASE_URL", urls[name])
        assert run([command, str(tmp_path / f"{file}.zip"), *(["--yes"] if command == "restore" else [])]) == 0
    found = all_rows(urls["first"])
    assert min(map(len, found.values())) == 12
    assert found == all_rows(urls["middle"]) == all_rows(urls["last"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_user_is_left_alone(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    os.chown(tmp_path / "empty", 65534, 65534)
    assert run(["restore", str(saved), "--yes"]) == 1
    assert "sudo -u '#65534'" in capsys.readouterr().err
