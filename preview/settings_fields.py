"""Types of settings' fields: seconds, sizes, host names, networks, origins."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from preview.core.quoting import quoted

__all__ = [
    "ARCHIVES_URL",
    "LEAST_LOOPBACK_PORT",
    "LOCAL_USER",
    "Bytes",
    "Count",
    "Destinations",
    "Folder",
    "GithubSite",
    "HostName",
    "Hosts",
    "LeastLevels",
    "LevelWord",
    "Networks",
    "Origins",
    "Ports",
    "Seconds",
    "SystemCalls",
    "UserIds",
]

# The user of the command line on one's own machine.
LOCAL_USER = "local"
# "Never" is ten years: dates are computed from these values, so infinity is not possible.
_LONGEST_S = 10 * 365 * 24 * 3600

# Programs that start in other folders get paths below it.
Folder = Annotated[Path, AfterValidator(Path.absolute)]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST_S)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]

_HOST = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\*")
_CALL = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_ORIGIN = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?|\*")

_DESTINATION = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<host>[a-z0-9_.-]*[a-z0-9]\.?))(?::(?P<port>\d{1,5}))?|\*"
)
_HTTPS_PORT = 443
_LAST_PORT = 65535
_LONGEST_USER_ID = 128


def _host(text: str) -> str:
    """Return a host name in lower case, ``.example.com`` for a domain with its subdomains, or ``*``."""
    if not _HOST.fullmatch(text.lower()):
        raise ValueError(f"{quoted(text)} is not a host name; write names without scheme and port, or '*' for any")
    return text.lower()


def _plain_host(text: str) -> str:
    """Return a single host name in lower case; neither a domain with its subdomains nor an address."""
    name = _host(text)
    if name.startswith(".") or name == "*" or name.rpartition(".")[2].isdigit():
        raise ValueError(f"{quoted(text)} is not a single host name; write it without scheme, port, leading dot or '*'")
    return name


def _origin(text: str) -> str:
    """Return an origin as browsers write it (RFC 6454 section 6.2), or ``*``."""
    if not _ORIGIN.fullmatch(text.lower()):
        raise ValueError(
            f"{quoted(text)} is not an origin; write https://HOST or https://HOST:PORT, no path, or '*' for any"
        )
    return text.lower()


def _github_site(text: str) -> str:
    """Return the origin of GitHub's pages, or ``off``."""
    return "off" if text.lower() == "off" else _single_origin(text)


def _single_origin(text: str) -> str:
    if text == "*":
        raise ValueError("'*' is not an origin; write https://HOST or https://HOST:PORT, or 'off'")
    return _origin(text)


def _network(text: str) -> str:
    """Return a network or an address in canonical form; ``unix`` means all clients of a unix socket."""
    try:
        return text if text == "unix" else str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(
            f"{quoted(text)} is not an address or network; write 10.0.0.7 or 10.0.0.0/8, with no host bits set"
        ) from error


def _system_call(text: str) -> str:
    """Return a system call's name, as in syscalls(2)."""
    if not _CALL.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a system call; write names as in syscalls(2), separated by commas")
    return text


def _destination(text: str) -> str:
    """Return ``HOST:PORT`` with a name or an address and port 443 by default; or ``*``."""
    match = _DESTINATION.fullmatch(text.lower())
    if match is None or not 0 < int(match["port"] or _HTTPS_PORT) <= _LAST_PORT:
        raise ValueError(
            f"{quoted(text)} is not a host; write HOST, HOST:PORT or ADDRESS:PORT, or '*' for any public host"
        )
    if match[0] == "*":
        return text
    host = (match["address"] or match["host"]).rstrip(".")
    if match["address"] or host.replace(".", "").isdigit():
        host = _address(host, text)
    return f"{host}:{int(match['port'] or _HTTPS_PORT)}"


def _address(host: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is not an address; write 10.0.0.7:443 or [fd00::7]:443") from error


def _list_of(one: Callable[[str], str]) -> BeforeValidator:
    """Return a validator for a comma-separated list; ``one`` checks each value."""

    def split(value: object) -> object:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            return value
        return tuple(one(item.strip()) if isinstance(item, str) else item for item in items if item)

    return BeforeValidator(split)


def _user_id(text: str) -> str:
    """Return a user's id."""
    if not 0 < len(text) <= _LONGEST_USER_ID or not text.isprintable():
        raise ValueError(f"{quoted(text)} is not a user's id; write ids as in the tokens' `sub`, separated by commas")
    return text


_TIERS = ("free", "pro", "enterprise")
_ISOLATION_LEVELS = ("plain", "sandbox", "container")


def _least_levels(value: object) -> object:
    """Return pairs of a tier and its least isolation level; a level alone is that of each tier."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        tier, is_pair, level = (word.strip() for word in item.rpartition("="))
        if level not in _ISOLATION_LEVELS or (is_pair and tier not in _TIERS):
            raise ValueError(
                f"{quoted(item)} is no level and no tier with one; write `container`, or `free=container,pro=plain`"
            )
        found |= dict.fromkeys((tier,) if is_pair else _TIERS, level)
    return tuple(found.items())


_LEVELS = {word: word for word in ("DEBUG", "INFO", "WARNING", "ERROR")} | {"WARN": "WARNING"}


def _level(value: object) -> object:
    """Return the level's name in upper case; ``WARN`` (contract ``plan``) becomes ``WARNING``. Others stay as given."""
    return _LEVELS.get(value.upper(), value) if isinstance(value, str) else value


LevelWord = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_level)]
Hosts = Annotated[tuple[str, ...], NoDecode, _list_of(_host)]
GithubSite = Annotated[str, AfterValidator(_github_site)]
# A host, and a folder where its archives have no host of their own.
ARCHIVES_URL = r"^https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._-]+)*$"
HostName = Annotated[str, AfterValidator(_plain_host)]
Networks = Annotated[tuple[str, ...], NoDecode, _list_of(_network)]
# An unprivileged process, like the sandbox's port forwarder, cannot listen on lower ports (ip(7),
# ip_unprivileged_port_start). At most 64 ports, as the forwarder passes on all its sockets, two per port, at once.
LEAST_LOOPBACK_PORT = 1024
Ports = Annotated[
    tuple[Annotated[int, Field(ge=LEAST_LOOPBACK_PORT, le=65535)], ...], Field(max_length=64), NoDecode, _list_of(str)
]
SystemCalls = Annotated[tuple[str, ...], NoDecode, _list_of(_system_call)]
Origins = Annotated[tuple[str, ...], NoDecode, _list_of(_origin)]
UserIds = Annotated[tuple[str, ...], NoDecode, _list_of(_user_id)]
LeastLevels = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_least_levels)]
Destinations = Annotated[tuple[str, ...], NoDecode, _list_of(_destination)]
