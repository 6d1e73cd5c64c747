"""Servers that a Python application connects to, and whether it starts without them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from preview.detection.facts import Call, Facts
from preview.detection.plan import ServiceKind

SQL_KINDS: Final = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL})
DEFAULT_PORTS: Final = {
    ServiceKind.POSTGRESQL: 5432,
    ServiceKind.MYSQL: 3306,
    ServiceKind.REDIS: 6379,
    ServiceKind.MONGODB: 27017,
    ServiceKind.RABBITMQ: 5672,
    ServiceKind.ELASTICSEARCH: 9200,
}
_SCHEMES: Final = {
    "postgres": ServiceKind.POSTGRESQL,
    "postgresql": ServiceKind.POSTGRESQL,
    "asyncpg": ServiceKind.POSTGRESQL,
    "cockroachdb": ServiceKind.POSTGRESQL,
    "mysql": ServiceKind.MYSQL,
    "mariadb": ServiceKind.MYSQL,
    "redis": ServiceKind.REDIS,
    "rediss": ServiceKind.REDIS,
    "mongodb": ServiceKind.MONGODB,
    "amqp": ServiceKind.RABBITMQ,
    "amqps": ServiceKind.RABBITMQ,
}
# They connect when they are called.
_EAGER: Final = {
    "asyncpg.connect": ServiceKind.POSTGRESQL,
    "asyncpg.create_pool": ServiceKind.POSTGRESQL,
    "psycopg2.connect": ServiceKind.POSTGRESQL,
    "psycopg2.pool": ServiceKind.POSTGRESQL,
    "psycopg.connect": ServiceKind.POSTGRESQL,
    "psycopg.Connection.connect": ServiceKind.POSTGRESQL,
    "psycopg.AsyncConnection.connect": ServiceKind.POSTGRESQL,
    "psycopg_pool": ServiceKind.POSTGRESQL,
    "aiopg": ServiceKind.POSTGRESQL,
    "pymysql.connect": ServiceKind.MYSQL,
    "MySQLdb.connect": ServiceKind.MYSQL,
    "mysql.connector.connect": ServiceKind.MYSQL,
    "mysql.connector.pooling": ServiceKind.MYSQL,
    "aiomysql": ServiceKind.MYSQL,
    "asyncmy": ServiceKind.MYSQL,
    "pika.BlockingConnection": ServiceKind.RABBITMQ,
    "aio_pika": ServiceKind.RABBITMQ,
    "beanie.init_beanie": ServiceKind.MONGODB,
    "arq.create_pool": ServiceKind.REDIS,
    "aioredis.create_redis_pool": ServiceKind.REDIS,
    "fastapi_limiter.FastAPILimiter.init": ServiceKind.REDIS,
}
# They connect when they are first used.
_LAZY: Final = {
    "pymongo": ServiceKind.MONGODB,
    "motor": ServiceKind.MONGODB,
    "mongoengine.connect": ServiceKind.MONGODB,
    "flask_pymongo.PyMongo": ServiceKind.MONGODB,
    "flask_mongoengine.MongoEngine": ServiceKind.MONGODB,
    "odmantic.AIOEngine": ServiceKind.MONGODB,
    "flask_mysqldb.MySQL": ServiceKind.MYSQL,
    "flaskext.mysql.MySQL": ServiceKind.MYSQL,
    "redis": ServiceKind.REDIS,
    "aioredis": ServiceKind.REDIS,
    "flask_redis.FlaskRedis": ServiceKind.REDIS,
    "elasticsearch.Elasticsearch": ServiceKind.ELASTICSEARCH,
    "elasticsearch.AsyncElasticsearch": ServiceKind.ELASTICSEARCH,
}
# Methods of a client that ask its server.
_ASKING: Final = {
    "ping": (ServiceKind.REDIS, ServiceKind.MONGODB),
    "command": (ServiceKind.MONGODB,),
    "server_info": (ServiceKind.MONGODB,),
    "create_index": (ServiceKind.MONGODB,),
    "list_database_names": (ServiceKind.MONGODB,),
    "list_collection_names": (ServiceKind.MONGODB,),
    "insert_one": (ServiceKind.MONGODB,),
    "find_one": (ServiceKind.MONGODB,),
    "count_documents": (ServiceKind.MONGODB,),
    "init_beanie": (ServiceKind.MONGODB,),
}
_CLIENT_WORDS: Final = ("Client", "Redis", "from_url", "connect", "Engine", "Mongo", "MySQL", "Elasticsearch", "Pool")


@dataclass(frozen=True, slots=True)
class Use:
    """A server that the application's own code reaches by a driver.

    Attributes:
        kind: Which.
        where: ``app/db.py:7``.
        at_startup: It does not come up without it.
        call: What reaches it.
    """

    kind: ServiceKind
    where: str
    at_startup: bool
    call: Call


def kind_of_scheme(url: str) -> ServiceKind | None:
    """Return the server that a URL's scheme names; None for SQLite and other schemes."""
    scheme, colon, _ = url.partition("://")
    return _SCHEMES.get(scheme.partition("+")[0].strip().lower()) if colon else None


def find_uses(facts: Facts) -> list[Use]:
    """One use for each kind of server, the one that matters most."""
    uses: list[Use] = []
    for call in facts.calls:
        kind = _kind(call.name, _EAGER)
        if kind is not None:
            uses.append(Use(kind, call.where, facts.at_startup(call), call))
            continue
        kind = _kind(call.name, _LAZY)
        if kind is not None and any(word in call.name.rpartition(".")[2] for word in _CLIENT_WORDS):
            uses.append(Use(kind, call.where, _asked_at_startup(kind, facts.calls, facts), call))
    best: dict[ServiceKind, Use] = {}
    for use in uses:
        if use.kind not in best or (use.at_startup and not best[use.kind].at_startup):
            best[use.kind] = use
    return list(best.values())


def _kind(name: str, table: dict[str, ServiceKind]) -> ServiceKind | None:
    while name:
        if name in table:
            return table[name]
        name = name.rpartition(".")[0]
    return None


def _asked_at_startup(kind: ServiceKind, calls: Iterable[Call], facts: Facts) -> bool:
    return any(kind in _ASKING.get(call.name.rpartition(".")[2], ()) and facts.at_startup(call) for call in calls)
