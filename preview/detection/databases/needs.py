"""The servers that a plan's application will ask for, each with the setting that points to it and its address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from preview.detection.databases.database import DatabaseChoice
from preview.detection.databases.services import DEFAULT_PORTS, SQL_KINDS, find_uses, kind_of_scheme
from preview.detection.databases.sql import Engine
from preview.detection.facts import Address, Facts
from preview.detection.plan import ServiceKind, ServiceNeed, Variable
from preview.detection.settings import SettingRead, Settings, is_database_url, service_of


def find_needs(
    facts: Facts,
    settings: Settings,
    database: DatabaseChoice,
    engine: Engine | None,
    variables: Mapping[str, Variable],
) -> tuple[ServiceNeed, ...]:
    """One need for each kind of server, those that matter at start-up first."""
    needs: dict[ServiceKind, ServiceNeed] = {}
    if database.server is not None:
        where = engine.where if engine else ""
        needs[database.server] = _need(
            database.server,
            where,
            engine is not None and engine.at_startup,
            settings,
            facts,
            variables,
            database.setting,
        )
    for use in find_uses(facts):
        # A driver beside an engine whose data goes to SQLite is one that the URL would have chosen.
        if use.kind in SQL_KINDS and (
            use.kind in needs or (database.sqlite and engine is not None and not use.at_startup)
        ):
            continue
        needs[use.kind] = _need(use.kind, use.where, use.at_startup, settings, facts, variables, None)
    return tuple(sorted(needs.values(), key=lambda need: not need.at_startup))


def _need(
    kind: ServiceKind,
    where: str,
    at_startup: bool,
    settings: Settings,
    facts: Facts,
    variables: Mapping[str, Variable],
    setting: str | None,
) -> ServiceNeed:
    literal = next((item for item in facts.addresses if kind_of_scheme(item.text) is kind), None)
    read = settings.reads.get(setting) if setting else None
    read = read or _part(literal, settings) or _setting(kind, settings, variables)
    address = _address(kind, read, settings, variables, _read_of(literal.port, settings) if literal else None)
    if address is None and literal is not None:
        address = _parsed(kind, literal.text)
    if address is None and (read is None or setting is None):
        address = ("localhost", DEFAULT_PORTS[kind])
    place = where or (read.where if read else literal.where if literal else "")
    return ServiceNeed(kind, read.name if read else None, place, at_startup, address)


def _part(literal: Address | None, settings: Settings) -> SettingRead | None:
    """Return the variable of the host in ``f"postgresql://…@{settings.db_host}:…"``."""
    return _read_of(literal.host, settings) if literal is not None else None


def _read_of(name: str, settings: Settings) -> SettingRead | None:
    return settings.reads.get(name) or settings.reads.get(name.upper())


def _setting(kind: ServiceKind, settings: Settings, variables: Mapping[str, Variable]) -> SettingRead | None:
    """Return the variable that says where the server is: its URL, else its host."""
    reads = list(settings.reads.values())
    urls = [read for read in reads if kind_of_scheme(_text(read, settings, variables)) is kind]
    named = [read for read in reads if service_of(read.name) is kind and _is_url(read)]
    hosts = [read for read in reads if service_of(read.name) is kind and _is_host(read)]
    typed = [read for read in reads if kind in SQL_KINDS and is_database_url(read)]
    return next(iter((*urls, *named, *hosts, *typed)), None)


def _text(read: SettingRead, settings: Settings, variables: Mapping[str, Variable]) -> str:
    variable = variables.get(read.name)
    if variable is not None:
        return variable.value
    own = settings.own.get(read.name)
    return own.value if own is not None else read.default or ""


def _is_url(read: SettingRead) -> bool:
    return read.name.upper().endswith(("URL", "URI", "DSN", "CONNECTION_STRING", "BROKER", "BACKEND"))


def _is_host(read: SettingRead) -> bool:
    return read.name.upper().endswith(("HOST", "HOSTNAME", "SERVER", "ADDRESS"))


def _address(
    kind: ServiceKind,
    read: SettingRead | None,
    settings: Settings,
    variables: Mapping[str, Variable],
    port: SettingRead | None = None,
) -> tuple[str, int] | None:
    if read is None:
        return None
    text = _text(read, settings, variables)
    if "://" in text:
        return _parsed(kind, text)
    if not _is_host(read) or not text or "*" in text:
        return None
    if port is not None and _text(port, settings, variables).isdigit():
        return text, int(_text(port, settings, variables)) % 65536
    return text, _port(kind, read, settings.reads.values(), settings, variables)


def _port(
    kind: ServiceKind,
    host: SettingRead,
    reads: Iterable[SettingRead],
    settings: Settings,
    variables: Mapping[str, Variable],
) -> int:
    stem = host.name.upper().rpartition("_")[0]
    for read in reads:
        if read.name.upper() == f"{stem}_PORT":
            text = _text(read, settings, variables)
            return int(text) if text.isdigit() and int(text) < 65536 else DEFAULT_PORTS[kind]
    return DEFAULT_PORTS[kind]


def _parsed(kind: ServiceKind, url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if host is not None and "*" in host:
        return None
    return host or "localhost", port or DEFAULT_PORTS[kind]
