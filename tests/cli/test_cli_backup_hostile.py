"""Files that are no backups: each is refused with one sentence, and nothing is restored."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preview.cli.backup.archive import MANIFEST, BadArchive, read_archive
from preview.cli.entry import run


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
    assert "does not belong in a backup" in refused(path, tmp_path, capsys)


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
    assert "does not belong in a backup: 'secret'" in refused(path, tmp_path, capsys)


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


@pytest.mark.parametrize("comment", [0, 1, 65_535, 65_536])
def test_a_directory_that_only_zipfile_would_find_is_not_read(
    comment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end64(directory: int) -> bytes:
        return struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, directory, 0)

    # The locator leads to a small record; zipfile takes the one before it.
    content = end64(46) + b"x" * 100 + end64(2**31) + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    content += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, 0, min(comment, 65_535)) + b"c" * comment
    path = tmp_path / "b.zip"
    path.write_bytes(content)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(BadArchive), read_archive(path):
        pass


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"format": 2}, "A newer version of preview wrote this backup"),
        ({"format": 0}, "its format is unknown"),
        ({"revision": "'; DROP"}, "its manifest cannot be read"),
        ({"more": 1}, "its manifest cannot be read"),
        ({"files": {}}, "does not belong in a backup"),
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
        ("UPDATE alembic_version SET version_num = 'x'';'", "has no revision number"),
        ("DELETE FROM alembic_version", "has no revision number"),
        ("DROP TABLE alembic_version", "not from this service"),
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
def test_any_bytes_are_refused(content: bytes, is_end: bool) -> None:
    with NamedTemporaryFile() as file:
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0) if is_end else b""
        Path(file.name).write_bytes(content + end)
        with pytest.raises(BadArchive), read_archive(Path(file.name)):
            pass


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-3000, -1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_backup_with_other_bytes_is_refused_or_the_same(saved: Path, changes: list[tuple[int, int]]) -> None:
    with read_archive(saved) as archive:
        expected = archive.manifest
    content = bytearray(saved.read_bytes())
    for place, byte in changes:
        content[max(place, -len(content))] = byte
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        try:
            with read_archive(Path(file.name)) as archive:
                archive.check()
                found = archive.manifest.files
        except BadArchive:
            return
    assert found == expected.files
