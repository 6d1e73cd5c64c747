"""Plan the start of a project by its compose file: the service to preview, and databases in place of other services."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from preview.core.quoting import quoted
from preview.detection.containers.compose_file import Service, read_compose
from preview.detection.containers.dockerfile import image_plan
from preview.detection.databases.services import DEFAULT_PORTS
from preview.detection.plan import Origin, ServiceKind, ServiceNeed, StartPlan, Variable
from preview.detection.settings import is_secret_name
from preview.errors import InvalidGeneration
from preview.sources import Sources
from preview.sources.image_source import MOST_BESIDE, Beside, ImageSource, health_path_in
from preview.sources.yaml_values import UnreadableYaml

# The last part of an image's name, without its tag.
_KINDS: Final = (
    (ServiceKind.POSTGRESQL, re.compile(r"postgres(?:ql)?|postgis|timescaledb(?:-ha)?|pgvector|.{1,20}-postgres")),
    (ServiceKind.MYSQL, re.compile(r"mysql(?:-server)?|mariadb|percona")),
    (ServiceKind.REDIS, re.compile(r"redis(?:-stack(?:-server)?)?|valkey|keydb|dragonfly")),
    (ServiceKind.MONGODB, re.compile(r"mongo(?:db)?(?:-community-server)?")),
    (ServiceKind.RABBITMQ, re.compile(r"rabbitmq")),
    (ServiceKind.ELASTICSEARCH, re.compile(r"elasticsearch")),
)
_PREFERRED: Final = ("web", "app", "api", "server", "backend", "site", "frontend")
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")
_MOST_HOSTS: Final = 20
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,250}")


def plan_compose(sources: Sources, file: str, wanted: str, why: str, kinds: frozenset[ServiceKind]) -> StartPlan:
    """Return the plan of a project that starts by its compose file.

    Args:
        sources: The project's files.
        file: The compose file.
        wanted: Name of the service to preview; empty to choose one.
        why: Reason, for the log.
        kinds: Kinds of servers that the preview gets.

    Raises:
        InvalidGeneration: The file cannot be read, or no service of it can be previewed.
    """
    try:
        composed = read_compose(sources, file, wanted)
    except UnreadableYaml as error:
        raise _unusable(file, str(error)) from error
    services = {one.name: one for one in composed.services}
    others = {name: kind for name, one in services.items() if (kind := _kind(one)) is not None}
    chosen, reason = _choose(file, services, others, wanted)
    if not sources.has_file(chosen.dockerfile):
        raise _unusable(
            file, f"its service {chosen.name} names {quoted(chosen.dockerfile[:100])}, which does not exist"
        )
    needed = {name: kind for name, kind in others.items() if name in _all_needs(chosen, services) or not chosen.needs}
    had = {name: kind for name, kind in needed.items() if kind in kinds}
    hosts = tuple(dict.fromkeys(one for name in had for one in services[name].names if _HOST.fullmatch(one)))
    beside = _beside(chosen, services, had, hosts[:_MOST_HOSTS])
    source = replace(
        _source(chosen),
        waits=_waits(chosen, beside),
        hosts=hosts[:_MOST_HOSTS],
        beside=beside,
        names=tuple(filter(_HOST.fullmatch, chosen.names))[:_MOST_HOSTS],
    )
    plan = image_plan(sources, source, f"{file}: the project starts by its service {chosen.name}: {reason} ({why})")
    started = f"{file}: beside it, in a private network: {', '.join(one.name for one in beside)}"
    unread = [f"{file}: not read of {name}: {', '.join(keys)}" for name, keys in composed.unread.items()]
    return replace(
        plan,
        dockerfile=file,
        decisions=(*plan.decisions, *([started] if beside else ())),
        health_path=plan.health_path if not chosen.health else health_path_in(" ".join(chosen.health)),
        variables={
            name: Variable(name, _plain(value), Origin.EXAMPLE, file, secret=is_secret_name(name))
            for name, value in chosen.environment.items()
        },
        services=tuple(
            ServiceNeed(kind, None, f"{file}: {name}", name in chosen.needs, ("localhost", DEFAULT_PORTS[kind]))
            for name, kind in needed.items()
        ),
        warnings=(*plan.warnings, *_warnings(file, chosen, services, {*had, *(one.name for one in beside)}), *unread),
    )


def _source(one: Service) -> ImageSource:
    """Return the source of a service's image: its build, or else its image, which the engine has to have."""
    return ImageSource(
        one.dockerfile if one.context is not None else "",
        context=one.context or ".",
        text="" if one.context is not None else f"FROM {one.image}\n",
        arguments=one.arguments,
        target=one.target,
        entrypoint=one.entrypoint,
        command=one.command,
        directory=one.directory,
        port=one.ports[0] if one.ports else None,
        volumes=one.named_volumes,
        health=one.health,
        health_times=one.health_times,
    )


def _waits(one: Service, beside: Sequence[Beside]) -> dict[str, str]:
    """Return the services beside for which a service waits."""
    names = {each.name for each in beside} - {one.name}
    return {name: condition for name, condition in one.waits.items() if name in names}


def _beside(
    chosen: Service, services: Mapping[str, Service], had: Mapping[str, ServiceKind], hosts: tuple[str, ...]
) -> tuple[Beside, ...]:
    """Return the services that run beside the chosen one: first those that it needs."""
    needs = _all_needs(chosen, services)
    names = [*needs, *(name for name in services if name not in needs)]
    found = [services[name] for name in names if name != chosen.name and name not in had]
    made = [
        Beside(one.name, replace(_source(one), hosts=hosts), one.environment, tuple(filter(_HOST.fullmatch, one.names)))
        for one in found
        if one.context is not None or _IMAGE.fullmatch(one.image)
    ][:MOST_BESIDE]
    return tuple(replace(one, source=replace(one.source, waits=_waits(services[one.name], made))) for one in made)


def _choose(
    file: str, services: Mapping[str, Service], others: Mapping[str, ServiceKind], wanted: str
) -> tuple[Service, str]:
    """Return the service to preview, and why."""
    built = [one for one in services.values() if one.context is not None and one.name not in others]
    if wanted:
        found = next((one for one in built if one.name == wanted), None)
        if found is None:
            raise _unusable(file, f"it has no service {wanted} with build")
        return found, "as specified"
    if not built:
        raise _unusable(file, "none of its services has build", "no_build")
    best = min(built, key=lambda one: _rank(one, services, others))
    if len(built) == 1:
        return best, "the only one with build"
    words = "it has build and ports" if best.ports else "it has build"
    missing = _missing(best, services, others)
    return best, words + (", and needs no service but databases" if not missing else "")


def _rank(one: Service, services: Mapping[str, Service], others: Mapping[str, ServiceKind]) -> tuple[object, ...]:
    named = _PREFERRED.index(one.name) if one.name in _PREFERRED else len(_PREFERRED)
    return not one.ports, len(_missing(one, services, others)), not _all_needs(one, services), named


def _missing(one: Service, services: Mapping[str, Service], others: Mapping[str, ServiceKind]) -> list[str]:
    return [name for name in _all_needs(one, services) if name not in others]


def _all_needs(one: Service, services: Mapping[str, Service]) -> list[str]:
    """Return the names of the services that a service needs, direct and indirect."""
    found: dict[str, None] = {}
    waiting = list(one.needs)
    while waiting:
        name = waiting.pop()
        if name in services and name not in found and name != one.name:
            found[name] = None
            waiting += services[name].needs
    return list(found)


def _kind(one: Service) -> ServiceKind | None:
    if one.context is not None:
        return None
    name = one.image.rpartition("/")[2].partition("@")[0].partition(":")[0].lower()
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(name)), None)


def _warnings(file: str, chosen: Service, services: Mapping[str, Service], had: Collection[str]) -> Sequence[str]:
    found = []
    left = [name for name in services if name != chosen.name and name not in had]
    if left:
        why = f"a preview has its service, databases, and at most {MOST_BESIDE} others with build or an image"
        found.append(f"{file}: not started: {', '.join(left)}; {why}")
    if chosen.mounted:
        shown = ", ".join(quoted(one[:60]) for one in chosen.mounted[:5])
        found.append(f"{file}: {shown} of {chosen.name} is not mounted; the image's files are used")
    return found


def _plain(value: str) -> str:
    """Return the value without the service's own placeholders."""
    return value.replace("{secret", "{ secret")


def _unusable(file: str, said: str, reason: str = "compose") -> InvalidGeneration:
    return InvalidGeneration(
        f"Cannot launch: {file} cannot be used: {said}. Name a service with build, or say in preview.toml how the "
        'project starts: [start] dockerfile = "Dockerfile".',
        path=file,
        reason=reason,
    )
