"""The address of a server of the operator's, with an administrator's account, as a URL in a setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import PlainValidator
from pydantic_settings import NoDecode

__all__ = ["MysqlChoice", "PostgresChoice", "RedisChoice", "ServerAddress", "Tls"]

_SCHEMES = {"postgresql": ("postgresql", "postgres"), "mysql": ("mysql", "mariadb")}
_PORTS = {"postgresql": 5432, "mysql": 3306}
# The names of libpq and those of MySQL's clients.
_TLS_NAMES, _ROOTS_NAMES, _HOST_NAMES = ("sslmode", "ssl-mode"), ("sslrootcert", "ssl-ca"), ("host", "socket")


class Tls(Enum):
    """Encryption of the connections to a server (libpq's ``sslmode``)."""

    OFF = "disable"
    PREFERRED = "prefer"
    REQUIRED = "require"
    # The certificate is of an authority that is known; with the last, it is the host's.
    AUTHORITY = "verify-ca"
    HOST = "verify-full"


_TLS = {one.value: one for one in Tls} | {
    "disabled": Tls.OFF,
    "preferred": Tls.PREFERRED,
    "required": Tls.REQUIRED,
    "verify-identity": Tls.HOST,
}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """An administrator's account on a server. The password is in no text of it.

    Attributes:
        host: Name or address; an absolute path is the folder of a unix socket (MySQL: the socket).
        port: Port.
        user: The administrator.
        password: Its password; empty if it has none.
        database: Database for the administrator's sessions; empty if the address names none.
        tls: Encryption. A unix socket has none.
        roots: File with the authorities' certificates; None for those of the system.
    """

    host: str
    port: int
    user: str
    password: str = field(default="", repr=False)
    database: str = ""
    tls: Tls = Tls.PREFERRED
    roots: Path | None = None

    def __str__(self) -> str:
        return self.host if self.host.startswith("/") else f"{self.host}:{self.port}"


def _choice(kind: str) -> PlainValidator:
    """Return a validator: ``auto``, ``off`` or an address. Its messages contain no part of the value."""

    def validate(value: object) -> object:
        if value in ("auto", "off") or isinstance(value, ServerAddress):
            return value
        return _parse(kind, value if isinstance(value, str) else "")

    return PlainValidator(validate)


def _parse(kind: str, text: str) -> ServerAddress:
    form = f"{kind}://USER:PASSWORD@HOST:{_PORTS[kind]}"
    try:
        parts = urlsplit(text)
        host, port = unquote(parts.hostname or ""), parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query), keep_blank_values=True))
    except ValueError:
        # Without the cause, which may quote a password.
        raise ValueError(f"the address cannot be read; write {form}, with %XX for special characters") from None
    if parts.scheme not in _SCHEMES[kind] or parts.fragment:
        raise ValueError(f"write auto, off or the address of a server of yours: {form}")
    tls = _taken(options, _TLS_NAMES, Tls.PREFERRED.value).lower().replace("_", "-")
    roots = _taken(options, _ROOTS_NAMES, "")
    host = _taken(options, _HOST_NAMES, host)
    if options:
        raise ValueError("an option of the address is not known; there are sslmode, sslrootcert and host")
    if tls not in _TLS:
        raise ValueError(f"sslmode is one of {', '.join(one.value for one in Tls)}")
    if not parts.username or not host or "," in host or "," in parts.netloc.rpartition("@")[2]:
        raise ValueError(f"the address needs a user and one host: {form}")
    if roots and not Path(roots).is_file():
        raise ValueError("sslrootcert names no file")
    return ServerAddress(
        host,
        port or _PORTS[kind],
        unquote(parts.username),
        unquote(parts.password or ""),
        unquote(parts.path.strip("/")),
        _TLS[tls],
        Path(roots) if roots else None,
    )


def _taken(options: dict[str, str], names: tuple[str, ...], default: str) -> str:
    """Take an option out; its names mean the same."""
    found = [options.pop(name) for name in names if name in options]
    return found[0] if found else default


def _redis(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        raise ValueError(
            "a Redis of yours cannot be shared: clients do not mark their keys, so previews would read and delete each "
            "other's; write auto, and install redis-server: the service runs one for each preview"
        )
    if value not in ("auto", "off"):
        raise ValueError("write auto or off")
    return value


PostgresChoice = Annotated[Literal["auto", "off"] | ServerAddress, NoDecode, _choice("postgresql")]
MysqlChoice = Annotated[Literal["auto", "off"] | ServerAddress, NoDecode, _choice("mysql")]
RedisChoice = Annotated[Literal["auto", "off"], PlainValidator(_redis)]
