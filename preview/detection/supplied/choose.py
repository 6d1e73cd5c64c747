"""Choose the supplied server for a Python application that wants one, instead of SQLite."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.databases.database import DatabaseChoice
from preview.detection.databases.services import SQL_KINDS, kind_of_scheme
from preview.detection.databases.sql import Engine
from preview.detection.expressions import last_name
from preview.detection.facts import Facts
from preview.detection.plan import Origin, ServiceKind, Variable
from preview.detection.settings import (
    Need,
    ProjectSettings,
    SettingRead,
    is_database_url,
    is_secret_name,
    is_sqlite_flag,
    variable_for,
)
from preview.detection.supplied.parts import PG_NAME
from preview.detection.supplied.schemes import (
    converts_to_synchronous,
    missing_drivers,
    scheme_for,
    synchronous_url,
)
from preview.detection.supplied.supply import SQLITE, Supply
from preview.detection.supplied.urls import address_from, is_usable, local_url, own_address
from preview.sources import Sources

DATABASE_URL: Final = "DATABASE_URL"
"""Every preview has this variable; without another value it names an SQLite file."""

_ON: Final = frozenset({"true", "1", "yes", "on"})
_SQL_NAME: Final = re.compile(rf"DATABASE|DB|SQLALCHEMY|DSN|POSTGRES|{PG_NAME}|MYSQL|MARIADB")
_TEST: Final = re.compile(r"(?:^|_)TEST(?:ING)?(?:_|$)")
_TYPES: Final = {
    "PostgresDsn": ServiceKind.POSTGRESQL,
    "CockroachDsn": ServiceKind.POSTGRESQL,
    "MySQLDsn": ServiceKind.MYSQL,
    "MariaDBDsn": ServiceKind.MYSQL,
}
_NAMES: Final = (
    (ServiceKind.MYSQL, re.compile(r"MYSQL|MARIADB")),
    (ServiceKind.POSTGRESQL, re.compile(rf"POSTGRES|{PG_NAME}")),
)
_ONLY_POSTGRESQL: Final = ("sqlalchemy.dialects.postgresql", "pgvector", "geoalchemy2", "django.contrib.postgres")


def choose_supplied(
    engine: Engine | None, settings: ProjectSettings, facts: Facts, supply: Supply, sources: Sources
) -> DatabaseChoice | None:
    """Return the choice of a supplied server; None if the project wants none that the preview gets.

    Args:
        engine: The application's engine; None if drivers use the address directly.
        settings: The application's variables.
        facts: The application's facts.
        supply: Servers that the preview gets.
        sources: The project's files.
    """
    if not supply:
        return None
    chooser = _Chooser(engine, settings, facts, supply)
    kind = chooser.kind()
    return chooser.choice(kind, sources) if kind is not None and kind in supply.kinds else None


@dataclass(frozen=True, slots=True)
class _Chooser:
    engine: Engine | None
    settings: ProjectSettings
    facts: Facts
    supply: Supply

    def kind(self) -> ServiceKind | None:
        """Return the kind of SQL server that the project itself wants, or None."""
        if any(map(self._chooses_sqlite, self.settings.reads.values())):
            return None
        reads = [read for read in self._urls() if not is_for_tests(read)]
        for read in reads:
            told = self.supply.told_kind(read, self.settings)
            if told == SQLITE:
                return None
            if isinstance(told, ServiceKind) and told in SQL_KINDS:
                return told
        literal = next((kind for one in self._literals() if (kind := kind_of_scheme(one))), None)
        schemes = [text for read in self._schemes() for text in self.supply.texts(read, self.settings)]
        if schemes and not reads:
            told = kind_of_scheme(f"{schemes[0]}://")
            return told if told in SQL_KINDS else None
        if not reads:
            return self._without_url(literal)
        if self.engine is not None and self._has_sqlite_file() and all(one.need is not Need.REQUIRED for one in reads):
            return None
        return _typed(reads) or literal or self._driver(imported_only=False)

    def _without_url(self, literal: ServiceKind | None) -> ServiceKind | None:
        """Return the kind for a project without a variable for the whole URL."""
        if literal is None:
            return None if any(self._sqlite_addresses()) else self._driver(imported_only=self.engine is None)
        switched = any(is_sqlite_flag(name) for name in self.settings.reads) or self._switches()
        return literal if switched or not self._has_sqlite_file() else None

    def choice(self, kind: ServiceKind, sources: Sources) -> DatabaseChoice:
        """Return the choice of a server of this kind."""
        reads = [read for read in self._urls() if self.supply.told_kind(read, self.settings) in {kind, None}]
        told = [read for read in reads if self.supply.told_kind(read, self.settings) is kind]
        # Beside the database's own URL, one that may be empty is for another account or another database.
        reads = [one for one in reads if not told or one in told or one.need is Need.REQUIRED or _is_main(one)]
        variables = {read.name: one for read in reads if (one := self._variable(read, kind, reads)) is not None}
        variables |= self._choosing(kind)
        for read in self._schemes():
            if next(self.supply.texts(read, self.settings), None) is None:
                variables[read.name] = variable_for(read, self._made_up(kind, synchronous=False).partition("://")[0])
        if not any(name.upper() == DATABASE_URL for name in variables):
            variables[DATABASE_URL] = supplied_url(self._made_up(kind, synchronous=False))
        for_migrations = self._for_migrations(kind, variables, sources)
        urls = [one.value for name, one in variables.items() if name in self.settings.reads]
        used = [*urls, *self._literals()]
        engine = self.engine
        return DatabaseChoice(
            variables,
            server=kind if engine is not None else None,
            supplied=kind,
            setting=next((read.name for read in reads), None),
            step_variables=for_migrations,
            step_requirements=self._missing((for_migrations or {}).values(), kind),
            requirements=self._missing(used, kind),
        )

    def _missing(self, urls: Iterable[str], kind: ServiceKind) -> tuple[str, ...]:
        return missing_drivers(self.engine, kind, urls, self.supply.drivers) if self.engine is not None else ()

    def _urls(self) -> list[SettingRead]:
        """Return the variables that set the whole URL of an SQL database, not only a part of it."""
        # `POSTGRES_URL` in f"postgresql://…@{POSTGRES_URL}/shop" is a host.
        kept = [self.settings.kept_as(one.host) for one in self.facts.addresses if one.host]
        hosts = {read.name for read in kept if read is not None}
        return [read for read in self.settings.reads.values() if read.name not in hosts and self._is_url(read)]

    def _schemes(self) -> list[SettingRead]:
        """Return the variables that set the scheme of a URL: ``f"{settings.DB_DRIVER}://…"``."""
        kept = (self.settings.kept_as(one.scheme_name) for one in self.facts.addresses if one.scheme_name)
        return [read for read in kept if read is not None and _SQL_NAME.search(read.name.upper())]

    def _is_url(self, read: SettingRead) -> bool:
        told = self.supply.told_kind(read, self.settings)
        if isinstance(told, ServiceKind):
            return told in SQL_KINDS and (read.name in self.settings.own or "://" in (read.default or "://"))
        if not is_database_url(read):
            return False
        if told == SQLITE or read.need is not Need.DEFAULTED:
            return True
        return not read.default and _SQL_NAME.search(read.name.upper()) is not None

    def _variable(self, read: SettingRead, kind: ServiceKind, reads: Sequence[SettingRead]) -> Variable | None:
        """Return the variable with its local value; None if the default is made of other variables."""
        text = next((one for one in self.supply.texts(read, self.settings) if kind_of_scheme(one) is kind), None)
        synchronous = _is_synchronous(read, reads) and read.name not in self._asynchronous()
        if text is None:
            value = self._made_up(kind, synchronous=synchronous)
        elif text == read.default and "*" in text and not _is_main(read):
            return None
        elif not is_usable(text) and "+" not in text.partition("://")[0]:
            value = self._made_up(kind, synchronous=synchronous)
        else:
            value = address_from(text, kind)
        return as_supplied(read, value, self._place(read, text))

    def _asynchronous(self) -> set[str]:
        """Return the names that the source passes to an asyncio engine: ``create_async_engine(settings.DB_URI)``."""
        calls = [one.node for one in self.facts.calls if one.name.rpartition(".")[2] == "create_async_engine"]
        given = [value for node in calls for value in (*node.args, *(one.value for one in node.keywords))]
        return {last_name(part) for value in given for part in ast.walk(value) if isinstance(part, ast.expr)}

    def _place(self, read: SettingRead, text: str | None) -> str:
        """Return the file of the example that the value is from; empty if it is from the source."""
        for values in (self.settings.own, self.settings.examples, self.supply.composed):
            found = values.get(read.name) or values.get(read.name.lower())
            if found is not None and found.value == text:
                return found.file
        return ""

    def _made_up(self, kind: ServiceKind, *, synchronous: bool) -> str:
        scheme = scheme_for(self.engine, kind, self.supply.drivers, self.facts, synchronous=synchronous)
        migrated = self.supply.migrated
        place = migrated.partition("://")[2]
        if kind_of_scheme(migrated) is kind and is_usable(migrated) and place.partition("/")[2]:
            # Alembic makes the tables there, unless the project's `env.py` says otherwise.
            return local_url(f"{scheme}://{place}")
        return own_address(kind, scheme)

    def _for_migrations(
        self, kind: ServiceKind, variables: dict[str, Variable], sources: Sources
    ) -> dict[str, str] | None:
        """Return the URLs for a synchronous ``env.py``; None if the project makes them itself, or needs none."""
        if self.engine is None or not self.engine.asynchronous or self.engine.library != "SQLAlchemy":
            return None
        if converts_to_synchronous(self.facts, (sources.text(one) for one in sources.names if one.endswith("/env.py"))):
            return None
        urls = {name: one.value for name, one in variables.items() if kind_of_scheme(one.value) is kind}
        return {name: synchronous_url(url, kind, self.supply.drivers) for name, url in urls.items()}

    def _choosing(self, kind: ServiceKind) -> dict[str, Variable]:
        """Return required variables that choose between SQLite and a server."""
        found = {}
        for read in self.settings.reads.values():
            if read.name in self.settings.own or read.need is not Need.REQUIRED:
                continue
            words = sorted(self.facts.compared.get(read.name, set()) | set(read.choices))
            if is_sqlite_flag(read.name):
                found[read.name] = variable_for(read, "False")
            elif any("sqlite" in word.lower() for word in words):
                part = "postg" if kind is ServiceKind.POSTGRESQL else "m"
                word = next((word for word in words if part in word.lower() and "/" not in word), None)
                found |= {read.name: variable_for(read, word)} if word is not None else {}
        return found

    def _chooses_sqlite(self, read: SettingRead) -> bool:
        """Return true for a flag that is on, and for a variable such as ``DB_TYPE`` whose own value is SQLite."""
        text = next(self.supply.texts(read, self.settings), "").lower()
        if is_sqlite_flag(read.name):
            return text in _ON
        words = self.facts.compared.get(read.name, set()) | set(read.choices)
        return "sqlite" in text and "/" not in text and any("sqlite" in word.lower() for word in words)

    def _switches(self) -> bool:
        compared = (self.facts.compared.get(name, set()) for name in self.settings.reads)
        return any("sqlite" in word.lower() for words in compared for word in words)

    def _literals(self) -> Iterator[str]:
        """Yield the URLs in the source that are no defaults of variables and no bare schemes."""
        defaults = {read.default for read in self.settings.reads.values()}
        for one in self.facts.addresses:
            if one.text not in defaults and kind_of_scheme(one.text) in SQL_KINDS:
                yield one.text

    def _sqlite_addresses(self) -> Iterator[str]:
        """Yield the addresses of SQLite in the source, without the defaults of variables that only tests use."""
        for_tests = {read.default for read in self.settings.reads.values() if is_for_tests(read)}
        yield from (one.text for one in self.facts.addresses if one.scheme == "sqlite" and one.text not in for_tests)

    def _has_sqlite_file(self) -> bool:
        files = (text.partition("://")[2] for text in self._sqlite_addresses())
        return any(file.strip("/") and ":memory:" not in file for file in files)

    def _driver(self, *, imported_only: bool) -> ServiceKind | None:
        """Return the kind of server that the drivers are for."""
        if self.engine is not None and self.facts.imported(*_ONLY_POSTGRESQL):
            return ServiceKind.POSTGRESQL
        kinds = self.supply.drivers.kinds(imported_only=imported_only)
        return next((kind for kind in kinds if kind in SQL_KINDS), None)


def _is_main(read: SettingRead) -> bool:
    """Return true for ``DATABASE_URL``."""
    return read.name.upper() == DATABASE_URL


def is_for_tests(read: SettingRead) -> bool:
    """Return true for a variable that only tests use: ``TEST_DATABASE_URL``."""
    return _TEST.search(read.name.upper()) is not None


def supplied_url(value: str) -> Variable:
    """Return ``DATABASE_URL`` with this value, for libraries that read it though no source file names it."""
    return Variable(DATABASE_URL, value, Origin.SUPPLIED)


def as_supplied(read: SettingRead, value: str, file: str = "") -> Variable:
    """Return a variable of a supplied server; ``file`` is the example that the value is from."""
    origin = Origin.EXAMPLE if file else Origin.MADE_UP
    if _is_main(read):
        origin = Origin.SUPPLIED
    secret = is_secret_name(read.name) and "://" not in value
    return Variable(read.name, value, origin, file or read.where, secret)


def _typed(reads: Iterable[SettingRead]) -> ServiceKind | None:
    """Return the kind that a variable's declared type or its name tells."""
    for read in reads:
        kind = _TYPES.get(read.annotation.rstrip("?"))
        kind = kind or next((kind for kind, pattern in _NAMES if pattern.search(read.name.upper())), None)
        if kind is not None:
            return kind
    return None


def _is_synchronous(read: SettingRead, reads: Sequence[SettingRead]) -> bool:
    """Return true for a URL without a sign of asyncio, if another URL has such a sign."""
    signs = {item.name: "async" in f"{item.name} {item.default or ''}".lower() for item in reads}
    return any(signs.values()) and not signs[read.name]
