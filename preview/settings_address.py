"""The address of a server of the operator's, with an account, as a URL in a setting."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import PlainValidator
from pydantic_settings import NoDecode

__all__ = [
    "MongodbChoice",
    "MysqlChoice",
    "PostgresChoice",
    "RedisAddress",
    "RedisChoice",
    "ServerAddress",
    "Tls",
    "redis_address",
]


@dataclass(frozen=True, slots=True)
class _Form:
    """The form of addresses of one kind of server."""

    schemes: tuple[str, ...]
    port: int
    database: str
    shown: str
    is_mysql: bool = False
    is_mongodb: bool = False


_POSTGRESQL = _Form(("postgresql", "postgres"), 5432, "postgres", "postgresql://USER:PASSWORD@HOST:5432")
# A session of MySQL needs no database.
_MYSQL = _Form(("mysql", "mariadb"), 3306, "", "mysql://USER:PASSWORD@HOST:3306", is_mysql=True)
# The database is the one that the administrator belongs to.
_MONGODB = _Form(("mongodb",), 27017, "admin", "mongodb://USER:PASSWORD@HOST:27017", is_mongodb=True)


class Tls(Enum):
    """Encryption of the connections to a server (libpq's ``sslmode``)."""

    OFF = "disable"
    PREFERRED = "prefer"
    REQUIRED = "require"
    # The certificate is of an authority that is known; with the last, it is the host's.
    AUTHORITY = "verify-ca"
    HOST = "verify-full"


# A user part of printable ASCII without "#", "/", "?", "@" and brackets.
_REDIS = re.compile(
    r"""(?P<scheme>rediss?)://(?:(?P<user>[!"$-.0->A-Z\\^-~]{0,500})@)?"""
    r"(?:(?P<host>[A-Za-z0-9._-]{1,255})|\[(?P<ipv6>[0-9a-fA-F:.]{2,60})\])(?::(?P<port>[0-9]{1,5}))?(?:/(?P<number>[0-9]{0,3}))?"
)
_REDIS_PORT = "6379"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """An administrator's account on a server. The password is in no text of it.

    Attributes:
        host: Name or address; an absolute path is the folder of a unix socket, or the socket itself for others than
            PostgreSQL.
        port: Port.
        user: The administrator.
        password: Its password; empty if it has none.
        database: Database for the administrator's sessions; empty for none.
        tls: Encryption. A unix socket has none.
        roots: File with the authorities' certificates; None for those of the system.
        is_mysql: Whether it is one of MySQL.
        is_mongodb: Whether it is one of MongoDB. If neither, it is one of PostgreSQL.
    """

    host: str
    port: int
    user: str
    password: str = field(default="", repr=False)
    database: str = "postgres"
    tls: Tls = Tls.PREFERRED
    roots: Path | None = None
    is_mysql: bool = False
    is_mongodb: bool = False

    @property
    def is_private(self) -> bool:
        """True if only this server can read what is sent: it is on this machine, or its certificate is checked."""
        if self.host.startswith("/") or self.host.lower() == "localhost" or self.tls in (Tls.AUTHORITY, Tls.HOST):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.host if self.host.startswith("/") else f"{self.host}:{self.port}"


def _read(form: _Form, value: object) -> object:
    """Return ``auto``, ``off`` or an address. Messages contain no part of the value."""
    if value in ("auto", "off") or isinstance(value, ServerAddress):
        return value
    text = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        host, port = unquote(parts.hostname or ""), parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query), keep_blank_values=True))
    except ValueError:
        # Without the cause, which may quote a password.
        raise ValueError(f"the address cannot be read; write {form.shown}, with %XX for special characters") from None
    if parts.scheme not in form.schemes or parts.fragment:
        raise ValueError(f"write auto, off or the address of a server of yours: {form.shown}")
    tls, roots = options.pop("sslmode", Tls.PREFERRED.value), options.pop("sslrootcert", "")
    host = options.pop("host", host)
    if options:
        raise ValueError("an option of the address is not known; the options are sslmode, sslrootcert and host")
    if tls not in [one.value for one in Tls]:
        raise ValueError(f"sslmode must be one of {', '.join(one.value for one in Tls)}")
    if not parts.username or not host or "," in host or "," in parts.netloc.rpartition("@")[2]:
        raise ValueError(f"the address needs a user and one host: {form.shown}")
    if roots and not Path(roots).is_file():
        raise ValueError("sslrootcert names no file")
    if roots and tls in (Tls.OFF.value, Tls.PREFERRED.value):
        raise ValueError("sslrootcert needs sslmode=require, verify-ca or verify-full")
    if roots and tls == Tls.REQUIRED.value:
        # As for libpq: who names authorities wants the certificate checked.
        tls = Tls.AUTHORITY.value
    return ServerAddress(
        host,
        port or form.port,
        unquote(parts.username),
        unquote(parts.password or ""),
        unquote(parts.path.strip("/")) or form.database,
        Tls(tls),
        Path(roots) if roots else None,
        form.is_mysql,
        form.is_mongodb,
    )


def _read_mongodb(value: object) -> object:
    """Return ``off`` or an address: the service runs no MongoDB."""
    if value == "auto":
        raise ValueError(f"the service runs no MongoDB: write off, or the address of one of yours: {_MONGODB.shown}")
    return _read(_MONGODB, value)


def _without_address(why: str) -> PlainValidator:
    """Return a validator: ``auto`` or ``off``; an address is refused for a reason."""

    def validate(value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError(why)
        if value not in ("auto", "off"):
            raise ValueError("write auto or off")
        return value

    return PlainValidator(validate)


PostgresChoice = Annotated[
    Literal["auto", "off"] | ServerAddress, NoDecode, PlainValidator(partial(_read, _POSTGRESQL))
]
MysqlChoice = Annotated[Literal["auto", "off"] | ServerAddress, NoDecode, PlainValidator(partial(_read, _MYSQL))]
MongodbChoice = Annotated[Literal["off"] | ServerAddress, NoDecode, PlainValidator(_read_mongodb)]
RedisChoice = Annotated[
    Literal["auto", "off"],
    _without_address(
        "your own Redis cannot be shared: previews would read and delete each other's keys. Write auto and install "
        "redis-server; the service then runs one for each preview"
    ),
]


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Address and user of a Redis. Made by ``redis_address``."""

    host: str
    port: int
    is_tls: bool
    user: str | None
    password: str | None = field(repr=False)
    database: int


def redis_address(url: str) -> RedisAddress:
    """Read ``redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]``, or ``rediss://`` for TLS.

    Raises:
        ValueError: It is no such address. Neither the text nor a cause has a part of it.
    """
    found = _REDIS.fullmatch(url)
    port = 0 if found is None else int(found["port"] or _REDIS_PORT)
    if found is None or port not in range(1, 65536) or not _is_ipv6(found["ipv6"]):
        raise ValueError(
            "write it as redis://USER:PASSWORD@HOST:6379/0, or rediss:// for TLS, with %XX for special characters"
        )
    user, _, password = (found["user"] or "").partition(":")
    return RedisAddress(
        found["host"] or found["ipv6"], port, found["scheme"] == "rediss", unquote(user) or None,
        unquote(password) or None, int(found["number"] or 0),
    )  # fmt: skip


def _is_ipv6(text: str | None) -> bool:
    try:
        return text is None or ipaddress.IPv6Address(text) is not None
    except ValueError:
        return False
