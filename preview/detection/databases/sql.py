"""Find a Python application's SQL library, and decide if SQLite can replace the server."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from preview.detection.facts import Call, Facts
from preview.sources import Sources

_ASYNC: Final = frozenset({"create_async_engine", "async_engine_from_config", "AsyncEngine"})
_ASYNC_LIBRARIES: Final = frozenset({"databases", "Tortoise"})
_SYNC: Final = frozenset({"create_engine", "engine_from_config", "SQLAlchemy"})
# Calls that create tables or query the server.
_ASKING: Final = frozenset(
    {"create_all", "generate_schemas", "create_tables", "register_tortoise", "create_db_and_tables"}
)
_CONNECTING: Final = frozenset({"connect", "begin"})
ONLY_POSTGRESQL: Final = frozenset(
    {"JSONB", "ARRAY", "INET", "CIDR", "MACADDR", "HSTORE", "TSVECTOR", "CITEXT", "DATERANGE", "TSTZRANGE", "INT4RANGE",
     "TSRANGE", "NUMRANGE", "BIT", "OID", "MONEY"}
)  # fmt: skip
_CONNECT_ARGS: Final = frozenset(
    {"sslmode", "ssl", "server_settings", "options", "charset", "command_timeout", "statement_cache_size",
     "prepared_statement_cache_size", "keepalives", "connect_timeout", "application_name", "ssl_ca", "sslrootcert"}
)  # fmt: skip
_LEVELS: Final = frozenset({"SERIALIZABLE", "READ UNCOMMITTED", "AUTOCOMMIT"})
_SERVER_DDL: Final = re.compile(
    rb"""text\(\s*["'](?:now\(\)|gen_random_uuid|uuid_generate|timezone\()|["']schema["']\s*:|CREATE EXTENSION""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Engine:
    """The library through which the application uses its database.

    Attributes:
        library: ``SQLAlchemy``, ``databases``, ``Tortoise``, ``peewee`` …
        asynchronous: The library needs an asyncio driver.
        where: ``app/db.py:7``.
        at_startup: The application queries the database at startup, and cannot start without it.
        obstacle: The reason why SQLite cannot replace the server; empty if it can.
    """

    library: str
    asynchronous: bool
    where: str
    at_startup: bool
    obstacle: str = ""

    def sqlite_url(self, *, synchronous: bool = False) -> str:
        """Return the URL of the preview's SQLite file, in the library's format."""
        if self.library == "Tortoise":
            return "sqlite://{database_path}"
        if self.asynchronous and not synchronous and self.library != "databases":
            return "sqlite+aiosqlite:///{database_path}"
        return "sqlite:///{database_path}"


def find_engine(facts: Facts, sources: Sources, files: Iterable[str]) -> Engine | None:
    """Return the application's engine, or None if it has no SQL database that SQLite could replace."""
    calls = [call for call in facts.calls if _library(call)]
    if not calls:
        return None
    asyncs = [call for call in calls if call.name.rpartition(".")[2] in _ASYNC or _library(call) in _ASYNC_LIBRARIES]
    # An engine of SQLAlchemy needs its driver in the URL, which a package beside it takes, too.
    first = next((one for one in asyncs if _library(one) == "SQLAlchemy"), (asyncs or calls)[0])
    library = _library(first)
    asynchronous = bool(asyncs)
    makes_tables = any(_makes_tables(call) and facts.at_startup(call) for call in facts.calls)
    asks = makes_tables or any(_asks(call) and facts.at_startup(call) for call in facts.calls)
    obstacle = _refused_arguments(calls)
    if not obstacle and makes_tables:
        obstacle = _server_types(facts) or _server_ddl(sources, files)
    return Engine(library, asynchronous, first.where, asks, obstacle)


def _library(call: Call) -> str:
    last = call.name.rpartition(".")[2]
    if last in _ASYNC or last in _SYNC:
        return "SQLAlchemy"
    if call.name.startswith("databases.Database"):
        return "databases"
    if call.name.startswith("tortoise.") and last in {"init", "register_tortoise", "RegisterTortoise"}:
        return "Tortoise"
    if call.name.startswith("playhouse.db_url"):
        return "peewee"
    return ""


def _makes_tables(call: Call) -> bool:
    last = call.name.rpartition(".")[2]
    # `conn.run_sync(Base.metadata.create_all)`
    handed = any(isinstance(item, ast.Attribute) and item.attr == "create_all" for item in call.node.args)
    return last in _ASKING or (last == "run_sync" and handed)


def _asks(call: Call) -> bool:
    last = call.name.rpartition(".")[2]
    if last not in _CONNECTING or not isinstance(call.node.func, ast.Attribute):
        return False
    owner = call.node.func.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return name.lower().endswith(("engine", "database", "db"))


def _refused_arguments(calls: Iterable[Call]) -> str:
    """Return the first reason why SQLite's driver rejects the arguments, if it rejects those of every engine."""
    reasons = [reason for call in calls if (reason := _refused(call)) or call.node.args or call.node.keywords]
    found = [reason for reason in reasons if reason]
    return found[0] if found and len(found) == len(reasons) else ""


def _refused(call: Call) -> str:
    for item in call.node.keywords:
        if item.arg == "connect_args" and isinstance(item.value, ast.Dict):
            texts = [key.value for key in item.value.keys if isinstance(key, ast.Constant)]
            refused = sorted(text for text in texts if isinstance(text, str) and text in _CONNECT_ARGS)
            if refused:
                return f'its engine is given connect_args "{refused[0]}" ({call.where})'
        if item.arg == "isolation_level" and isinstance(item.value, ast.Constant) and item.value.value not in _LEVELS:
            return f"its engine requires the isolation level {item.value.value!s} ({call.where})"
    return ""


def _server_types(facts: Facts) -> str:
    for name, where in facts.imports.items():
        module, _, last = name.rpartition(".")
        if last in ONLY_POSTGRESQL and module.startswith("sqlalchemy"):
            return f"its tables have a column of PostgreSQL's type {last} ({where})"
    return ""


def _server_ddl(sources: Sources, files: Iterable[str]) -> str:
    for file in files:
        text = sources.text(file)
        has_tables = b"Column(" in text or b"mapped_column(" in text or b"__table_args__" in text
        found = _SERVER_DDL.search(text) if has_tables else None
        if found:
            line = text[: found.start()].count(b"\n") + 1
            return f"its tables are written for a server ({file}:{line})"
    return ""
