"""Find servers that a Python application connects to, and those it cannot start without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    ServiceKind.NATS: 4222,
    ServiceKind.MQTT: 1883,
}


def _by_name(names: Mapping[ServiceKind, str]) -> dict[str, ServiceKind]:
    return {name: kind for kind, listed in names.items() for name in listed.split()}


_SCHEMES: Final = _by_name(
    {
        ServiceKind.POSTGRESQL: "postgres postgresql asyncpg cockroachdb",
        ServiceKind.MYSQL: "mysql mariadb",
        ServiceKind.REDIS: "redis rediss",
        ServiceKind.MONGODB: "mongodb",
        ServiceKind.RABBITMQ: "amqp amqps",
        ServiceKind.NATS: "nats",
        ServiceKind.MQTT: "mqtt mqtts",
    }
)
# These connect when they are called.
_EAGER: Final = _by_name(
    {
        ServiceKind.POSTGRESQL: (
            "asyncpg.connect asyncpg.create_pool psycopg2.connect psycopg2.pool psycopg.connect "
            "psycopg.Connection.connect psycopg.AsyncConnection.connect psycopg_pool aiopg"
        ),
        ServiceKind.MYSQL: (
            "pymysql.connect MySQLdb.connect mysql.connector.connect mysql.connector.pooling aiomysql asyncmy"
        ),
        ServiceKind.RABBITMQ: "pika.BlockingConnection aio_pika",
        ServiceKind.NATS: "nats.connect",
        ServiceKind.MONGODB: "beanie.init_beanie",
        ServiceKind.REDIS: "arq.create_pool aioredis.create_redis_pool fastapi_limiter.FastAPILimiter.init",
    }
)
# These connect on first use.
_LAZY: Final = _by_name(
    {
        ServiceKind.MONGODB: (
            "pymongo motor mongoengine.connect flask_pymongo.PyMongo flask_mongoengine.MongoEngine odmantic.AIOEngine"
        ),
        ServiceKind.MYSQL: "flask_mysqldb.MySQL flaskext.mysql.MySQL",
        ServiceKind.REDIS: "redis aioredis flask_redis.FlaskRedis",
        ServiceKind.ELASTICSEARCH: "elasticsearch.Elasticsearch elasticsearch.AsyncElasticsearch",
        ServiceKind.MQTT: "paho.mqtt aiomqtt asyncio_mqtt fastapi_mqtt.FastMQTT flask_mqtt.Mqtt",
    }
)
# Client methods that send a request to the server.
_ASKING: Final = {
    "ping": (ServiceKind.REDIS, ServiceKind.MONGODB),
    **dict.fromkeys(("command", "server_info", "create_index", "list_database_names"), (ServiceKind.MONGODB,)),
    **dict.fromkeys(("list_collection_names", "insert_one", "find_one", "count_documents"), (ServiceKind.MONGODB,)),
    "init_beanie": (ServiceKind.MONGODB,),
}
_CLIENT_WORDS: Final = (
    "Client",
    "Redis",
    "from_url",
    "connect",
    "Engine",
    "Mongo",
    "MySQL",
    "Elasticsearch",
    "Pool",
    "Mqtt",
    "MQTT",
)


@dataclass(frozen=True, slots=True)
class Use:
    """A server that the application's own code connects to through a driver.

    Attributes:
        where: ``app/db.py:7``.
        at_startup: The application cannot start without the server.
    """

    kind: ServiceKind
    where: str
    at_startup: bool


def kind_of_scheme(url: str) -> ServiceKind | None:
    """Return the kind of server for a URL's scheme; None for SQLite and other schemes."""
    scheme, colon, _ = url.partition("://")
    return _SCHEMES.get(scheme.partition("+")[0].strip().lower()) if colon else None


def kind_of_call(name: str) -> ServiceKind | None:
    """Return the kind of server that a driver's function connects to; None for other functions."""
    return _kind(name, _EAGER) or _kind(name, _LAZY)


def find_uses(facts: Facts) -> list[Use]:
    """Return one use for each kind of server, preferring a use at startup."""
    uses: list[Use] = []
    for call in facts.calls:
        if (kind := _kind(call.name, _EAGER)) is not None:
            uses.append(Use(kind, call.where, facts.at_startup(call)))
        elif (kind := _kind(call.name, _LAZY)) is not None and any(
            word in call.name.rpartition(".")[2] for word in _CLIENT_WORDS
        ):
            uses.append(Use(kind, call.where, _asked_at_startup(kind, facts.calls, facts)))
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
