"""Values of the variables that name a supplied server: its URL, or the parts of its address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from preview.detection.databases.services import DEFAULT_PORTS, kind_of_scheme
from preview.detection.plan import Origin, ServiceKind, Variable
from preview.detection.settings import Kind, Need, ProjectSettings, SettingRead, is_secret_name
from preview.detection.supplied.supply import Supply
from preview.detection.supplied.urls import LOCAL, SCHEMES, address_from, is_reached, own_address


class Part(Enum):
    """The part of a server's address that a variable has."""

    URL = auto()
    HOST = auto()
    PORT = auto()
    USER = auto()
    PASSWORD = auto()
    NAME = auto()
    TLS = auto()
    DIALECT = auto()


_PARTS: Final = (
    (Part.TLS, re.compile(r"_?(?:SSL|TLS)(?:_?(?:MODE|ENABLED|REQUIRED?))?$")),
    (
        Part.URL,
        re.compile(r"(?:UR[IL]|DSN|CONN(?:ECTION)?(?:_?STR(?:ING)?)?)$|(?:CELERY\w*|RESULT|REDIS)_(?:BROKER|BACKEND)$"),
    ),
    (Part.HOST, re.compile(r"(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS|ENDPOINT)$")),
    (Part.PORT, re.compile(r"PORT$")),
    (Part.USER, re.compile(r"USER(?:NAME)?$")),
    (Part.PASSWORD, re.compile(r"PASS(?:WORD|WD)?$|PWD$")),
    # Not the name of a schema in it, which nothing makes.
    (Part.NAME, re.compile(r"^(?!.*SCHEMA).*(?:NAME|_DB|DATABASE|^DB)$")),
)
PG_NAME: Final = r"(?:^|_)PG(?:_(?:HOST|PORT|USER|PASS|PW|DB|DATA|NAME|UR[IL]|DSN|CONN|SSL|SERVER|ADDR)|$)"
"""Pattern of a name about PostgreSQL: ``PG_URL``. A project may have a prefix such as ``PG_ATLAS_`` for all names."""

_NAMES: Final = (
    (ServiceKind.REDIS, re.compile(r"REDIS|VALKEY|^CELERY_(?:BROKER|RESULT)|^BROKER_URL$|RESULT_BACKEND")),
    (ServiceKind.MYSQL, re.compile(r"MYSQL|MARIADB")),
    (ServiceKind.POSTGRESQL, re.compile(rf"POSTGRES|{PG_NAME}|^PG(?:HOST|PORT|USER|PASSWORD|DATABASE|SSLMODE)$")),
)
_ANY_SQL: Final = re.compile(
    r"^(?:\w+_)?(?:DB|DATABASE|SQL|SQLALCHEMY|RDS)(?:_|$)|^DB(?:HOST|PORT|USER|PASS|PASSWORD|NAME)$"
)
_OTHERS: Final = re.compile(
    r"MONGO|CHROMA|VECTOR|NEO4J|INFLUX|CLICKHOUSE|DYNAMO|COUCH|FIREBASE|SUPABASE|COSMOS|QDRANT|PINECONE|WEAVIATE|ELASTIC"
    r"|PGADMIN|MAIL|SMTP|EXPORTER|DUCK|SQLITE"
)
_DEMANDS: Final = frozenset({"true", "1", "yes", "on", "require", "required", "verify-ca", "verify-full", "verify_ca"})
_PREVIEW: Final = "preview"
# ``DB_HOST_1`` and ``DB_HOST_2``: a list of servers.
_NUMBER: Final = re.compile(r"_?\d{1,2}$")
_MAX_HOST: Final = 255


def local_variables(
    settings: ProjectSettings,
    variables: Mapping[str, Variable],
    decided: Mapping[str, Variable],
    sql: ServiceKind | None,
    supply: Supply,
    kinds: frozenset[ServiceKind],
    uses: Mapping[str, tuple[ServiceKind | None, Part]] | None = None,
) -> dict[str, Variable]:
    """Return the variables whose values lead to the preview's own servers.

    Args:
        settings: The variables that the project reads.
        variables: Values that the project's variables have so far.
        decided: Those of them that need no change.
        sql: Kind of the project's supplied SQL server, which names such as ``DB_HOST`` mean; or None.
        supply: Servers that the preview gets, with the values of compose files.
        kinds: Kinds of supplied servers that the project uses.
        uses: Kind and part of an address by the variable's name, where the source tells them; the kind is None for
            the SQL server.
    """
    found = {}
    for read in settings.reads.values():
        # An object, such as a model of pydantic with its own fields, is no part of an address.
        if read.name in decided or read.kind is Kind.OBJECT:
            continue
        used, part = (uses or {}).get(read.name, (None, None))
        kind = used or _kind(read, settings, variables, sql) or (sql if part is not None else None)
        if kind is None or kind not in kinds:
            continue
        before = variables.get(read.name) or _own(read, settings)
        part = part or part_of(read.name)
        value = _value(read, kind, before, part)
        if part is Part.URL and before is None and not read.default:
            # With its user and password: the program may use them.
            told = next((text for text in supply.texts(read, settings) if kind_of_scheme(text) is kind), None)
            value = value if told is None else address_from(told, kind)
        default = read.default
        if before is None and default is not None and read.need is Need.OPTIONAL:
            # Of two files that read it, one has no default.
            value, default = value or default, None
        if value is not None and value != (before.value if before is not None else default):
            found[read.name] = _changed(read, value, before)
    return found


def named_ports(
    settings: ProjectSettings,
    variables: Mapping[str, Variable],
    sql: ServiceKind | None,
    kinds: frozenset[ServiceKind],
    uses: Mapping[str, tuple[ServiceKind | None, Part]] | None = None,
) -> Iterator[tuple[ServiceKind, str]]:
    """Yield the ports at which the variables expect a supplied server; for the arguments see ``local_variables``."""
    for read in settings.reads.values():
        used, part = (uses or {}).get(read.name, (None, None))
        kind = used or _kind(read, settings, variables, sql) or (sql if part is not None else None)
        if kind in kinds and (part or part_of(read.name)) is Part.PORT:
            before = variables.get(read.name) or _own(read, settings)
            yield kind, before.value if before is not None else read.default or ""


def implicit_variables(sql: ServiceKind | None) -> Iterator[Variable]:
    """Yield the variables of PostgreSQL's own library; without them, it takes a socket file and the system's user."""
    if sql is ServiceKind.POSTGRESQL:
        yield Variable("PGHOST", LOCAL, Origin.SUPPLIED)
        yield Variable("PGUSER", _PREVIEW, Origin.SUPPLIED)


def _own(read: SettingRead, settings: ProjectSettings) -> Variable | None:
    own = settings.own.get(read.name) or settings.own.get(read.name.lower())
    return (
        Variable(read.name, own.value, Origin.EXAMPLE, own.file, is_secret_name(read.name)) if own is not None else None
    )


def _changed(read: SettingRead, value: str, before: Variable | None) -> Variable:
    if before is None:
        return Variable(read.name, value, Origin.MADE_UP, read.where, is_secret_name(read.name) and "://" not in value)
    return replace(before, value=value)


def part_of(name: str) -> Part | None:
    """Return the part of an address that a variable of this name has, or None."""
    upper = _NUMBER.sub("", name.upper())
    return next((part for part, pattern in _PARTS if pattern.search(upper)), None)


def _kind(
    read: SettingRead, settings: ProjectSettings, variables: Mapping[str, Variable], sql: ServiceKind | None
) -> ServiceKind | None:
    """Return the kind of server that a variable is about, by its value and by its name."""
    before = variables.get(read.name) or _own(read, settings)
    for text in (_own_text(read, settings), read.default, before.value if before else None):
        if text and "://" in text and (before is None or before.origin is not Origin.MADE_UP or text != before.value):
            return kind_of_scheme(text)
    upper = read.name.upper()
    if _OTHERS.search(upper):
        return None
    named = next((kind for kind, pattern in _NAMES if pattern.search(upper)), None)
    return named or (sql if _ANY_SQL.search(upper) else None)


def _own_text(read: SettingRead, settings: ProjectSettings) -> str | None:
    own = settings.own.get(read.name)
    return own.value if own is not None else None


def _value(read: SettingRead, kind: ServiceKind, before: Variable | None, part: Part | None) -> str | None:
    """Return the value that leads to the preview's own server; None if the variable stays as it is."""
    text = before.value if before is not None else read.default or ""
    made_up = before is None or before.origin is Origin.MADE_UP
    is_set = bool(text) or read.default is not None
    match part:
        case Part.URL:
            return _url(text, kind, is_set=is_set)
        case Part.HOST:
            return _host(text) if "*" not in text and (text or not is_set) else None
        case Part.PORT:
            port = str(DEFAULT_PORTS[kind])
            return port if (made_up and before is not None) or not is_set or not _is_port(text) else text
        case Part.TLS:
            demands = text.strip().lower() in _DEMANDS
            return ("disable" if "MODE" in read.name.upper() else "false") if demands else None
        case Part.NAME if "://" in text:
            return _url(text, kind, is_set=True)
        case Part.USER | Part.NAME | Part.PASSWORD if kind is not ServiceKind.REDIS:
            return None if is_set else _PREVIEW
    return None


def _url(text: str, kind: ServiceKind, *, is_set: bool) -> str | None:
    if not is_set:
        return own_address(kind, SCHEMES[kind])
    # A default with unknown parts is made of other variables.
    return address_from(text, kind) if kind_of_scheme(text) is kind and "*" not in text else None


def _host(text: str) -> str:
    """Return a host that leads to the preview's own server; a port after it stays."""
    host, colon, port = text.strip().partition(":")
    if "://" in text or "/" in text or len(text) > _MAX_HOST or (colon and not _is_port(port)):
        return text if is_reached(text) else LOCAL
    return text if is_reached(host) else f"{LOCAL}{colon}{port}"


def _is_port(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
