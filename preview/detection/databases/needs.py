"""Find the servers that an application connects to, each with its setting and address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from preview.detection.databases.database import DatabaseChoice
from preview.detection.databases.services import DEFAULT_PORTS, SQL_KINDS, Use, find_uses, kind_of_scheme
from preview.detection.databases.sql import Engine
from preview.detection.facts import Facts
from preview.detection.plan import ServiceKind, ServiceNeed, Variable
from preview.detection.settings import ProjectSettings, SettingRead, is_database_url, service_of


def find_needs(
    facts: Facts,
    settings: ProjectSettings,
    database: DatabaseChoice,
    engine: Engine | None,
    variables: Mapping[str, Variable],
) -> tuple[ServiceNeed, ...]:
    """Return one need for each kind of server, those needed at startup first."""
    finder = _Finder(facts, settings, variables)
    needs: dict[ServiceKind, ServiceNeed] = {}
    if database.server is not None:
        use = Use(database.server, engine.where if engine else "", engine is not None and engine.at_startup)
        needs[database.server] = finder.need(use, database.setting)
    for use in find_uses(facts):
        # If the engine uses SQLite, an additional SQL driver was only for the replaced URL.
        if use.kind in SQL_KINDS and (
            use.kind in needs or (database.sqlite and engine is not None and not use.at_startup)
        ):
            continue
        needs[use.kind] = finder.need(use, None)
    return tuple(sorted(needs.values(), key=lambda need: not need.at_startup))


@dataclass(frozen=True, slots=True)
class _Finder:
    facts: Facts
    settings: ProjectSettings
    variables: Mapping[str, Variable]

    def need(self, use: Use, setting: str | None) -> ServiceNeed:
        kind = use.kind
        literal = next((item for item in self.facts.addresses if kind_of_scheme(item.text) is kind), None)
        read = self.settings.reads.get(setting) if setting else None
        # The variable of the host in `f"postgresql://…@{settings.db_host}:…"`.
        read = read or (self.settings.kept_as(literal.host) if literal else None) or self._setting(kind)
        address = self._address(kind, read, self.settings.kept_as(literal.port) if literal else None)
        if address is None and literal is not None:
            address = _parsed(kind, literal.text)
        if address is None and (read is None or setting is None):
            address = ("localhost", DEFAULT_PORTS[kind])
        place = use.where or (read.where if read else literal.where if literal else "")
        return ServiceNeed(kind, read.name if read else None, place, use.at_startup, address)

    def _setting(self, kind: ServiceKind) -> SettingRead | None:
        """Return the variable that configures the server's address: its URL, else its host."""
        reads = list(self.settings.reads.values())
        urls = [read for read in reads if kind_of_scheme(self._text(read)) is kind]
        named = [read for read in reads if service_of(read.name) is kind and _is_url(read)]
        hosts = [read for read in reads if service_of(read.name) is kind and _is_host(read)]
        typed = [read for read in reads if kind in SQL_KINDS and is_database_url(read)]
        return next(iter((*urls, *named, *hosts, *typed)), None)

    def _text(self, read: SettingRead) -> str:
        variable = self.variables.get(read.name) or self.settings.own.get(read.name)
        return variable.value if variable is not None else read.default or ""

    def _address(self, kind: ServiceKind, read: SettingRead | None, port: SettingRead | None) -> tuple[str, int] | None:
        if read is None:
            return None
        text = self._text(read)
        if "://" in text:
            return _parsed(kind, text)
        if not _is_host(read) or not text or "*" in text:
            return None
        if port is not None and self._text(port).isdigit():
            return text, int(self._text(port)) % 65536
        return text, self._port(kind, read)

    def _port(self, kind: ServiceKind, host: SettingRead) -> int:
        stem = host.name.upper().rpartition("_")[0]
        for read in self.settings.reads.values():
            if read.name.upper() == f"{stem}_PORT":
                text = self._text(read)
                return int(text) if text.isdigit() and int(text) < 65536 else DEFAULT_PORTS[kind]
        return DEFAULT_PORTS[kind]


def _is_url(read: SettingRead) -> bool:
    return read.name.upper().endswith(("URL", "URI", "DSN", "CONNECTION_STRING", "BROKER", "BACKEND"))


def _is_host(read: SettingRead) -> bool:
    return read.name.upper().endswith(("HOST", "HOSTNAME", "SERVER", "ADDRESS"))


def _parsed(kind: ServiceKind, url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if host is not None and not {"*", "{"}.isdisjoint(host):
        return None
    return host or "localhost", port or DEFAULT_PORTS[kind]
