"""Choose the database of a Python application: SQLite if the address can be configured, else a server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from preview.detection.databases.services import kind_of_scheme
from preview.detection.databases.sql import Engine
from preview.detection.facts import Facts
from preview.detection.plan import Origin, ServiceKind, Variable
from preview.detection.settings import (
    Need,
    ProjectSettings,
    SettingRead,
    is_database_url,
    is_sqlite_flag,
    make_up,
    variable_for,
)

_DRIVERS: Final = {ServiceKind.POSTGRESQL: "postgresql", ServiceKind.MYSQL: "mysql"}
_SERVERS: Final = {
    ServiceKind.POSTGRESQL: "postgres:postgres@localhost:5432/postgres",
    ServiceKind.MYSQL: "root:root@localhost:3306/preview",
}


@dataclass(frozen=True, slots=True)
class DatabaseChoice:
    """The decision about the project's database.

    Attributes:
        variables: Values of the variables that configure the database.
        sqlite: True if SQLite replaces a server, or is the project's own choice.
        server: The kind of server that the project needs instead, or None.
        supplied: The kind of SQL server that the preview gets and the project wants, or None.
        port: The server's port, where Django's settings have it as a constant.
        setting: The variable that configures the database's address.
        step_variables: Variables for migrations, whose URL must not name an asyncio driver.
        step_requirements: Drivers that ``step_variables`` need.
    """

    variables: Mapping[str, Variable] = field(default_factory=dict)
    sqlite: bool = False
    server: ServiceKind | None = None
    supplied: ServiceKind | None = None
    port: int | None = None
    setting: str | None = None
    step_variables: Mapping[str, str] | None = None
    step_requirements: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def choose_database(engine: Engine | None, settings: ProjectSettings, facts: Facts) -> DatabaseChoice:
    """Choose the database of an application other than Django."""
    reads = [read for read in settings.reads.values() if is_database_url(read)]
    others = {ServiceKind.MONGODB, ServiceKind.REDIS}
    sql = [read for read in reads if _kind(read, settings) not in others and _decides(read, settings)]
    if engine is None:
        return _servers_only(reads, settings, facts)
    obstacle = engine.obstacle or _typed_for_a_server(sql)
    if not sql:
        return _without_url(settings, facts)
    server = next((kind for read in sql if (kind := _kind(read, settings))), None)
    if obstacle and (server or _typed_for_a_server(sql)):
        return _server(sql, settings, server or ServiceKind.POSTGRESQL, obstacle)
    return _sqlite(engine, sql, settings, server)


def _decides(read: SettingRead, settings: ProjectSettings) -> bool:
    """Return true if the variable sets the whole database URL, not only a part."""
    if read.need is not Need.DEFAULTED or _held(settings.own, read):
        return True
    default = read.default or ""
    generic = re.search(r"DATABASE|DB|SQLALCHEMY|DSN", read.name.upper()) is not None
    return "://" in default or (generic and not default)


def _kind(read: SettingRead, settings: ProjectSettings) -> ServiceKind | None:
    for text in (_held(settings.own, read), _held(settings.examples, read), read.default):
        kind = kind_of_scheme(text) if text else None
        if kind is not None:
            return kind
        if text and text.startswith("sqlite"):
            return None
    return None


def _held(values: Mapping[str, object], read: SettingRead) -> str | None:
    value = values.get(read.name) or values.get(read.name.lower())
    return getattr(value, "value", None)


def _typed_for_a_server(reads: Iterable[SettingRead]) -> str:
    for read in reads:
        if read.annotation.rstrip("?") in {"PostgresDsn", "MySQLDsn", "MariaDBDsn", "CockroachDsn"}:
            return f"{read.name} is declared as {read.annotation.rstrip('?')} ({read.where})"
    return ""


def _sqlite(
    engine: Engine, reads: list[SettingRead], settings: ProjectSettings, server: ServiceKind | None
) -> DatabaseChoice:
    variables: dict[str, Variable] = {}
    replaced: list[str] = []
    for read in reads:
        own = _held(settings.own, read) or ""
        default = read.default or ""
        if own.startswith("sqlite"):
            variables[read.name] = Variable(read.name, own, Origin.EXAMPLE, settings.own[read.name].file)
        elif read.name.upper() == "DATABASE_URL" or not default.startswith("sqlite"):
            url = engine.sqlite_url(synchronous=_is_synchronous(read, reads))
            variables[read.name] = supplied(variable_for(read, url))
            if not default.startswith("sqlite"):
                replaced.append(read.name)
    decisions = []
    if replaced:
        instead = f" instead of {server}" if server else ""
        decisions.append(f"SQLite{instead}: {' and '.join(replaced)} can be set ({reads[0].where})")
    driver = ("aiosqlite",) if engine.asynchronous and variables else ()
    plain = dict.fromkeys(variables, "sqlite:///{database_path}") if engine.asynchronous else None
    return DatabaseChoice(
        variables, True, setting=reads[0].name, step_variables=plain, requirements=driver, decisions=tuple(decisions)
    )


def supplied(variable: Variable) -> Variable:
    """Mark ``DATABASE_URL`` as supplied, because every preview gets this variable."""
    return replace(variable, origin=Origin.SUPPLIED) if variable.name.upper() == "DATABASE_URL" else variable


def _is_synchronous(read: SettingRead, reads: list[SettingRead]) -> bool:
    """Return true for a URL without a sign of asyncio, if another URL has such a sign."""
    signs = {item.name: "async" in f"{item.name} {item.default or ''}".lower() for item in reads}
    return any(signs.values()) and not signs[read.name]


def _server(reads: list[SettingRead], settings: ProjectSettings, server: ServiceKind, obstacle: str) -> DatabaseChoice:
    variables = {}
    for read in reads:
        text = _held(settings.own, read) or _held(settings.examples, read) or read.default or ""
        scheme = text.partition("://")[0] if kind_of_scheme(text) is server else _DRIVERS[server]
        own = settings.own.get(read.name)
        if own is not None:
            variables[read.name] = Variable(read.name, own.value, Origin.EXAMPLE, own.file)
        else:
            variables[read.name] = variable_for(read, f"{scheme}://{_SERVERS[server]}")
    sentence = f"{server} and not SQLite, because {obstacle}"
    return DatabaseChoice(variables, server=server, setting=reads[0].name, decisions=(sentence,))


def _without_url(settings: ProjectSettings, facts: Facts) -> DatabaseChoice:
    """Choose without a URL variable: a flag may select SQLite, or the URL is composed of parts or fixed."""
    flags = {
        read.name: variable_for(read, _flag(read, facts))
        for read in settings.reads.values()
        if is_sqlite_flag(read.name) and read.name not in settings.own and not _is_on(read.default)
    }
    switches = {
        read.name: variable_for(read, choice)
        for read in settings.reads.values()
        if (choice := _switch(read, facts)) and read.name not in settings.own
    }
    chosen = flags | switches
    if chosen:
        names = " and ".join(chosen)
        return DatabaseChoice(chosen, True, setting=names, decisions=(f"SQLite: selected by {names}",))
    if any(is_sqlite_flag(name) for name in settings.reads):
        return DatabaseChoice(sqlite=True)
    kinds = [kind for address in facts.addresses if (kind := kind_of_scheme(address.text))]
    local = any(address.scheme == "sqlite" for address in facts.addresses)
    server = next((kind for kind in kinds if kind in _DRIVERS), None)
    if server is None or local:
        return DatabaseChoice(sqlite=True)
    return DatabaseChoice(server=server)


def _flag(read: SettingRead, facts: Facts) -> str | None:
    """Return the true-like word that the source compares the flag with."""
    words = facts.compared.get(read.name, set()) | set(read.choices)
    return next((word for word in sorted(words) if word.lower() in {"true", "1", "yes", "on"}), None)


def _is_on(default: str | None) -> bool:
    return (default or "").lower() in {"true", "1", "yes", "on"}


def _switch(read: SettingRead, facts: Facts) -> str | None:
    """Return the value that selects SQLite, for variables such as ``DB_TYPE`` that are compared with it."""
    words = facts.compared.get(read.name, set()) | set(read.choices)
    sqlite = next((word for word in sorted(words) if "sqlite" in word.lower() and "/" not in word), None)
    return sqlite if sqlite and "sqlite" not in (read.default or "").lower() else None


def _servers_only(reads: list[SettingRead], settings: ProjectSettings, facts: Facts) -> DatabaseChoice:
    """Keep addresses of servers unchanged, because drivers use them directly."""
    variables = {}
    for read in reads:
        text = _held(settings.own, read)
        if text is not None:
            variables[read.name] = Variable(read.name, text, Origin.EXAMPLE, settings.own[read.name].file)
            continue
        text = _held(settings.examples, read) or read.default or ""
        kind = kind_of_scheme(text) or _driver(facts)
        if kind is not None:
            local = text if kind_of_scheme(text) is kind and "localhost" in text else _address(kind, read)
            variables[read.name] = variable_for(read, local)
    return DatabaseChoice(variables)


def _driver(facts: Facts) -> ServiceKind | None:
    table = (
        (ServiceKind.MONGODB, ("motor", "pymongo", "beanie", "odmantic", "mongoengine", "flask_pymongo")),
        (ServiceKind.POSTGRESQL, ("asyncpg", "psycopg2", "psycopg", "psycopg_pool", "aiopg")),
        (ServiceKind.MYSQL, ("pymysql", "MySQLdb", "mysql", "aiomysql", "flask_mysqldb")),
    )
    return next((kind for kind, modules in table if facts.imported(*modules)), None)


def _address(kind: ServiceKind, read: SettingRead) -> str:
    if kind in _DRIVERS:
        return f"{_DRIVERS[kind]}://{_SERVERS[kind]}"
    return "mongodb://localhost:27017/preview" if kind is ServiceKind.MONGODB else make_up(read)
