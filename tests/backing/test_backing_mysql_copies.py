"""Tables come back from copies of their files, and from the dump wherever a copy does not serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backing_kit import Driver, Host, Preview

from preview.backing.contents import mysql_copies
from preview.backing.contents.mysql_copies import MysqlCopies
from preview.backing.mysql import MysqlEngine

pytestmark = pytest.mark.parametrize("host", ["mysql"], indirect=True)

PLAIN = (
    (
        "CREATE TABLE books (id int PRIMARY KEY AUTO_INCREMENT, said varchar(300), parent int, KEY (said),"
        " FOREIGN KEY (parent) REFERENCES books (id))"
    ),
    "INSERT INTO books SELECT seq, md5(seq), nullif(seq - 1, 0) FROM seq_1_to_2000",
    # Changes that only the table's files know of.
    "ALTER TABLE books ADD COLUMN pages int DEFAULT 7 AFTER id, ALGORITHM=INSTANT",
    "ALTER TABLE books ADD COLUMN gone int, ALGORITHM=INSTANT",
    "ALTER TABLE books DROP COLUMN gone, ALGORITHM=INSTANT",
    "UPDATE books SET pages = 9 WHERE id = 5",
    "CREATE TABLE loud (id int PRIMARY KEY)",
    "CREATE VIEW seen AS SELECT count(*) FROM books",
    "CREATE TRIGGER grows BEFORE INSERT ON loud FOR EACH ROW SET NEW.id = NEW.id + 100",
    "CREATE PROCEDURE fill()\nBEGIN\nINSERT INTO `loud` VALUES\n(1);\nEND",
)
SEEN = ("SELECT * FROM books ORDER BY id", "SELECT * FROM seen", "SELECT id FROM loud ORDER BY id")


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Results of all loads from copies; small tables are copied too."""
    results: list[bool] = []
    load = MysqlCopies.load

    async def noted(self: MysqlCopies, mark: str, database: str) -> bool:
        results.append(await load(self, mark, database))
        return results[-1]

    monkeypatch.setattr(mysql_copies, "_LEAST_BYTES", 1)
    monkeypatch.setattr(mysql_copies, "_HELD_S", 120)
    monkeypatch.setattr(MysqlCopies, "load", noted)
    return results


@pytest.fixture
def preview(host: Host, imported: list[bool]) -> Iterator[Preview]:
    assert isinstance(host.engine, MysqlEngine)
    assert host.engine.copies is not None
    host.engine.copies.clear()
    with host.open("one-1") as found:
        yield found


def seen(driver: Driver, preview: Preview) -> list[object]:
    connection = preview.connect()
    return [list(driver.run(connection, statement)) for statement in SEEN]


def fill(driver: Driver, preview: Preview, *more: str) -> None:
    connection = preview.connect()
    for statement in (*PLAIN, *more):
        driver.run(connection, statement)
    connection.commit()


def copies_of(host: Host) -> list[Path]:
    assert isinstance(host.engine, MysqlEngine)
    assert host.engine.copies is not None
    folder = host.engine.copies._folder
    return list(folder.iterdir()) if folder.exists() else []


def test_rows_come_from_the_copy_here_and_in_another_preview(
    host: Host, preview: Preview, driver: Driver, imported: list[bool], tmp_path: Path
) -> None:
    fill(driver, preview)
    run, file, before = host.client(tmp_path / "scratch"), tmp_path / "scratch" / "saved", seen(driver, preview)
    assert host.run(preview.database.save, file, run)
    connection = preview.connect()
    driver.run(connection, "UPDATE books SET said = 'other'")
    connection.commit()
    host.run(preview.database.load, file, run)
    assert seen(driver, preview) == before
    with host.open("two-2") as other:
        host.run(other.database.load, file, run)
        assert seen(driver, other) == before
        after = other.connect()
        driver.run(after, "CALL fill()")
        driver.run(after, "INSERT INTO books (said) VALUES ('new')")
        assert list(driver.run(after, "SELECT id FROM loud")) == [(101,)]
        assert list(driver.run(after, "SELECT max(id) FROM books")) == [(2001,)]
        after.commit()
        # What was imported is saved and dropped like any other.
        assert host.run(other.database.save, tmp_path / "scratch" / "again", run)
        assert [row[3] for row in driver.run(after, "CHECK TABLE books, loud")] == ["OK", "OK"]
    assert imported == [True, True]
    assert other.name not in driver.listed(host)


@pytest.mark.parametrize("harm", ["cut", "other", "missing"])
def test_a_copy_that_the_server_refuses_leaves_the_dump(
    host: Host, preview: Preview, driver: Driver, imported: list[bool], tmp_path: Path, harm: str
) -> None:
    fill(driver, preview)
    run, file, before = host.client(tmp_path / "scratch"), tmp_path / "scratch" / "saved", seen(driver, preview)
    assert host.run(preview.database.save, file, run)
    [copy] = copies_of(host)
    if harm == "cut":
        (copy / "loud.ibd").write_bytes((copy / "loud.ibd").read_bytes()[:20_000])
    elif harm == "other":
        for ending in (".ibd", ".cfg"):
            (copy / f"loud{ending}").write_bytes((copy / f"books{ending}").read_bytes())
    else:
        (copy / "loud.cfg").unlink()
    host.run(preview.database.load, file, run)
    assert imported == [False]
    assert seen(driver, preview) == before


@pytest.mark.parametrize(
    "unusual",
    [
        "CREATE TABLE odd (said text, FULLTEXT (said))",
        "CREATE TABLE odd (id int) PARTITION BY HASH (id) PARTITIONS 2",
        "CREATE TABLE odd (id int) ENGINE=Aria",
        "CREATE TABLE odd (id int, twice int AS (id * 2), KEY (twice))",
        "CREATE TABLE `o d` (id int)",
        "CREATE SEQUENCE odd",
    ],
)
def test_a_database_with_an_unusual_table_has_no_copy(
    host: Host, preview: Preview, driver: Driver, imported: list[bool], tmp_path: Path, unusual: str
) -> None:
    fill(driver, preview, unusual)
    run, file, before = host.client(tmp_path / "scratch"), tmp_path / "scratch" / "saved", seen(driver, preview)
    assert host.run(preview.database.save, file, run)
    assert copies_of(host) == []
    host.run(preview.database.load, file, run)
    assert imported == []
    assert seen(driver, preview) == before


def test_a_table_that_the_application_holds_is_not_waited_for(
    host: Host, preview: Preview, driver: Driver, imported: list[bool], tmp_path: Path
) -> None:
    fill(driver, preview)
    holding = preview.connect()
    driver.run(holding, "START TRANSACTION")
    driver.run(holding, "INSERT INTO books (said) VALUES ('not committed')")
    run, file = host.client(tmp_path / "scratch"), tmp_path / "scratch" / "saved"
    assert host.run(preview.database.save, file, run)
    assert copies_of(host) == []
    assert imported == []


def test_a_link_in_the_servers_folder_is_not_followed(
    host: Host, preview: Preview, driver: Driver, imported: list[bool], tmp_path: Path
) -> None:
    fill(driver, preview)
    run, file = host.client(tmp_path / "scratch"), tmp_path / "scratch" / "saved"
    assert isinstance(host.engine, MysqlEngine)
    data = host.engine._server.command.folder / "data"
    [table] = data.glob("*/loud.ibd")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(100_000))
    kept = table.rename(table.with_suffix(".kept"))
    table.symlink_to(secret)
    try:
        assert host.run(preview.database.save, file, run)
    finally:
        table.unlink()
        kept.rename(table)
    assert copies_of(host) == []
    assert imported == []
