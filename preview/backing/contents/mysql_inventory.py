"""The contents of a MySQL database, and whether all of it can be brought back by copies of its tables' files.

All names come from the server's own lists.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from preview.backing.admin.mysql_session import Session

MOST_TABLES = 100
# Names that files have as they are.
PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_TABLES = (
    "SELECT TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(CREATE_OPTIONS, ''), COALESCE(TABLE_COLLATION, '')"
    " FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{0}' ORDER BY BINARY TABLE_NAME"
)
_LISTS = {
    "columns": (
        "SELECT TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COALESCE(COLLATION_NAME, ''),"
        " IS_GENERATED FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{0}'"
        " ORDER BY BINARY TABLE_NAME, ORDINAL_POSITION"
    ),
    "indexes": (
        "SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE, COALESCE(SUB_PART, 0), INDEX_TYPE"
        " FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = '{0}'"
        " ORDER BY BINARY TABLE_NAME, BINARY INDEX_NAME, SEQ_IN_INDEX"
    ),
    "references": (
        "SELECT TABLE_NAME, REFERENCED_TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"
        " WHERE CONSTRAINT_SCHEMA = '{0}' ORDER BY BINARY TABLE_NAME, BINARY CONSTRAINT_NAME"
    ),
    "triggers": (
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{0}'"
        " ORDER BY BINARY TRIGGER_NAME"
    ),
    "routines": (
        "SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{0}'"
        " ORDER BY BINARY ROUTINE_NAME, ROUTINE_TYPE"
    ),
    "events": (
        "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{0}' ORDER BY BINARY EVENT_NAME"
    ),
}
_FILES = "SELECT NAME, FILE_SIZE FROM information_schema.INNODB_SYS_TABLESPACES WHERE LEFT(NAME, {1}) = '{0}/'"
_ENCRYPTED = (
    "SELECT NAME FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE LEFT(NAME, {1}) = '{0}/'"
    " AND (ENCRYPTION_SCHEME <> 0 OR CURRENT_KEY_ID > 1)"
)


class NotCopied(Exception):
    """The tables cannot be copied, or a copy does not serve; the message says why."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The contents of a database, without rows.

    Attributes:
        tables: Names of its tables.
        size_bytes: Size of their files.
        mark: Hash of names, kinds, engines and options of tables and views, of columns, indexes, references, triggers,
            routines and events.
    """

    tables: tuple[str, ...]
    size_bytes: int
    mark: str


async def take_inventory(session: Session, database: str) -> Inventory:
    """List a database whose tables can be copied.

    Args:
        session: A session of the administrator.
        database: Its name, which is plain.

    Raises:
        NotCopied: One of the tables cannot be.
        Refused, NotMysql, SessionEnded, trio.BrokenResourceError: The server does not say.

    Cancellation: nothing changes; the session cannot be used any more.
    """
    found: dict[str, list[list[str]]] = {}
    for name, statement in {"tables": _TABLES, **_LISTS}.items():
        rows = await session.execute(statement.format(database))
        found[name] = [[value or "" for value in row] for row in rows]
    tables = tuple(row[0] for row in found["tables"] if row[1] != "VIEW")
    _check(found, tables)
    files = await session.execute(_FILES.format(database, len(database) + 1))
    if sorted((name or "").removeprefix(f"{database}/") for name, _ in files) != sorted(tables):
        # Parts of tables, of full texts, or tables in a shared file.
        raise NotCopied("tables have other files than their own")
    if await session.execute(_ENCRYPTED.format(database, len(database) + 1)):
        raise NotCopied("tables are encrypted")
    mark = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    return Inventory(tables, sum(int(size or 0) for _, size in files), mark)


def _check(found: Mapping[str, list[list[str]]], tables: tuple[str, ...]) -> None:
    if not tables or len(tables) > MOST_TABLES:
        raise NotCopied(f"{len(tables)} tables")
    for name, kind, engine, options, _ in found["tables"]:
        if kind != "VIEW" and (kind, engine, options) != ("BASE TABLE", "InnoDB", ""):
            raise NotCopied("a table is not a plain one of InnoDB")
        if kind != "VIEW" and PLAIN.fullmatch(name) is None:
            raise NotCopied("a table's name is not plain")
    if any(row[6] != "NEVER" for row in found["columns"] if row[0] in tables):
        raise NotCopied("generated columns may be computed otherwise")
    if any(row[6] != "BTREE" for row in found["indexes"]):
        raise NotCopied("an index of full texts, or of places")
    if _has_cycle({(row[0], row[1]) for row in found["references"]}):
        raise NotCopied("tables refer to each other in a circle")


def _has_cycle(references: set[tuple[str, str]]) -> bool:
    """Return whether tables refer to each other in a circle. One that refers to itself is no circle."""
    left = {(source, target) for source, target in references if source != target}
    while left:
        sources = {source for source, _ in left}
        # A reference to a table without references is part of no circle.
        further = {(source, target) for source, target in left if target in sources}
        if further == left:
            return True
        left = further
    return False
