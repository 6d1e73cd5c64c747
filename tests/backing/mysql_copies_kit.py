"""One database in MariaDB with its dump and its copy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import trio
from backing_kit import Driver, Preview

from preview.backing.contents.mysql_copy import TableCopy, read_copy
from preview.backing.interface import RunClient
from preview.backing.mysql_session import MysqlDatabase

T = TypeVar("T")

_MOST_S = 150
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
    # Lines of a dump, where they are none.
    "CREATE PROCEDURE fill()\nBEGIN\n/*\nLOCK TABLES `loud` WRITE;\n*/\nINSERT INTO `loud` VALUES\n(1);\nEND",
)

SEEN = (
    "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
    "SELECT ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()",
    "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
)


class Saved:
    """One preview's database, its file and its copy."""

    def __init__(self, driver: Driver, preview: Preview, run: RunClient, folder: Path) -> None:
        self.driver, self.preview, self.run = driver, preview, run
        self.file, self.copy = folder / "scratch" / "saved", folder / "copy"

    @property
    def database(self) -> MysqlDatabase:
        assert isinstance(self.preview.database, MysqlDatabase)
        return self.preview.database

    def execute(self, *statements: str) -> None:
        connection = self.preview.connect()
        for statement in statements:
            self.driver.run(connection, statement)
        connection.close()

    def wait(self, function: Callable[..., Awaitable[T]], *values: Any) -> T:
        """Run what may take long on a busy machine, in the engine's thread."""

        async def bounded() -> T:
            with trio.fail_after(_MOST_S):
                return await function(*values)

        return trio.from_thread.run(bounded, trio_token=self.preview.host.token)

    @property
    def is_copied(self) -> bool:
        return self.read() is not None

    def read(self) -> TableCopy | None:
        assert self.database._engine.copies is not None
        return read_copy(self.copy, self.database._engine.copies.run)

    def save(self) -> None:
        self.file.unlink(missing_ok=True)
        assert self.wait(self.database.save, self.file, self.run, self.copy)

    def load(self) -> None:
        self.wait(self.database.load, self.file, self.run, self.copy)

    def seen(self) -> dict[str, object]:
        """All tables with their checksums, and what else there is."""
        connection = self.preview.connect()
        tables = [name for name, kind in self.driver.run(connection, "SHOW FULL TABLES") if kind == "BASE TABLE"]
        found = {name: self.driver.run(connection, f"CHECKSUM TABLE `{name}`")[0][1] for name in tables}
        for what in SEEN:
            found[what] = sorted(self.driver.run(connection, what))
        connection.close()
        return found
