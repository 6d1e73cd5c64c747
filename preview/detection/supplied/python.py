"""Variables and needs of a Python application whose preview gets servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from preview.detection.databases.database import DatabaseChoice
from preview.detection.databases.services import DEFAULT_PORTS, SQL_KINDS, find_uses, kind_of_call, kind_of_scheme
from preview.detection.expressions import keyword, last_name
from preview.detection.facts import Facts
from preview.detection.plan import ServiceKind, ServiceNeed, Variable
from preview.detection.settings import Need, ProjectSettings
from preview.detection.supplied.parts import Part, implicit_variables, local_variables
from preview.detection.supplied.supply import Supply
from preview.detection.supplied.urls import SCHEMES

# Of the application itself.
_OWN_ADDRESS: Final = frozenset({"HOST", "PORT"})
_REDIS_MODULES = ("redis", "aioredis", "arq", "rq", "celery", "django_redis", "channels_redis", "flask_redis")


def supplied_variables(
    settings: ProjectSettings, variables: Mapping[str, Variable], database: DatabaseChoice, facts: Facts, supply: Supply
) -> dict[str, Variable]:
    """Return the variables with values that lead to the preview's own servers; unchanged without any server."""
    kinds = _used(database, facts, settings, supply)
    if not kinds:
        return dict(variables)
    sql = database.supplied or next((kind for kind in sorted(kinds) if kind in SQL_KINDS), None)
    local = local_variables(settings, variables, database.variables, sql, supply, kinds, _uses(facts, settings))
    implicit = {one.name: one for one in implicit_variables(database.supplied)}
    return {**implicit, **variables, **local}


def _uses(facts: Facts, settings: ProjectSettings) -> dict[str, tuple[ServiceKind | None, Part]]:
    """Return the variables of hosts and ports in the source's URLs and calls of drivers, whatever their names are."""
    found = [(kind_of_scheme(one.text), one.host, one.port) for one in facts.addresses]
    for call in facts.calls:
        given = [keyword(call.node, name) for name in ("host", "port")]
        host, port = (last_name(one) if one is not None else "" for one in given)
        found.append((kind_of_call(call.name), host, port))
    uses: dict[str, tuple[ServiceKind | None, Part]] = {}
    for kind, host, port in found:
        for part, name in ((Part.HOST, host), (Part.PORT, port)):
            read = settings.kept_as(name) if kind in SCHEMES else None
            if read is not None and read.name not in _OWN_ADDRESS:
                uses.setdefault(read.name, (kind, part))
    return uses


def with_supplied_needs(
    needs: Iterable[ServiceNeed],
    settings: ProjectSettings,
    variables: Mapping[str, Variable],
    database: DatabaseChoice,
    facts: Facts,
    supply: Supply,
) -> tuple[ServiceNeed, ...]:
    """Return the needs, with those of libraries that name their server in a setting only (Celery, Django's cache)."""
    found = [_at_port(need, database) for need in needs]
    for kind in sorted(_used(database, facts, settings, supply) - {need.kind for need in found}):
        literal = next((one for one in facts.addresses if kind_of_scheme(one.text) is kind), None)
        setting = next((name for name, one in variables.items() if kind_of_scheme(one.value) is kind), None)
        read = settings.reads.get(setting or "")
        place = literal.where if literal else read.where if read else None
        place = place or (facts.imported(*_REDIS_MODULES) if kind is ServiceKind.REDIS else None) or ""
        name = setting if read is not None else None
        found.append(ServiceNeed(kind, name, place, address=("localhost", DEFAULT_PORTS[kind])))
    return tuple(found)


def _at_port(need: ServiceNeed, database: DatabaseChoice) -> ServiceNeed:
    """Return the need with the port that the settings have as a constant."""
    if need.kind is not database.supplied or database.port is None or need.address is None:
        return need
    return replace(need, address=(need.address[0], database.port))


def _used(database: DatabaseChoice, facts: Facts, settings: ProjectSettings, supply: Supply) -> frozenset[ServiceKind]:
    """Return the kinds of supplied servers that the application uses."""
    if not supply:
        return frozenset()
    used = {use.kind for use in find_uses(facts)} | {database.supplied}
    texts = [one.text for one in facts.addresses]
    # Without a client, a value switches on what fails for want of one.
    has_client = supply.drivers.has("redis") or facts.imported(*_REDIS_MODULES) is not None
    reads = [read for read in settings.reads.values() if has_client or read.need is Need.REQUIRED]
    texts += [text for read in reads for text in supply.texts(read, settings)]
    if supply.drivers.has("redis") or any(kind_of_scheme(text) is ServiceKind.REDIS for text in texts):
        used.add(ServiceKind.REDIS)
    return frozenset(kind for kind in used if kind is not None and kind in supply.kinds)
