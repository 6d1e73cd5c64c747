"""Backups: a service is saved while it runs, killed, and restored elsewhere; and files that are no backups."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_service import PROGRAM, serving
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from preview.cli.backup.archive import MANIFEST, BadArchive, read_archive
from preview.cli.entry import run
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


@pytest.fixture
def saved(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of a folder with one file of each kind; the settings then name an empty folder."""
    data = tmp_path / "data"
    for name in ("secret", "sealing-keys", "journal/00000000.lines", "audit/head", "snapshots/snap_1/files.tar"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    (data / "snapshots" / ".new-1").mkdir()
    (data / "previews").mkdir()
    shutil.copy(sqlite_template, data / "preview.db")
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(data))
    assert run(["backup", str(tmp_path / "a.zip")]) == 0
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path / "empty"))
    return tmp_path / "a.zip"


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_user_is_left_alone(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    os.chown(tmp_path / "empty", 65534, 65534)
    assert run(["restore", str(saved), "--yes"]) == 1
    assert "sudo -u '#65534'" in capsys.readouterr().err


# Files that are no backups: each is refused with one sentence, and nothing is written


def forged(saved: Path, path: Path, change: Mapping[str, bytes | None], **manifest: Any) -> Path:
    """Copy a backup with other entries (None: left out), and a manifest that fits them."""
    with zipfile.ZipFile(saved) as source:
        entries: dict[str, bytes | None] = {name: source.read(name) for name in source.namelist()}
    described = json.loads(entries.pop(MANIFEST) or b"")
    entries |= change
    contents = {name: content for name, content in entries.items() if content is not None}
    described["files"] = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in contents.items():
            target.writestr(name, content)
        target.writestr(MANIFEST, json.dumps(described | manifest))
    return path


def refused(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    for option in ("--check", "--yes"):
        assert run(["restore", str(path), option]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
    assert not list((tmp_path / "empty").glob("[!s.]*")), "only the lock may be there"
    assert not (tmp_path / "empty" / "secret").exists()
    return said


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "journal/../../x", "snapshots/a/../../x", "snapshots/a/b/c", "service.json", "secret/",
     "journal/.hidden", "snapshots/..", "audit/a\\b", "previews/x", "journal/" + "x" * 300],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(
    name: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = forged(saved, tmp_path / "b.zip", {name: b"mine"})
    assert "no backup has" in refused(path, tmp_path, capsys)


def test_links_and_encrypted_entries_are_refused(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = forged(saved, tmp_path / "b.zip", {"secret": None})
    with zipfile.ZipFile(saved) as source:
        described = json.loads(source.read(MANIFEST))
    described["files"] |= {"secret": {"size": 11, "sha256": hashlib.sha256(b"/etc/shadow").hexdigest()}}
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if name not in {"secret", MANIFEST}:
                target.writestr(name, source.read(name))
        link = zipfile.ZipInfo("secret")
        link.external_attr = 0o120777 << 16
        target.writestr(link, "/etc/shadow")
        target.writestr(MANIFEST, json.dumps(described))
    assert "no backup has: 'secret'" in refused(path, tmp_path, capsys)


@pytest.mark.parametrize("cut", [0, 0.001, 0.3, 0.99])
def test_a_cut_file_is_refused(cut: float, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = saved.read_bytes()
    path = tmp_path / "b.zip"
    path.write_bytes(content[: int(len(content) * cut)])
    assert "backup" in refused(path, tmp_path, capsys)


def test_a_changed_file_is_refused(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(saved) as source:
        manifest = json.loads(source.read(MANIFEST))
    manifest["files"]["secret"]["sha256"] = "0" * 64
    path = forged(saved, tmp_path / "b.zip", {}, files=manifest["files"])
    assert "secret is not the file that was saved" in refused(path, tmp_path, capsys)


def test_a_bomb_is_refused_before_it_is_unpacked(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(saved) as source:
        described = json.loads(source.read(MANIFEST))
    size = 2**50
    described["files"]["journal/x"] = {"size": size, "sha256": "0" * 64}
    path = tmp_path / "b.zip"
    shutil.copy(saved, path)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if name != MANIFEST:
                target.writestr(name, source.read(name))
        target.writestr("journal/x", b"\0" * 100_000)
        # The directory at the end is written from this.
        target.getinfo("journal/x").file_size = size
        target.writestr(MANIFEST, json.dumps(described))
    assert "The backup needs" in refused(path, tmp_path, capsys)
    # Said to be small, and large when it is read.
    described["files"]["journal/x"]["size"] = 10
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if name != MANIFEST:
                target.writestr(name, source.read(name))
        target.writestr("journal/x", b"\0" * 100_000)
        target.getinfo("journal/x").file_size = 10
        target.writestr(MANIFEST, json.dumps(described))
    assert "damaged" in refused(path, tmp_path, capsys)


def test_a_directory_without_end_is_not_read(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.zip"
    path.write_bytes(b"x" * 100 + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, 2**31, 100, 0))
    assert "more than 100000 entries" in refused(path, tmp_path, capsys)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"format": 2}, "A newer version of preview wrote this backup"),
        ({"format": 0}, "its format is unknown"),
        ({"revision": "'; DROP"}, "its manifest cannot be read"),
        ({"more": 1}, "its manifest cannot be read"),
        ({"files": {}}, "no backup has"),
    ],
)
def test_a_manifest_of_another_version_or_form_is_refused(
    manifest: Any, said: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(forged(saved, tmp_path / "b.zip", {}, **manifest), tmp_path, capsys)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "newer than this version of preview knows"),
        ("UPDATE alembic_version SET version_num = 'x'';'", "has no revision of this service"),
        ("DELETE FROM alembic_version", "has no revision of this service"),
        ("DROP TABLE alembic_version", "none of this service"),
        ("DROP TABLE preview_logs", "does not have the table"),
        ("ALTER TABLE users RENAME COLUMN tier TO rank", "does not have the table users"),
        ("CREATE VIEW v AS SELECT 1", "has views or triggers"),
        ("CREATE TRIGGER t AFTER INSERT ON users BEGIN DELETE FROM users; END", "has views or triggers"),
    ],
)
def test_a_database_of_another_version_or_form_is_refused(
    statement: str, said: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(saved) as source:
        (tmp_path / "x.db").write_bytes(source.read("database.sqlite"))
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute(statement)
    connection.close()
    path = forged(saved, tmp_path / "b.zip", {"database.sqlite": (tmp_path / "x.db").read_bytes()})
    assert run(["restore", str(path), "--yes"]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "empty" / "preview.db").exists()
    for content in (b"", b"no database", (tmp_path / "x.db").read_bytes()[:5000]):
        forged(saved, path, {"database.sqlite": content})
        assert "backup" in refused(path, tmp_path, capsys)


@given(st.binary(max_size=2000), st.booleans())
def test_any_bytes_are_a_backup_or_refused(content: bytes, is_end: bool) -> None:
    path = Path(os.environ["PYTEST_CURRENT_TEST"].partition(" ")[0].replace("/", "_").replace(":", "_"))
    path = Path("/tmp") / f"{path.name}-{os.getpid()}"
    path.write_bytes(content + (struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0) if is_end else b""))
    try:
        with pytest.raises(BadArchive), read_archive(path):
            pass
    finally:
        path.unlink()
