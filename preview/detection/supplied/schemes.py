"""The form of a database's URL that a Python application needs, and the drivers that its URLs need."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from preview.detection.databases.services import kind_of_scheme
from preview.detection.databases.sql import Engine
from preview.detection.facts import Facts
from preview.detection.plan import ServiceKind
from preview.detection.supplied.drivers import Drivers
from preview.detection.supplied.urls import SCHEMES

_PG, _MYSQL = ServiceKind.POSTGRESQL, ServiceKind.MYSQL
# In order of preference; the last is taken if the project has none.
_ASYNC: Final = {_PG: ("asyncpg", "psycopg", "asyncpg"), _MYSQL: ("aiomysql", "asyncmy", "aiomysql")}
_SYNC: Final = {
    _PG: ("psycopg2", "psycopg", "pg8000", "psycopg2"),
    _MYSQL: ("pymysql", "MySQLdb", "mysql.connector", "pymysql"),
}
_ALL: Final = frozenset((*_ASYNC[_PG], *_ASYNC[_MYSQL], *_SYNC[_PG], *_SYNC[_MYSQL]))
_DIALECTS: Final = {"MySQLdb": "mysqldb", "mysql.connector": "mysqlconnector"}
_MODULES: Final = {"mysqldb": "MySQLdb", "mysqlconnector": "mysql.connector", "psycopg_async": "psycopg"}
# `mysqlclient` has to be compiled: it is never added.
_REQUIREMENTS: Final = {
    "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]",
    "mysql.connector": "mysql-connector-python",
    **{name: name for name in ("asyncpg", "pg8000", "pymysql", "aiomysql", "asyncmy")},
}
# Drivers that only an asyncio engine can use.
_ONLY_ASYNC: Final = ("asyncpg", "aiomysql", "asyncmy")


def scheme_for(engine: Engine | None, kind: ServiceKind, drivers: Drivers, facts: Facts, *, synchronous: bool) -> str:
    """Return the scheme of a URL that the application's engine can use.

    Args:
        engine: The application's engine; None if drivers use the URL directly.
        kind: Kind of server.
        drivers: Drivers that the project has.
        facts: The application's facts.
        synchronous: The URL is for a synchronous engine beside an asyncio one.
    """
    plain = SCHEMES[kind]
    if engine is not None and engine.library == "Tortoise" and kind is _PG:
        # Of the others, it does not know `postgresql`.
        return "psycopg" if drivers.has("psycopg") and not drivers.has("asyncpg") else "postgres"
    if engine is None or engine.library != "SQLAlchemy":
        return plain
    converted = next((old for old, new in _replaced(facts) if _is_conversion(old, new, kind)), None)
    if converted is not None:
        return converted.partition("://")[0]
    # `url.replace("://", "+asyncpg://")`
    if any(old == "://" and new.startswith("+") for old, new in _replaced(facts)):
        return plain
    driver = _driver(kind, drivers, asynchronous=engine.asynchronous and not synchronous)
    return f"{plain}+{_DIALECTS.get(driver, driver)}"


def synchronous_url(url: str, kind: ServiceKind, drivers: Drivers) -> str:
    """Return the URL for a synchronous engine."""
    scheme, sign, rest = url.partition("://")
    plain, plus, dialect = scheme.partition("+")
    if not plus or dialect not in _ONLY_ASYNC:
        return url
    driver = _driver(kind, drivers, asynchronous=False)
    return f"{plain}+{_DIALECTS.get(driver, driver)}{sign}{rest}"


def converts_to_synchronous(facts: Facts, texts: Iterable[bytes]) -> bool:
    """Return true if the project makes the URL for its migrations from that of its asyncio engine.

    Args:
        facts: The application's facts.
        texts: Alembic's ``env.py`` files.
    """
    words = tuple(word.encode() for word in _ONLY_ASYNC)
    replaced = any(name in old for old, _ in _replaced(facts) for name in _ONLY_ASYNC)
    return replaced or any(word in text for text in texts for word in words)


def missing_drivers(engine: Engine, kind: ServiceKind, urls: Iterable[str], drivers: Drivers) -> tuple[str, ...]:
    """Return requirements of drivers that these URLs need and the project lacks.

    Args:
        engine: The application's engine.
        kind: Kind of server.
        urls: URLs of the engine; other kinds of URLs are left out.
        drivers: Drivers that the project has.
    """
    urls = [url for url in urls if kind_of_scheme(url) is kind]
    # The second text of `url.replace("postgresql://", "postgresql+asyncpg://")`: no URL stays without a driver.
    is_converted = any(url.endswith("://") and "+" in url for url in urls)
    schemes = sorted({url.partition("://")[0].lower() for url in urls})
    needed = dict.fromkeys(
        driver
        for scheme in schemes
        if "+" in scheme or not is_converted
        for driver in _needed(engine, kind, scheme, drivers)
    )
    return tuple(_REQUIREMENTS[name] for name in needed if name in _REQUIREMENTS and not drivers.has(name))


def has_driver(kind: ServiceKind, drivers: Drivers) -> bool:
    """Return true if the project has any driver for this kind of server."""
    return kind in drivers.kinds()


def _needed(engine: Engine, kind: ServiceKind, scheme: str, drivers: Drivers) -> Iterator[str]:
    _, plus, dialect = scheme.partition("+")
    if plus:
        yield _MODULES.get(dialect, dialect)
    elif engine.asynchronous or engine.library in {"databases", "Tortoise"}:
        yield _driver(kind, drivers, asynchronous=True)
    elif kind is _PG and drivers.psycopg_by_default and engine.library == "SQLAlchemy":
        yield "psycopg"
        if not drivers.has("psycopg"):
            # An environment with packages of an earlier date may have an SQLAlchemy before 2.1.
            yield "psycopg2"
    elif kind is _PG:
        yield "psycopg2"
    elif not has_driver(kind, drivers):
        # In an environment without MySQLdb, PyMySQL takes its place.
        yield "pymysql"


def _driver(kind: ServiceKind, drivers: Drivers, *, asynchronous: bool) -> str:
    choices = (_ASYNC if asynchronous else _SYNC)[kind]
    return drivers.first(*choices) or choices[-1]


def _is_conversion(old: str, new: str, kind: ServiceKind) -> bool:
    """Match ``url.replace("postgresql://", "postgresql+asyncpg://")``."""
    return kind_of_scheme(old) is kind and "+" not in old and "+" in new.partition("://")[0]


def _replaced(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the texts of calls such as ``url.replace("a", "b")``."""
    for call in facts.calls:
        if call.name.rpartition(".")[2] == "replace" and len(call.node.args) >= 2:
            old, new = (one.value if isinstance(one, ast.Constant) else None for one in call.node.args[:2])
            if isinstance(old, str) and isinstance(new, str):
                yield old, new
