"""Choose the supplied server for a Django project whose ``DATABASES`` wants one, instead of SQLite."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from preview.detection.databases.branches import has_url
from preview.detection.databases.database import DatabaseChoice
from preview.detection.databases.django_database import (
    deciding_values,
    engine_server,
    known_values,
    names_in,
    tables_in,
    texts_in,
)
from preview.detection.databases.services import kind_of_scheme
from preview.detection.plan import Origin, ServiceKind, Variable
from preview.detection.settings import Need, ProjectSettings, SettingRead, is_database_url, is_sqlite_flag, variable_for
from preview.detection.supplied.choose import DATABASE_URL, as_supplied, supplied_url
from preview.detection.supplied.schemes import has_driver
from preview.detection.supplied.supply import SQLITE, Supply
from preview.detection.supplied.tell import replaces_database
from preview.detection.supplied.urls import SCHEMES, address_from, own_address
from preview.sources import Sources

_ENGINES: Final = {
    ServiceKind.POSTGRESQL: "django.db.backends.postgresql",
    ServiceKind.MYSQL: "django.db.backends.mysql",
}
_MODULE: Final = re.compile(r"\w{1,60}(?:\.\w{1,60}){1,8}", re.ASCII)
_ONLY_POSTGRESQL: Final = re.compile(rb"^(?:from|import)\s+django\.contrib\.postgres\b", re.MULTILINE)
_SSL: Final = "ssl_require"
_SCHEMES: Final = ("postgres", "postgis", "mysql", "pgsql", "psql")


def choose_supplied_django(
    sources: Sources, files: Iterable[str], settings: ProjectSettings, supply: Supply
) -> DatabaseChoice | None:
    """Return the choice of a supplied server; None if the project wants none that the preview gets."""
    if not supply:
        return None
    choice, tables = _choose(sources, list(files), settings, supply)
    ports = [
        value.value for table in tables for key, value in table if key == "PORT" and isinstance(value, ast.Constant)
    ]
    port = next((int(one) for one in map(str, ports) if one.isascii() and one.isdigit() and len(one) < 6), 0)
    return replace(choice, port=port) if choice is not None and 0 < port < 65536 else choice


def _choose(
    sources: Sources, files: Sequence[str], settings: ProjectSettings, supply: Supply
) -> tuple[DatabaseChoice | None, list[list[tuple[str, ast.expr]]]]:
    """Return the choice, and the tables of ``DATABASES`` that decide."""
    driver = next((kind for kind in supply.drivers.kinds() if kind in _ENGINES and kind in supply.kinds), None)
    flags = _flags(settings) if driver is not None else {}
    values = {name: value for name, value in known_values(settings).items() if name != DATABASE_URL}
    values |= {name: one.value for name, one in flags.items()} | _values(settings, supply)
    assigned = deciding_values(sources, files, values, choose=False)
    tables = [table for one in assigned for table in tables_in(one)]
    engines = [value for table in tables for key, value in table if key == "ENGINE"]
    texts = [text for node in engines for text in texts_in(node)]
    variables = [name for node in engines for name in names_in(node, settings)]
    urls = [read for read in settings.reads.values() if is_database_url(read)]
    if variables:
        read = settings.reads[variables[0]]
        kind = _by_variable(read, settings, supply) or _told(texts) or driver
        chosen = _engine_variable(read, settings, engines, kind)
        if kind == SQLITE and any(map(_has_sslmode, tables)):
            kind = ServiceKind.POSTGRESQL
            chosen = {read.name: variable_for(read, _ENGINES[kind])}
        return _choice(kind, settings, supply, chosen={**flags, **chosen}), tables
    kinds = {SQLITE if SQLITE in text else engine_server(text) for text in texts} - {None}
    # Later statements may only set an option: DATABASES["default"]["ATOMIC_REQUESTS"] = True
    deciding = next((one for one in reversed(assigned) if has_url(one) or any(tables_in(one))), None)
    if deciding is not None and has_url(deciding):
        choice = _by_url(deciding, urls, settings, supply, driver, kinds, flags)
        if choice is None and driver is ServiceKind.POSTGRESQL and _may_replace_sqlite(sources, files, settings):
            choice = _choice(driver, settings, supply, urls=urls, chosen=flags)
        return choice, tables
    if driver is ServiceKind.POSTGRESQL and _is_replaced(sources, files):
        return _choice(driver, settings, supply, chosen=flags), tables
    if driver is ServiceKind.POSTGRESQL and urls and _encrypts(sources, files) and _is_open(settings):
        return _choice(driver, settings, supply, urls=urls, chosen=flags), tables
    if len(kinds) != 1 or SQLITE in kinds:
        return None, tables
    return _choice(
        next(kind for kind in kinds if isinstance(kind, ServiceKind)), settings, supply, chosen=flags
    ), tables


def _has_sslmode(table: Iterable[tuple[str, ast.expr]]) -> bool:
    """Return whether the options have ``sslmode``, with which SQLite fails."""
    options = [value for key, value in table if key == "OPTIONS" and isinstance(value, ast.Dict)]
    return any(isinstance(key, ast.Constant) and key.value == "sslmode" for one in options for key in one.keys)


def _is_open(settings: ProjectSettings) -> bool:
    """Return whether no file of variables names another database than PostgreSQL."""
    named = settings.own.get(DATABASE_URL) or settings.examples.get(DATABASE_URL)
    return named is None or kind_of_scheme(named.value) is ServiceKind.POSTGRESQL


def _encrypts(sources: Sources, files: Iterable[str]) -> bool:
    """Return whether a URL is read with an option that SQLite refuses: ``dj_database_url.parse(ssl_require=True)``."""
    nodes = (node for file in files if b"ssl_require" in sources.text(file) for node in sources.nodes(file))
    given = (word.value for node in nodes if isinstance(node, ast.Call) for word in node.keywords if word.arg == _SSL)
    return any(isinstance(value, ast.Constant) and value.value is True for value in given)


def _may_replace_sqlite(sources: Sources, files: Iterable[str], settings: ProjectSettings) -> bool:
    """Return whether files use what only PostgreSQL has, and no file of variables names another database."""
    return _is_open(settings) and any(_ONLY_POSTGRESQL.search(sources.text(file)) for file in files)


def _is_replaced(sources: Sources, files: Iterable[str]) -> bool:
    """Return whether a platform's helper replaces ``DATABASES``, whatever they are."""
    nodes = (node for file in files if b"heroku.settings" in sources.text(file) for node in sources.nodes(file))
    return any(isinstance(node, ast.Call) and replaces_database(node) for node in nodes)


def _values(settings: ProjectSettings, supply: Supply) -> dict[str, str]:
    """Return ``DATABASE_URL`` for the conditions of a settings module, if the project has a value for it."""
    read = settings.reads.get(DATABASE_URL)
    text = next(supply.texts(read, settings), None) if read is not None else None
    return {DATABASE_URL: text} if text is not None else {}


def _flags(settings: ProjectSettings) -> dict[str, Variable]:
    """Return the flags for SQLite that have no value of the project."""
    reads = [read for read in settings.reads.values() if is_sqlite_flag(read.name) and read.need is Need.REQUIRED]
    return {read.name: variable_for(read, "False") for read in reads if read.name not in settings.own}


def _by_variable(read: SettingRead, settings: ProjectSettings, supply: Supply) -> ServiceKind | str | None:
    """Return the kind that the values of the engine's variable tell."""
    for text in supply.texts(read, settings):
        if "sqlite" in text.lower():
            return SQLITE
        if (kind := engine_server(text.lower())) is not None:
            return kind
    return None


def _told(texts: Iterable[str]) -> ServiceKind | str | None:
    """Return the kind of the constants of an engine; None if they are of several kinds."""
    kinds = {SQLITE if SQLITE in text else engine_server(text) for text in texts} - {None}
    return kinds.pop() if len(kinds) == 1 else None


def _engine_variable(
    read: SettingRead, settings: ProjectSettings, engines: Iterable[ast.expr], kind: ServiceKind | str | None
) -> dict[str, Variable]:
    """Return the value of the engine's variable, if the project has none."""
    if not isinstance(kind, ServiceKind) or kind not in _ENGINES or read.name in settings.own or read.default:
        return {}
    whole = _ENGINES[kind]
    example = settings.examples.get(read.name)
    if example is not None and _is_package_of(example.value, kind):
        return {read.name: Variable(read.name, example.value, Origin.EXAMPLE, example.file)}
    # Some projects read only the last part: f"django.db.backends.{os.getenv('DB_ENGINE')}"
    is_part = any(isinstance(node, ast.JoinedStr) for node in engines)
    return {read.name: variable_for(read, whole.rpartition(".")[2] if is_part else whole)}


def _is_package_of(engine: str, kind: ServiceKind) -> bool:
    """Return true for a package's engine for this kind of server: django-tenants', PostGIS'.

    Of Django's own, the example may have a name that this version of Django lacks.
    """
    return (
        _MODULE.fullmatch(engine) is not None
        and not engine.startswith("django.db.backends.")
        and engine_server(engine.lower()) is kind
    )


def _by_url(
    statement: ast.AST,
    urls: list[SettingRead],
    settings: ProjectSettings,
    supply: Supply,
    driver: ServiceKind | None,
    kinds: set[ServiceKind | str | None],
    flags: dict[str, Variable],
) -> DatabaseChoice | None:
    """Choose by the URL of ``env.db()`` or ``dj_database_url``: its values, its default, then the table before it."""
    told = [kind for read in urls if (kind := supply.told_kind(read, settings)) is not None]
    own = settings.own.get(DATABASE_URL) or settings.examples.get(DATABASE_URL) or supply.composed.get(DATABASE_URL)
    told += [kind for text in _urls_in(statement) if (kind := SQLITE if SQLITE in text else kind_of_scheme(text))]
    told += [kind] if own is not None and (kind := kind_of_scheme(own.value)) else []
    told += [ServiceKind.POSTGRESQL] if _demands_tls(statement) else []
    kind = told[0] if told else next(iter(kinds), None) if kinds else driver
    return _choice(kind, settings, supply, urls=urls, chosen=flags)


def _demands_tls(statement: ast.AST) -> bool:
    """Return whether the statement has ``ssl_require=True``, an option that PostgreSQL alone takes."""
    options = (node for node in ast.walk(statement) if isinstance(node, ast.keyword) and node.arg == "ssl_require")
    return any(not (isinstance(one.value, ast.Constant) and not one.value.value) for one in options)


def _urls_in(statement: ast.AST) -> Iterator[str]:
    for inner in ast.walk(statement):
        text = inner.value if isinstance(inner, ast.Constant) else None
        if isinstance(text, str) and ":/" in text and text.startswith((SQLITE, *_SCHEMES)):
            yield text


def _choice(
    kind: ServiceKind | str | None,
    settings: ProjectSettings,
    supply: Supply,
    *,
    urls: Iterable[SettingRead] = (),
    chosen: dict[str, Variable] | None = None,
) -> DatabaseChoice | None:
    if not isinstance(kind, ServiceKind) or kind not in _ENGINES or kind not in supply.kinds:
        return None
    own = own_address(kind, SCHEMES[kind])
    variables = dict(chosen or {})
    for read in urls:
        text = next((one for one in supply.texts(read, settings) if kind_of_scheme(one) is kind), None)
        is_made = text is not None and text == read.default and "*" in text
        if not is_made or read.name.upper() == DATABASE_URL:
            variables[read.name] = as_supplied(read, own if text is None else address_from(text, kind))
    if not any(name.upper() == DATABASE_URL for name in variables):
        mine = settings.own.get(DATABASE_URL)
        fits = mine is not None and kind_of_scheme(mine.value) is kind
        variables[DATABASE_URL] = supplied_url(address_from(mine.value, kind) if mine is not None and fits else own)
    driver = "psycopg2-binary" if kind is ServiceKind.POSTGRESQL else "pymysql"
    return DatabaseChoice(
        variables,
        server=kind,
        supplied=kind,
        setting=next((read.name for read in urls), None),
        requirements=() if has_driver(kind, supply.drivers) else (driver,),
    )
