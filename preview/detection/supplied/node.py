"""Servers of a Node project whose preview gets some: the one that it wants, and its variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from preview.detection.databases.services import SQL_KINDS, kind_of_scheme
from preview.detection.plan import ServiceKind, Variable
from preview.detection.settings import Need, ProjectSettings, SettingRead, is_database_url
from preview.detection.supplied.choose import DATABASE_URL, as_supplied, is_for_tests, supplied_url
from preview.detection.supplied.parts import Part, implicit_variables, local_variables
from preview.detection.supplied.supply import SQLITE, Supply
from preview.detection.supplied.urls import SCHEMES, address_from, own_address

REDIS_PACKAGES: Final = (
    "redis", "ioredis", "bull", "bullmq", "bee-queue", "kue", "connect-redis", "@nestjs/bull", "@nestjs/bullmq",
    "rate-limit-redis", "@fastify/redis", "handy-redis", "cacheman-redis", "cache-manager-redis-store",
    "cache-manager-ioredis", "cache-manager-redis-yet", "@keyv/redis", "keyv-redis", "@nestjs-modules/ioredis",
    "@liaoliaots/nestjs-redis", "@socket.io/redis-adapter", "socket.io-redis", "redis-om",
    "@redis/client", "@valkey/valkey-glide", "iovalkey", "@keyv/valkey", "@nest-lab/throttler-storage-redis",
)  # fmt: skip
"""Packages that connect to Redis or Valkey."""

PACKAGES: Final = {
    ServiceKind.POSTGRESQL: ("pg", "postgres", "pg-promise", "pg-native", "@neondatabase/serverless",
                             "@vercel/postgres", "@sequelize/postgres", "@mikro-orm/postgresql", "slonik"),
    ServiceKind.MYSQL: ("mysql", "mysql2", "mariadb", "promise-mysql", "@sequelize/mysql", "@sequelize/mariadb",
                        "@mikro-orm/mysql", "@mikro-orm/mariadb"),
    ServiceKind.REDIS: REDIS_PACKAGES,
}  # fmt: skip
"""Packages of each kind of server."""

SQLITE_PACKAGES: Final = (
    "sqlite3", "better-sqlite3", "sql.js", "sqlite", "@libsql/client", "@sequelize/sqlite3", "@mikro-orm/sqlite",
    "@mikro-orm/better-sqlite", "@mikro-orm/libsql",
)  # fmt: skip
"""Packages with which a project may use a file as its database."""


def wanted_server(
    settings: ProjectSettings, supply: Supply, installed: Sequence[ServiceKind], *, has_sqlite: bool
) -> ServiceKind | None:
    """Return the supplied SQL server that the project itself wants; None for a file, or without any.

    Args:
        settings: The variables that the project reads.
        supply: Servers that the preview gets.
        installed: Kinds of servers that its packages are for.
        has_sqlite: It may use a file: it has a package for SQLite, and its sources name no server before it.
    """
    for read in settings.reads.values():
        if is_for_tests(read):
            continue
        told = supply.told_kind(read, settings) if _is_url(read, settings, supply) else None
        if told == SQLITE:
            return None
        if isinstance(told, ServiceKind) and told in SQL_KINDS:
            return told if told in supply.kinds else None
    kind = next((kind for kind in installed if kind in SQL_KINDS), None)
    return kind if kind in supply.kinds and not has_sqlite else None


def _is_url(read: SettingRead, settings: ProjectSettings, supply: Supply) -> bool:
    told = supply.told_kind(read, settings)
    return is_database_url(read) or (isinstance(told, ServiceKind) and told in SQL_KINDS)


def supplied_node_variables(
    settings: ProjectSettings,
    variables: Mapping[str, Variable],
    sql: ServiceKind | None,
    kinds: frozenset[ServiceKind],
    supply: Supply,
    named: Iterable[str] = (),
    uses: Mapping[str, tuple[ServiceKind | None, Part]] | None = None,
) -> dict[str, Variable]:
    """Return the variables with values that lead to the preview's own servers; unchanged without any server.

    Args:
        settings: The variables that the project reads.
        variables: The values that they have so far.
        sql: The supplied SQL server that the project wants, or None.
        kinds: Kinds of supplied servers that it uses.
        supply: Servers that the preview gets.
        named: More variables with the database's URL, which Prisma's schema names.
        uses: Variables that the sources pass to a driver; see ``local_variables``.
    """
    decided: dict[str, Variable] = {}
    if sql is not None:
        reads = [
            read
            for read in settings.reads.values()
            if _is_url(read, settings, supply) and not _is_part(read, settings, supply, uses or {})
        ]
        known = {read.name for read in reads}
        reads += [
            SettingRead(name, "", 1, Need.OPTIONAL) for name in named if name not in known and name.isidentifier()
        ]
        decided = {read.name: one for read in reads if (one := _variable(read, settings, sql, supply)) is not None}
        if DATABASE_URL not in decided:
            decided[DATABASE_URL] = supplied_url(own_address(sql, SCHEMES[sql]))
    local = local_variables(settings, variables, decided, sql, supply, kinds, uses)
    implicit = {one.name: one for one in implicit_variables(sql)}
    return {**implicit, **variables, **local, **decided}


def _is_part(
    read: SettingRead, settings: ProjectSettings, supply: Supply, uses: Mapping[str, tuple[ServiceKind | None, Part]]
) -> bool:
    """Report whether a driver gets the value as its host or type, whatever the name says, and no text has a URL."""
    use = uses.get(read.name)
    return use is not None and use[1] in {Part.HOST, Part.DIALECT} and supply.told_kind(read, settings) is None


def _variable(read: SettingRead, settings: ProjectSettings, kind: ServiceKind, supply: Supply) -> Variable | None:
    """Return the local value of a variable with the database's URL; None for a URL of another kind."""
    text = next((one for one in supply.texts(read, settings) if kind_of_scheme(one) is kind), None)
    if text is not None:
        return as_supplied(read, address_from(text, kind))
    is_other = supply.told_kind(read, settings) is not None
    return None if is_other else as_supplied(read, own_address(kind, SCHEMES[kind]))
