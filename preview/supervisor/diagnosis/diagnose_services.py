"""Diagnosis of a missing backing service from a program's last lines. Pure; bounded by the bounds of the lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from preview.detection import ServiceKind, ServiceNeed
from preview.supervisor.diagnosis.diagnosis import (
    DEFAULT_PORTS,
    Address,
    Diagnosis,
    is_same_address,
    missing_service,
    refused_service,
)

_KINDS_BY_PORT = {port: kind for kind, port in DEFAULT_PORTS.items()}
_HOST = r"(?P<host>[\w.:-]{1,253}?)"
_PORT = r"(?P<port>\d{1,5})(?!\d|:\d)"

_POSTGRESQL, _MYSQL = ServiceKind.POSTGRESQL, ServiceKind.MYSQL
_REDIS, _MONGODB = ServiceKind.REDIS, ServiceKind.MONGODB

# Names of libraries for one kind of service, searched in the lines around an error that names no kind.
_LIBRARIES: tuple[tuple[str, ServiceKind], ...] = (
    ("asyncpg", _POSTGRESQL), ("psycopg", _POSTGRESQL), ("aiopg", _POSTGRESQL), ("pg-pool", _POSTGRESQL),
    ("node_modules/pg/", _POSTGRESQL), ("postgres", _POSTGRESQL),
    ("pymysql", _MYSQL), ("mysqldb", _MYSQL), ("aiomysql", _MYSQL), ("asyncmy", _MYSQL), ("mysql", _MYSQL),
    ("mongo", _MONGODB), ("motor", _MONGODB), ("beanie", _MONGODB),
    ("redis", _REDIS),
    ("aio_pika", ServiceKind.RABBITMQ), ("pika", ServiceKind.RABBITMQ), ("amqp", ServiceKind.RABBITMQ),
    ("elastic", ServiceKind.ELASTICSEARCH), ("kafka", ServiceKind.KAFKA),
    ("node_modules/nats", ServiceKind.NATS), ("/nats/aio", ServiceKind.NATS), ("mqtt", ServiceKind.MQTT),
)  # fmt: skip

# `Connected to PostgreSQL`: this one answers, so it is another that does not.
_ANSWERED = re.compile(
    r"\b(?<!not )connected to\b|\bconnection (?:established|successful|ok)\b|\bconnected successfully\b", re.IGNORECASE
)

# Libraries that connect to other servers.
_OTHER_LIBRARIES = (
    "smtplib", "aiosmtplib", "nodemailer", "smtp-connection", "urllib", "httpcore", "httpx", "aiohttp", "axios",
    "undici", "fetch failed", "memcache", "pylibmc", "memjs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Sign:
    """A pattern for a backing service that did not respond. ``kind`` None: the port or nearby lines tell the kind."""

    pattern: re.Pattern[str]
    kind: ServiceKind | None = None


def _sign(pattern: str, kind: ServiceKind | None = None) -> _Sign:
    return _Sign(re.compile(pattern), kind)


WITH_ADDRESS = (
    re.compile(rf"ECONNREFUSED {_HOST}:{_PORT}\b"),
    re.compile(rf"Connect call failed \('{_HOST}', {_PORT}\b"),
    re.compile(rf"HTTPS?Connection(?:Pool)?\(host='{_HOST}', port={_PORT}\)"),
    re.compile(rf"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) {_HOST}(?::{_PORT})?(?=\s|$)"),
)
"""The operating system's messages, with the address."""

_MISSING: tuple[_Sign, ...] = (
    # libpq, old and new
    _sign(
        rf'connection to server at "{_HOST}"(?: \([^)]{{1,60}}\))?, port {_PORT} failed: '
        r"(?!FATAL|server does not support SSL)",
        _POSTGRESQL,
    ),
    _sign(rf'[Ii]s the server running on host "{_HOST}".{{0,80}}TCP/IP connections on port {_PORT}', _POSTGRESQL),
    _sign(rf'could not translate host name "{_HOST}" to address', _POSTGRESQL),
    _sign(r'connection to server on socket "[^"]{1,200}" failed: No such file', _POSTGRESQL),
    _sign(rf"psycopg\S{{0,40}}OperationalError.{{0,40}}failed to resolve host '{_HOST}'", _POSTGRESQL),
    _sign(r"psycopg\S{0,40}OperationalError.{0,80}(?:[Cc]onnection refused|timeout expired)", _POSTGRESQL),
    # MySQL's errors 2002, 2003 and 2005
    _sign(rf"Can't connect to (?:MySQL|MariaDB) server on '{_HOST}(?::{_PORT})?'", _MYSQL),
    _sign(r"Can't connect to local (?:MySQL|MariaDB) server through socket|Can't connect to local server", _MYSQL),
    _sign(rf"Unknown (?:MySQL|MariaDB)? ?server host '{_HOST}'", _MYSQL),
    # MongoDB's drivers
    _sign(rf"ServerSelectionTimeoutError:? .{{0,80}}?{_HOST}:{_PORT}", _MONGODB),
    _sign(r"ServerSelection(?:Timeout)?Error|MongoNetworkError|buffering timed out after", _MONGODB),
    _sign(r"querySrv E\w{3,20} _mongodb\._tcp\.(?P<host>[\w.-]{1,253})", _MONGODB),
    _sign(r"pymongo.{0,40}ConfigurationError: (?:The DNS|The resolution|All nameservers|None of DNS)", _MONGODB),
    # Redis's
    _sign(rf"Error -?\d{{1,3}} (?:while )?connecting to {_HOST}:{_PORT}", _REDIS),
    _sign(rf"[Rr]edis connection to {_HOST}:{_PORT} failed", _REDIS),
    _sign(r"MaxRetriesPerRequestError|redis\.exceptions\.(?:Connection|Timeout)Error", _REDIS),
    # RabbitMQ's and Elasticsearch's
    _sign(r"AMQPConnectionError|aio_?pika\S{0,60}ConnectionError|aiormq\S{0,60}ConnectionError", ServiceKind.RABBITMQ),
    _sign(r"elastic(?:search|_transport)\S{0,60}ConnectionError", ServiceKind.ELASTICSEARCH),
    # Kafka's: aiokafka, librdkafka, kafka-python and KafkaJS
    _sign(rf"Unable to bootstrap from \[\('{_HOST}', {_PORT}", ServiceKind.KAFKA),
    _sign(rf"rdkafka#.{{0,200}}Connect to ipv[46]#{_HOST}:{_PORT} failed", ServiceKind.KAFKA),
    _sign(r"KafkaConnectionError|NoBrokersAvailable|KafkaJS\w{0,40}(?:ConnectionError|Exceeded)", ServiceKind.KAFKA),
    _sign(r"nats\.errors\.NoServersError|NatsError: CONNECTION_REFUSED", ServiceKind.NATS),
    # Prisma; the port tells the kind
    _sign(rf"Can't reach database server at `{_HOST}`?:`?{_PORT}`"),
    _sign(r"\bP1001\b"),
    # The operating system's messages
    *(_Sign(pattern) for pattern in WITH_ADDRESS if "HTTP" not in pattern.pattern),
    # NestJS says so of any error, also one of a query; the error follows.
    _sign(r"Unable to connect to the database(?!\. Retrying)"),
    _sign(r"Sequelize(?:ConnectionRefused|HostNotFound|Connection)Error"),
    _sign(r"ECONNREFUSED|ConnectionRefusedError|\[Errno 111\]|socket\.gaierror"),
)  # fmt: skip

# Messages of a running service that refuses: a missing database, or missing rights.
_REFUSED: tuple[tuple[re.Pattern[str], ServiceKind], ...] = (
    (re.compile(r'(?:FATAL: +|error: )?(?P<said>password authentication failed for user "[^"]{1,80}")'), _POSTGRESQL),
    (re.compile(r'(?P<said>(?:database|role) "[^"]{1,80}" does not exist)'), _POSTGRESQL),
    (re.compile(r"(?P<said>no password supplied|SASL: SCRAM-SERVER-FIRST-MESSAGE: .{1,80})"), _POSTGRESQL),
    (re.compile(r"(?P<said>Access denied for user '[^']{0,80}'@'[^']{0,80}')"), _MYSQL),
    (re.compile(r"(?P<said>Unknown database '[^']{1,80}')"), _MYSQL),
    (re.compile(r"(?P<said>NOAUTH Authentication required|WRONGPASS .{1,80})"), _REDIS),
    (re.compile(r"MongoServerError: (?P<said>Authentication failed|bad auth.{0,60})"), _MONGODB),
)  # fmt: skip

# A driver that was given no address at all.
_UNSET = re.compile(
    r"The `uri` parameter to `openUri\(\)` must be a string|You must specify a URI or set the MONGO_URI|"
    r"MongoParseError: Invalid scheme, expected connection string|"
    r"pymongo\S{0,40}InvalidURI: Invalid URI scheme: URI must begin with"
)

# Types that extensions of PostgreSQL bring, and an extension that the server's machine lacks.
_EXTENSION = re.compile(
    r'type "(?P<type>vector|halfvec|sparsevec|geometry|geography|citext|hstore|ltree)" does not exist|'
    r'extension "(?P<name>[\w-]{1,60})" is not available'
)
_EXTENSION_OF = {"halfvec": "vector", "sparsevec": "vector", "geometry": "postgis", "geography": "postgis"}
_PACKAGES = {"vector": " (apt: postgresql-VERSION-pgvector)", "postgis": " (apt: postgresql-VERSION-postgis-3)"}

# What the service answers in the server's place (``backing/postgresql.py``, ``mysql_session.py``).
_TOO_MANY = re.compile(r"too many connections: a preview may have (?P<most>\d{1,4})\b")

# Number of lines before and after an error in which its library is searched.
_AROUND_LINES = 40


def diagnose_services(lines: Sequence[str], needs: Sequence[ServiceNeed]) -> Diagnosis | None:
    """Diagnose the backing service that these lines name as missing or refusing; None if they name none.

    Args:
        lines: The program's output, oldest first, without colours.
        needs: Backing services found in the project's source.
    """
    newest_first = range(len(lines) - 1, -1, -1)
    return _first(newest_first, lambda number: _at_line(lines, number, needs) or _sql_server(lines[number]))


# Tedious, Node's driver.
_SQL_SERVER = re.compile(rf"\bFailed to connect to {_HOST}:{_PORT} - (?:[Cc]ould not connect|connect E|getaddrinfo )")


def _sql_server(line: str) -> Diagnosis | None:
    """Diagnose a Microsoft SQL Server that does not answer. No preview has one of its own."""
    match = _SQL_SERVER.search(line)
    if match is None:
        return None
    host, port = match["host"], int(match["port"])
    message = (
        f"It needs Microsoft SQL Server at {host}:{port}, and nothing answers there. Previews get none of their own: "
        "set the address of a server that the preview may reach."
    )
    facts = {"service": "Microsoft SQL Server", "host": host, "port": port, "setting": None, "where": None}
    return Diagnosis("missing_service", message, facts)


def _first(numbers: Sequence[int], read: Callable[[int], Diagnosis | None]) -> Diagnosis | None:
    for number in numbers:
        found = read(number)
        if found is not None:
            return found
    return None


def _at_line(lines: Sequence[str], number: int, needs: Sequence[ServiceNeed]) -> Diagnosis | None:
    line = lines[number]
    if extension := _EXTENSION.search(line):
        return _missing_extension(extension)
    if many := _TOO_MANY.search(line):
        most = int(many["most"])
        message = (
            f"The program opens more than {most} connections to its server, which is the most that a preview may have. "
            "Let it open fewer, with smaller or shared pools. The service's operator can allow more: "
            "PREVIEW_DATABASE_CONNECTIONS."
        )
        return Diagnosis("too_many_connections", message, {"connections": most})
    for pattern, kind in _REFUSED:
        if refused := pattern.search(line):
            return refused_service(kind, refused["said"], needs)
    if _UNSET.search(line):
        return missing_service(_MONGODB, ("undefined", None), needs)
    for sign in _MISSING:
        match = sign.pattern.search(line)
        if match is None:
            continue
        address = _address(match)
        around = lines[max(0, number - _AROUND_LINES) : number + _AROUND_LINES]
        if address is None:
            address = _refused_nearby(around)
        known = sign.kind or _kind(address, around, needs)
        if known is not None:
            return missing_service(known, _with_port(address, known), needs)
    return None


def _missing_extension(match: re.Match[str]) -> Diagnosis:
    name = match["name"] or _EXTENSION_OF.get(match["type"], match["type"])
    return Diagnosis(
        "missing_library",
        f"The PostgreSQL server has no extension {name!r} in this database. Install it beside the server"
        f"{_PACKAGES.get(name, '')}, and run CREATE EXTENSION IF NOT EXISTS in a migration.",
        {"extension": name},
    )


def _address(match: re.Match[str]) -> Address | None:
    groups = match.groupdict()
    if not groups.get("host"):
        return None
    return groups["host"], int(groups["port"]) if groups.get("port") else None


def _refused_nearby(around: Sequence[str]) -> Address | None:
    """Return an address from nearby lines: an error without an address often has it in the line of its cause."""
    for line in reversed(around):
        for pattern in WITH_ADDRESS:
            if match := pattern.search(line):
                return _address(match)
    return None


def _kind(address: Address | None, around: Sequence[str], needs: Sequence[ServiceNeed]) -> ServiceKind | None:
    """Choose by the address in the source, the port, a library in nearby lines, or the project's only kind."""
    for need in needs:
        if address is not None and need.address is not None and is_same_address(address, need.address):
            return need.kind
    if address is not None and address[1] in _KINDS_BY_PORT:
        return _KINDS_BY_PORT[address[1]]
    text = "\n".join(line for line in around if not _ANSWERED.search(line)).lower()
    found = [kind for word, kind in _LIBRARIES if word in text]
    if found:
        return found[0]
    if any(word in text for word in _OTHER_LIBRARIES):
        return None
    if address is not None and address[1] is None and "." in address[0]:
        # A name of the internet that cannot be found: another program's, unless the source has it.
        return None
    kinds = {need.kind for need in needs if _may_be_meant(address, need)}
    return kinds.pop() if len(kinds) == 1 else None


def _may_be_meant(address: Address | None, need: ServiceNeed) -> bool:
    """Return False for an address at another port than the service's, which says nothing about the service.

    A server of the preview's own answers at its port, so another port is another program's.
    """
    if address is None or address[1] is None:
        return True
    return not need.supplied if need.address is None else address[1] == need.address[1]


def _with_port(address: Address | None, kind: ServiceKind) -> Address | None:
    if address is None or address[1] is not None:
        return address
    return address[0], DEFAULT_PORTS[kind]


# src/backend/commands/dbcommands.c, user.c and extension.c of PostgreSQL.
_NO_RIGHT = re.compile(
    r"permission denied to (?P<what>create (?:database|role|extension)|set parameter \"session_replication_role\")"
    r"|must be superuser to (?P<rest>[a-z ]{1,40})"
)
_LAST_LINES = 200


def refused_right(lines: Sequence[str]) -> str | None:
    """Return what PostgreSQL has refused for want of an administrator's rights, in its words; None without any."""
    for line in reversed(lines[-_LAST_LINES:]):
        if (match := _NO_RIGHT.search(line)) is not None:
            return match["what"] or match["rest"].strip()
    return None


def may_be_administered(needs: Sequence[ServiceNeed]) -> bool:
    """Return whether one is the shared PostgreSQL, of which the project is no administrator."""
    return any(one.supplied and not one.administers and one.kind is _POSTGRESQL for one in needs)
