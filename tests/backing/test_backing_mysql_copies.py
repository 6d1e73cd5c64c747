"""Tables come back from copies of their files, and from the dump wherever a copy does not serve."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from backing_kit import Driver, Host
from mysql_copies_kit import Saved

from preview.backing.contents import mysql_copy
from preview.backing.contents.mysql_copy import DEFINITIONS, MANIFEST, remove_copy
from preview.backing.contents.mysql_inventory import NotCopied, take_inventory
from preview.backing.mysql import MysqlEngine
from preview.backing.mysql_session import MysqlDatabase

pytestmark = pytest.mark.parametrize("host", ["mysql"], indirect=True)


def test_rows_come_from_the_copy_here_and_in_another_preview(
    host: Host, saved: Saved, driver: Driver, loads: list[bool]
) -> None:
    before = saved.seen()
    saved.save()
    saved.execute("UPDATE books SET said = 'other'")
    saved.load()
    assert saved.seen() == before
    with host.open("two-2") as other:
        assert isinstance(other.database, MysqlDatabase)
        saved.wait(other.database.load, saved.file, saved.run, saved.copy)
        after = Saved(driver, other, saved.run, saved.file.parent.parent / "other")
        (saved.file.parent.parent / "other").mkdir()
        assert after.seen() == before
        after.execute("CALL fill()", "INSERT INTO books (said) VALUES ('new')")
        connection = other.connect()
        assert list(driver.run(connection, "SELECT id FROM loud")) == [(101,)]
        assert list(driver.run(connection, "SELECT max(id) FROM books")) == [(2001,)]
        assert [row[3] for row in driver.run(connection, "CHECK TABLE books, loud")] == ["OK", "OK"]
    assert loads == [True, True]
    assert other.name not in driver.listed(host)


# What a database may have that no copy brings back, and its name.
UNUSUAL = {
    "CREATE TABLE odd (said text, FULLTEXT (said))": "TABLE odd",
    "CREATE TABLE odd (id int) PARTITION BY HASH (id) PARTITIONS 2": "TABLE odd",
    "CREATE TABLE odd (id int) ENGINE=Aria": "TABLE odd",
    "CREATE TABLE odd (id int) ROW_FORMAT=COMPRESSED": "TABLE odd",
    "CREATE TABLE odd (id int) PAGE_COMPRESSED=1": "TABLE odd",
    "CREATE TABLE odd (id int, twice int AS (id * 2), KEY (twice))": "TABLE odd",
    "CREATE TABLE odd (id int) WITH SYSTEM VERSIONING": "TABLE odd",
    "CREATE TABLE odd (at point NOT NULL, SPATIAL INDEX (at))": "TABLE odd",
    "CREATE TABLE `o d` (id int)": "TABLE `o d`",
    "CREATE SEQUENCE odd": "SEQUENCE odd",
    (
        "CREATE TABLE odd (id int PRIMARY KEY, other int, FOREIGN KEY (other) REFERENCES loud (id))|"
        "ALTER TABLE loud ADD other int, ADD CONSTRAINT circle FOREIGN KEY (other) REFERENCES odd (id)"
    ): "TABLE loud, odd",
}


def test_a_database_with_something_unusual_has_no_copy(host: Host, saved: Saved) -> None:
    async def lists() -> bool:
        assert isinstance(host.engine, MysqlEngine)
        session = await host.engine._log_in()
        try:
            await take_inventory(session, "shop")
        except NotCopied:
            return False
        finally:
            session.close()
        return True

    assert saved.wait(lists)
    for statements, name in UNUSUAL.items():
        saved.execute(*statements.split("|"))
        assert not saved.wait(lists), statements
        saved.execute("SET foreign_key_checks = 0", f"DROP {name}")


def test_tables_that_are_held_or_hold_prepared_changes_are_not_waited_for(saved: Saved, driver: Driver) -> None:
    for begin, end in (
        (("START TRANSACTION", "INSERT INTO books (said) VALUES ('not committed')"), "ROLLBACK"),
        (("XA START 'a'", "INSERT INTO books (said) VALUES ('no')", "XA END 'a'", "XA PREPARE 'a'"), "XA ROLLBACK 'a'"),
    ):
        holding = saved.preview.connect()
        for statement in begin:
            driver.run(holding, statement)
        saved.save()
        assert not saved.copy.exists()
        driver.run(holding, end)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_in_the_servers_folder_is_not_followed(host: Host, saved: Saved, tmp_path: Path, link: str) -> None:
    assert isinstance(host.engine, MysqlEngine)
    data = host.engine._server.command.folder / "data"
    [table] = data.glob("*/loud.ibd")
    secret = data / "secret" if link == "hardlink_to" else tmp_path / "secret"
    secret.write_bytes(bytes(100_000))
    kept = table.rename(table.with_suffix(".kept"))
    getattr(table, link)(secret)
    try:
        saved.save()
    finally:
        table.unlink()
        secret.unlink()
        kept.rename(table)
    assert not saved.copy.exists()


def harm(copy: Path, what: str) -> None:
    if what == "cut":
        os.truncate(copy / "loud.ibd", 20_000)
    elif what == "zeros":
        (copy / "books.ibd").write_bytes(bytes((copy / "books.ibd").stat().st_size))
    elif what == "other":
        for ending in (".ibd", ".cfg"):
            (copy / f"loud{ending}").write_bytes((copy / f"books{ending}").read_bytes())
    elif what == "fewer":
        text = (copy / DEFINITIONS).read_text()
        (copy / DEFINITIONS).write_text(text.replace("CREATE TABLE `loud`", "CREATE TABLE `other`"))
    elif what == "run":
        manifest = json.loads((copy / MANIFEST).read_text())
        (copy / MANIFEST).write_text(json.dumps(manifest | {"run": "another"}))
    elif what == "name":
        (copy / MANIFEST).write_text((copy / MANIFEST).read_text().replace('"loud"', '"../loud"'))
    else:
        (copy / what).unlink()


def test_a_copy_that_was_harmed_leaves_the_dump(saved: Saved, loads: list[bool], tmp_path: Path) -> None:
    before = saved.seen()
    saved.save()
    kept = tmp_path / "kept"
    saved.copy.rename(kept)
    for what in ("zeros", "other", "fewer", "cut", "run", "name", "loud.cfg", "loud.ibd", MANIFEST, DEFINITIONS):
        saved.copy.mkdir()
        for file in kept.iterdir():
            (saved.copy / file.name).write_bytes(file.read_bytes())
        harm(saved.copy, what)
        if what in ("zeros", "other", "fewer"):
            saved.load()
            assert saved.seen() == before, what
        else:
            assert not saved.is_copied, what
        remove_copy(saved.copy)
    assert True not in loads


def test_a_copy_without_a_manifest_is_none_and_a_removal_begins_with_its_name(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.save()
    assert saved.is_copied
    monkeypatch.setattr(mysql_copy, "remove_folder", lambda _folder: None)
    remove_copy(saved.copy)
    assert not saved.is_copied
    assert not saved.copy.exists()
    # The rest of a removal that was cut off goes with the next one.
    monkeypatch.undo()
    remove_copy(saved.copy)
    assert list(saved.copy.parent.glob("copy*")) == []
