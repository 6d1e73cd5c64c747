"""Servers that the preview of a Node project gets: the ones that the project uses, its variables and needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from preview.detection.databases.services import DEFAULT_PORTS, SQL_KINDS
from preview.detection.node.address_uses import AddressUse
from preview.detection.node.databases import PROVIDERS
from preview.detection.node.project import NodeProject
from preview.detection.plan import ServiceKind, ServiceNeed, Variable
from preview.detection.settings import ProjectSettings, compose_values
from preview.detection.supplied.node import PACKAGES, SQLITE_PACKAGES, supplied_node_variables, wanted_server
from preview.detection.supplied.parts import named_ports
from preview.detection.supplied.supply import Supply
from preview.detection.supplied.tell import Obstacles, find_script_obstacles
from preview.detection.supplied.urls import SCHEMES

_DIALECT: Final = re.compile(
    r"\b(?:dialect|type|client)['\"]?\s{0,8}:\s{0,8}['\"](pg|postgres\w{0,4}|mysql2?|mariadb|(?:better-)?sqlite3?)['\"]"
)
_MAPPERS: Final = ("typeorm", "@nestjs/typeorm", "sequelize", "sequelize-typescript", "knex", "objection")
_KIND_NAME: Final = re.compile(r"(?:DB|DATABASE|SQL|TYPEORM|MIKRO_ORM)_?(?:TYPE|DIALECT|CLIENT|DRIVER)", re.IGNORECASE)
_SERVER_KIND: Final = re.compile(r"pg|postgres(?:ql)?|mysql2?|mariadb", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Servers:
    """Supplied servers of one project; empty if the preview gets none.

    Attributes:
        sql: The SQL server that the project wants, or None.
        used: Kinds of servers that it uses.
        place: Its ``package.json``.
    """

    supply: Supply
    sql: ServiceKind | None = None
    used: frozenset[ServiceKind] = frozenset()
    place: str = ""

    def with_provider(self, provider: str | None) -> Servers:
        """Return the servers of a project whose Prisma schema names its database; None without Prisma."""
        if provider is None:
            return self
        kind = PROVIDERS.get(provider)
        sql = kind if kind in SQL_KINDS and kind in self.supply.kinds else None
        return replace(self, sql=sql, used=(self.used - SQL_KINDS) | ({sql} if sql is not None else set()))

    def variables(
        self,
        settings: ProjectSettings,
        variables: Mapping[str, Variable],
        named: Iterable[str | None],
        uses: Mapping[str, AddressUse],
    ) -> dict[str, Variable]:
        """Return the variables with values that lead to the preview's own servers.

        Args:
            settings: The variables that the project reads.
            variables: The values that they have so far.
            named: Variables with the database's URL, which Prisma's schema names.
            uses: Variables that the sources pass to a driver.
        """
        if not self.used:
            return dict(variables)
        names = [name for name in named if name is not None]
        parts = {name: (use.kind, use.part) for name, use in uses.items()}
        return supplied_node_variables(settings, variables, self.sql, self.used, self.supply, names, parts)

    def needs(self, found: Iterable[ServiceNeed]) -> tuple[ServiceNeed, ...]:
        """Return the needs, with those of packages whose connection is not found in the sources."""
        needs = list(found)
        others = sorted(self.used - {need.kind for need in needs})
        needs += [ServiceNeed(kind, None, self.place, address=("localhost", DEFAULT_PORTS[kind])) for kind in others]
        return tuple(needs)

    def ports(
        self, settings: ProjectSettings, variables: Mapping[str, Variable], uses: Mapping[str, AddressUse]
    ) -> list[tuple[ServiceKind, str]]:
        """Return the ports at which the project's variables expect its servers."""
        parts = {name: (use.kind, use.part) for name, use in uses.items()}
        return list(named_ports(settings, variables, self.sql, self.used, parts))

    def obstacles(self, project: NodeProject, settings: ProjectSettings) -> Obstacles:
        """Return the fixed addresses and options to which no supplied server answers as they are."""
        if not self.used:
            return Obstacles()
        defaults = frozenset(read.default for read in settings.reads.values() if read.default)
        return find_script_obstacles([(name, project.text(name)) for name in project.reached], defaults, self.used)


def _may_use_a_file(project: NodeProject, settings: ProjectSettings) -> bool:
    """Return true if the project has a package for SQLite, and the first database that its files name is no server.

    Where none is named, SQLite may be for tests only: beside a server's package, one for developers that nothing names.
    """
    if not project.requires(*SQLITE_PACKAGES):
        return False
    config = project.find("config/config.json", "src/config/config.json")
    for name in (*([config] if config is not None else []), *project.by_reach):
        found = _DIALECT.search(project.text(name))
        if found is not None:
            return "sqlite" in found[1]
    if _is_told_a_server(settings):
        return False
    servers = [name for kind in SQL_KINDS for name in PACKAGES[kind]]
    if project.runs_with(*SQLITE_PACKAGES) or not project.runs_with(*servers):
        return True
    values = [one.value for one in (*settings.own.values(), *settings.examples.values())]
    return any("sqlite" in text for text in (*values, *map(project.text, project.reached)))


def _is_told_a_server(settings: ProjectSettings) -> bool:
    """Return true if a variable for the kind of database has a server's in the project's files: ``DB_TYPE=mysql``."""
    for name in settings.reads:
        told = settings.own.get(name) or settings.examples.get(name)
        if told is not None and _KIND_NAME.fullmatch(name):
            return _SERVER_KIND.fullmatch(told.value.strip()) is not None
    return False


def _by_use(project: NodeProject, installed: list[ServiceKind]) -> list[ServiceKind]:
    """Return the kinds, of two SQL servers the one first whose dialect the project's files name."""
    if len(SQL_KINDS.intersection(installed)) < 2:
        return installed
    named = next((found[1] for name in project.by_reach if (found := _DIALECT.search(project.text(name)))), "")
    wanted = ServiceKind.MYSQL if named.startswith("m") else ServiceKind.POSTGRESQL
    return sorted(installed, key=lambda kind: kind is not wanted) if named else installed


def _without_driver(project: NodeProject, installed: list[ServiceKind]) -> list[ServiceKind]:
    """Return the SQL server that the files name for TypeORM or the like if no manifest names a driver."""
    if SQL_KINDS.intersection(installed) or project.requires(*SQLITE_PACKAGES) or not project.requires(*_MAPPERS):
        return []
    named = next((found[1] for name in project.by_reach if (found := _DIALECT.search(project.text(name)))), "")
    kinds = {"p": ServiceKind.POSTGRESQL, "m": ServiceKind.MYSQL}
    return [kinds[named[0]]] if named[:1] in kinds else []


def find_servers(project: NodeProject, settings: ProjectSettings, supplied: frozenset[ServiceKind]) -> Servers:
    """Return the supplied servers that the project's packages and variables want."""
    kinds = supplied & frozenset(SCHEMES)
    if not kinds:
        return Servers(Supply())
    supply = Supply(kinds, composed=compose_values(project.sources))
    installed = [kind for kind, packages in PACKAGES.items() if project.requires(*packages)]
    installed += _without_driver(project, installed)
    sql = wanted_server(settings, supply, _by_use(project, installed), has_sqlite=_may_use_a_file(project, settings))
    used = frozenset(kind for kind in (*installed, sql) if kind in kinds and (kind not in SQL_KINDS or kind is sql))
    folder = "" if project.folder == "." else f"{project.folder}/"
    return Servers(supply, sql, used, f"{folder}package.json")
