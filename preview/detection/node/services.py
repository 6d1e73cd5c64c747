"""Find servers that a Node project connects to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from preview.detection.databases.services import SQL_KINDS
from preview.detection.node.address_uses import AddressUse
from preview.detection.node.databases import PROVIDERS, DatabaseWork
from preview.detection.node.project import NodeProject
from preview.detection.plan import ServiceKind, ServiceNeed
from preview.detection.settings.model import SettingRead
from preview.detection.supplied.node import REDIS_PACKAGES
from preview.detection.supplied.parts import Part

ADDRESSES: Final = {
    ServiceKind.POSTGRESQL: "postgresql://preview:preview@localhost:5432/preview",
    ServiceKind.MYSQL: "mysql://preview:preview@localhost:3306/preview",
    ServiceKind.MONGODB: "mongodb://localhost:27017/preview",
    ServiceKind.REDIS: "redis://localhost:6379",
    ServiceKind.RABBITMQ: "amqp://localhost:5672",
    ServiceKind.ELASTICSEARCH: "http://localhost:9200",
    ServiceKind.NATS: "nats://localhost:4222",
    ServiceKind.MQTT: "mqtt://localhost:1883",
}
"""Default address of each service."""


@dataclass(frozen=True, slots=True)
class _Client:
    """A service's client packages, and patterns of how they connect."""

    kind: ServiceKind
    packages: tuple[str, ...]
    connects: re.Pattern[str]
    name: re.Pattern[str]
    # The client connects on its first request.
    lazy: bool = False


_CLIENTS: Final = (
    _Client(
        ServiceKind.MONGODB,
        ("mongoose", "mongodb", "@nestjs/mongoose", "monk", "connect-mongo", "connect-mongodb-session",
         "@typegoose/typegoose"),
        re.compile(
            r"\b[mM]ongoose\s*\.\s*(?:connect|createConnection)\s*\(|\bnew\s+MongoClient\s*\("
            r"|MongoClient\s*\.\s*connect\s*\(|MongooseModule\.forRoot|MongoStore\.create\("
            r"|\bconnect\(\s*(?:process\.env|uri|url|mongo|db)\w*|\bmonk\("
        ),
        re.compile(
            r"MONGO|^(?:DB|DATABASE)(?:_?URL|_?URI|_CONNECT\w*|_STRING|_LOCAL|_HOST)?$|CONNECTION_STRING|ATLAS",
            re.IGNORECASE,
        ),
    ),
    _Client(
        ServiceKind.POSTGRESQL,
        ("pg", "postgres", "pg-promise", "@neondatabase/serverless", "@vercel/postgres"),
        re.compile(
            r"\bnew\s+(?:\w+\.)?(?:Pool|Client)\s*\(|\bpostgres\s*\(|\bpgp\s*\("
            r"|(?:dialect|type|client):\s*['\"](?:pg|postgres)"
        ),
        re.compile(r"POSTGRES|^PG|^(?:DB|DATABASE)(?:_?URL|_?URI|_HOST)$", re.IGNORECASE),
        lazy=True,
    ),
    _Client(
        ServiceKind.MYSQL,
        ("mysql", "mysql2", "mariadb", "promise-mysql"),
        re.compile(r"\bcreate(?:Connection|Pool)\s*\(|(?:dialect|type|client):\s*['\"](?:mysql|mariadb)"),
        re.compile(r"MYSQL|MARIADB|^(?:DB|DATABASE)(?:_?URL|_?URI|_HOST)$|JAWSDB", re.IGNORECASE),
        lazy=True,
    ),
    _Client(
        ServiceKind.REDIS,
        REDIS_PACKAGES,
        re.compile(
            r"\bnew\s+(?:IO|Keyv)?(?:Redis|Valkey)\b|\b(?:redis\.)?createClient\s*\(|\bnew\s+(?:Queue|Worker|Bull|RedisStore)\s*\("
            r"|\b(?:Bull|Redis)Module\s*\.\s*(?:forRoot|register)|\bstore\s*:\s*\w{0,40}[rR]edis"
        ),
        re.compile(r"REDIS|VALKEY", re.IGNORECASE),
        lazy=True,
    ),
    _Client(
        ServiceKind.RABBITMQ,
        ("amqplib", "amqp-connection-manager", "rascal"),
        re.compile(r"\bamqp\w*\.connect\s*\(|\bTransport\.RMQ\b|\bRabbitMQModule\.forRoot"),
        re.compile(r"RABBIT|AMQP|CLOUDAMQP", re.IGNORECASE),
    ),
    _Client(
        ServiceKind.ELASTICSEARCH,
        ("@elastic/elasticsearch", "elasticsearch"),
        re.compile(r"\bnew\s+(?:elasticsearch\.)?Client\s*\("),
        re.compile(r"ELASTIC", re.IGNORECASE),
        lazy=True,
    ),
    _Client(
        ServiceKind.NATS,
        ("nats", "@nats-io/transport-node"),
        re.compile(r"\bTransport\.NATS\b|\bnats\.connect\s*\(|\bconnect\s*\(\s*\{\s*servers\b"),
        re.compile(r"(?:^|_)NATS(?:_|$)", re.IGNORECASE),
    ),
    _Client(
        ServiceKind.MQTT,
        ("mqtt",),
        re.compile(r"\bTransport\.MQTT\b|\bmqtt\.connect(?:Async)?\s*\("),
        re.compile(r"MQTT", re.IGNORECASE),
        lazy=True,
    ),
)  # fmt: skip
# Scripts that fill a database: people run them, not the application.
# `port: 3307`, `port: Number(process.env.DB_PORT) || 3307`, among the first options of a connection.
_PORT: Final = re.compile(r"\bport['\"]?\s{0,8}:[^,\n}]{0,80}?(\d{2,5})\b")
_OPTIONS: Final = 600
_ADDRESS_NAME: Final = re.compile(r"UR[IL]|STRING|HOST|SERVERS?$|BROKER")
_SEEDS: Final = re.compile(
    r"(?:^|/)(?:[\w-]*(?:populate|seed)[\w-]*|scripts|migrations|fixtures|tools)(?:\.\w+$|/)", re.IGNORECASE
)
# Code that ends the program, or keeps it from listening, when the connection fails.
_LISTENS_AFTER: Final = re.compile(
    r"\.then\s*\([\s\S]{0,500}?\.listen\s*\(|await\s+[\w.]*(?:[Cc]onnect|[Ii]nitiali[sz]e|authenticate|sync|DB|Db)\w*\s*\("
    r"[\s\S]{0,800}?\.listen\s*\(|once\(\s*['\"](?:open|connected)['\"][\s\S]{0,300}?\.listen\s*\(|\.on\(\s*['\"]open['\"][\s\S]{0,300}?\.listen\("
)
_THROUGH: Final = ("sequelize", "typeorm", "@nestjs/typeorm", "mongoose", "mongodb", "@nestjs/microservices")
_FAILS_ON_ERROR: Final = re.compile(
    r"\.on\(\s*['\"]error['\"][\s\S]{0,200}?(?:process\.exit|\bthrow\b)|new\s+MongoStore\(\s*\{[^}]*\burl\b"
    r"|\.connect\(\s*(?:function\s*\(\s*\w+|\(?\s*err\w*\s*\)?\s*=>)[\s\S]{0,120}?\bthrow\b"
)


def service_of_name(name: str, kinds: Sequence[ServiceKind]) -> ServiceKind | None:
    """Return the service that a variable of this name refers to, or None."""
    return next((one.kind for one in _CLIENTS if one.kind in kinds and one.name.search(name)), None)


def find_services(
    project: NodeProject,
    reads: Sequence[SettingRead],
    values: Mapping[str, str],
    work: DatabaseWork,
    uses: Mapping[str, AddressUse],
) -> tuple[ServiceNeed, ...]:
    """Return the servers that the project connects to, one for each kind.

    Args:
        project: The project.
        reads: The variables that it reads.
        values: Their values.
        work: The database of Prisma's schema.
        uses: Variables that the sources pass to a driver.
    """
    found: dict[ServiceKind, ServiceNeed] = {}
    for client in _CLIENTS:
        if not project.requires(*client.packages):
            continue
        for file in project.by_reach:
            if file not in project.reached and _SEEDS.search(file):
                continue
            text = _without_comments(project.text(file))
            match = client.connects.search(text)
            if match is None or not any(_mentions(text, package) for package in (*client.packages, *_THROUGH)):
                continue
            line = text.count("\n", 0, match.start()) + 1
            need = _need(project, client, file, line, reads, values, uses)
            # Seeders and other tools connect too, but the application does not run them.
            found[client.kind] = need if file in project.reached else replace(need, at_startup=False)
            break
    kind = PROVIDERS.get(work.provider or "")
    if kind is not None and kind not in found:
        address = _address(values.get(work.setting or "", ""))
        found[kind] = ServiceNeed(kind, work.setting, work.where, address=address)
    return tuple(found.values())


def _need(
    project: NodeProject,
    client: _Client,
    file: str,
    line: int,
    reads: Sequence[SettingRead],
    values: Mapping[str, str],
    uses: Mapping[str, AddressUse],
) -> ServiceNeed:
    passed = [name for name, use in uses.items() if _is_of(use, client.kind)]
    named = [read for read in reads if read.name in passed or client.name.search(read.name)]
    named.sort(key=lambda read: (read.name not in passed, "TEST" in read.name.upper()))
    here = [read.name for read in named if read.file == file] or [read.name for read in named]
    telling = {name for name in passed if uses[name].part in {Part.URL, Part.HOST}}
    here = [*telling.intersection(values), *here] if telling.intersection(values) else here
    setting = next((name for name in here if name in telling or _ADDRESS_NAME.search(name)), next(iter(here), None))
    fixed = _fixed_address(project.text(file), client.kind)
    # Of an address with its host written out, such a variable is the user's name or the password.
    if setting and setting not in telling and not _ADDRESS_NAME.search(setting) and _has_plain_host(fixed):
        setting = None
    value = values.get(setting, "") if setting else fixed
    if setting and not value:
        value = next((read.default or "" for read in named if read.name == setting), "")
    address = _address(value) or _with_port(_address(ADDRESSES[client.kind]), project.text(file), client)
    return ServiceNeed(client.kind, setting, f"{file}:{line}", _is_at_startup(project, client, file), address)


def _is_of(use: AddressUse, kind: ServiceKind) -> bool:
    return use.kind is kind or (use.kind is None and kind in SQL_KINDS)


def _is_at_startup(project: NodeProject, client: _Client, file: str) -> bool:
    """Return true if the program ends without the server, or listens only after it has connected."""
    text = _without_comments(project.text(file))
    entry = _without_comments(project.text(project.entry.file))
    if _LISTENS_AFTER.search(entry) or _LISTENS_AFTER.search(text):
        return True
    if _FAILS_ON_ERROR.search(text):
        return True
    for match in client.connects.finditer(text):
        if re.search(r"process\.exit\s*\(", text[match.start() : match.start() + 1500]):
            return True
    # An unhandled rejection ends Node.
    uncaught = (
        not client.lazy
        and ".catch" not in text
        and not re.search(r"\btry\b|=>\s*\{?\s*console|function\s*\(\s*err", text)
    )
    return uncaught and "unhandledRejection" not in entry


def _with_port(address: tuple[str, int] | None, text: str, client: _Client) -> tuple[str, int] | None:
    """Return the address with the port among the options of the connection, fixed or by default."""
    match = client.connects.search(text)
    found = _PORT.search(text, match.start(), match.start() + _OPTIONS) if match is not None else None
    port = int(found[1]) if found is not None else 0
    return (address[0], port) if address is not None and 0 < port < 65536 else address


def _fixed_address(text: str, kind: ServiceKind) -> str:
    scheme = urlsplit(ADDRESSES[kind]).scheme
    match = re.search(rf"{scheme.removesuffix('ql')}(?:ql)?(?:\+srv)?://[^\s'\"`]+", text)
    return match[0] if match else ""


def _has_plain_host(address: str) -> bool:
    found = _address(address)
    return found is not None and re.fullmatch(r"[\w.-]+", found[0]) is not None


def _address(value: str) -> tuple[str, int] | None:
    defaults = {"postgres": 5432, "postgresql": 5432, "mysql": 3306, "mongodb": 27017, "redis": 6379, "rediss": 6379,
                "amqp": 5672, "nats": 4222, "mqtt": 1883, "http": 80, "https": 443}  # fmt: skip
    try:
        parts = urlsplit(value.replace("mongodb+srv", "mongodb"))
        host = parts.hostname
        port = parts.port or defaults.get(parts.scheme)
    except ValueError:
        return None
    return (host, port) if host and port else None


def _mentions(text: str, package: str) -> bool:
    return any(f"{quote}{package}{end}" in text for quote in "'\"" for end in "'\"/")


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*//.*$|/\*[\s\S]*?\*/", lambda match: "\n" * match[0].count("\n"), text, flags=re.MULTILINE)
