"""Read a compose file: its services, with references to variables filled in. Source: compose-spec.io."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from preview.detection.containers.compose_merge import read_services, unread_keys
from preview.sources import Sources
from preview.sources.image_source import DONE, HEALTHY
from preview.sources.yaml_values import YamlValue

NAMES: Final = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")

_MOST_SERVICES: Final = 50
_MOST_ENTRIES: Final = 300
_MOST_TEXT: Final = 4000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_REFERENCE: Final = re.compile(r"\$(?:(\$)|\{([A-Za-z_]\w{0,100})(?:(:?[-?+])([^}]{0,1000}))?\}|([A-Za-z_]\w{0,100}))")
_PORT: Final = re.compile(r"(?:.*:)?(\d{1,5})(?:/tcp)?")
_ENV_LINE: Final = re.compile(
    r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w{0,100})[ \t]*=[ \t]*([^\n]{0,4000})$", re.MULTILINE
)
_DURATION: Final = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,6})?(?:us|ms|s|m|h)){1,5}")
_PART_OF_DURATION: Final = re.compile(r"([0-9.]+)(us|ms|s|m|h)")
_NANOSECONDS: Final = {"us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_HEALTH_TIMES: Final = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
# For a value that the file leaves to the person who starts it.
_MADE_UP: Final = "preview"


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a compose file.

    Attributes:
        image: Its image's name; empty without one.
        context: Folder of its build, relative to the project; None if it is not built, or lies outside.
        dockerfile: Its Dockerfile, relative to the project.
        ports: Ports on which it listens, as the file says.
        environment: Its variables; without those that the file takes from elsewhere.
        named_volumes: Folders in it that are named volumes.
        mounted: Folders of the project that it shows.
        names: Host names of it.
        waits: Conditions of services that it needs, other than that these have started.
        health_times: Times and retries of its health check, by the engine's names.
    """

    name: str
    image: str = ""
    context: str | None = None
    dockerfile: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    ports: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    directory: str = ""
    needs: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    named_volumes: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    waits: Mapping[str, str] = field(default_factory=dict)
    health_times: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compose:
    """A compose file: its services, and the keys of each that are not read."""

    services: list[Service]
    unread: Mapping[str, list[str]]


def find_compose(sources: Sources) -> str | None:
    """Return the compose file that ``.env`` names, else the one in the project's root; None if there is none."""
    named = _named(dict(_variables(sources, ".env")))
    return named[0] if named else next((name for name in NAMES if sources.has_file(name)), None)


def _named(values: Mapping[str, str]) -> list[str]:
    """Return the files that ``COMPOSE_FILE`` names, in their plain form if they lie in the project."""
    listed = values.get("COMPOSE_FILE", "").split(values.get("COMPOSE_PATH_SEPARATOR") or ":")
    return [_inside(one) or one for one in listed if one]


def read_compose(sources: Sources, file: str, wanted: str = "") -> Compose:
    """Return the services of a compose file that start, in its order.

    Files that ``COMPOSE_FILE`` of ``.env`` names after this one are merged into it, in place of an override file.
    Those with a profile start if ``COMPOSE_PROFILES`` of ``.env`` names it, or if the service is ``wanted``.

    Raises:
        UnreadableYaml: It is no compose file.
    """
    folder = posixpath.dirname(file)
    values, outer = (dict(_variables(sources, posixpath.join(one, ".env"))) for one in (folder, ""))
    named: Sequence[str] | None = _named(outer) or None
    if named is not None:
        values = {**outer, **values} if named[0] == file else values
        named = named[1:] if named[0] == file else ()
    reader = _Reader(sources, values)
    services = read_services(sources, file, reader.text, _inside, named)
    chosen = set(values.get("COMPOSE_PROFILES", "").replace(" ", "").split(","))
    listed = {
        name: one
        for name, one in list(services.items())[:_MOST_SERVICES]
        if _NAME.fullmatch(name)
        and (not one.get("profiles") or name == wanted or chosen & set(map(reader.text, _items(one.get("profiles")))))
    }
    return Compose([reader.service(name, one) for name, one in listed.items()], unread_keys(listed))


def _variables(sources: Sources, file: str) -> Iterator[tuple[str, str]]:
    text = sources.text(file).decode("utf-8", "replace") if sources.has_file(file) else ""
    for name, value in _ENV_LINE.findall(text)[:_MOST_ENTRIES]:
        plain = value.strip()
        quote = plain[:1] if plain[:1] in ("'", '"') and plain[1:].endswith(plain[:1]) else ""
        yield name, plain[1:-1] if quote else plain.partition(" #")[0].strip()


@dataclass(frozen=True, slots=True)
class _Reader:
    sources: Sources
    values: Mapping[str, str]

    def service(self, name: str, found: Mapping[str, YamlValue]) -> Service:
        """Return one service."""
        build = found.get("build")
        context, dockerfile = self._build(build)
        table = _mapping(build)
        mounts = list(self._mounts(found.get("volumes")))
        return Service(
            name=name,
            image=self.text(found.get("image")),
            context=context,
            dockerfile=dockerfile,
            arguments=self._table(table.get("args")),
            target=self.text(table.get("target")),
            ports=tuple(self._ports(found.get("ports"))) or tuple(self._ports(found.get("expose"))),
            environment={**self._files(found.get("env_file")), **self._table(found.get("environment"))},
            entrypoint=self._words(found.get("entrypoint")),
            command=self._words(found.get("command")),
            directory=self.text(found.get("working_dir")),
            needs=tuple(one for one in _items(found.get("depends_on")) if isinstance(one, str)),
            waits=self._waits(found.get("depends_on")),
            health=self._health(found.get("healthcheck")),
            health_times=dict(self._health_times(_mapping(found.get("healthcheck")))),
            named_volumes=tuple(target for source, target in mounts if source and not source.startswith((".", "/"))),
            mounted=tuple(source for source, _ in mounts if source.startswith(".")),
            names=tuple(filter(_NAME.fullmatch, self._names(name, found))),
        )

    def text(self, value: YamlValue) -> str:
        """Return a text with its references filled in; empty for other values."""
        return _REFERENCE.sub(self._fill, value[:_MOST_TEXT])[:_MOST_TEXT] if isinstance(value, str) else ""

    def _fill(self, found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        value, sign, other = self.values.get(found[2] or found[5]), found[3] or "", found[4] or ""
        is_set = bool(value) if ":" in sign else value is not None
        if sign.endswith("+"):
            return other if is_set else ""
        if sign.endswith("-"):
            return value or "" if is_set else other
        return value if value is not None else _MADE_UP

    def _health(self, value: YamlValue) -> tuple[str, ...]:
        table = _mapping(value)
        if self.text(table.get("disable")) == "true":
            return ("NONE",)
        test = table.get("test")
        if isinstance(test, str):
            return ("CMD-SHELL", self.text(test))
        return tuple(one for one in map(self.text, _items(test)) if "\0" not in one)

    def _health_times(self, table: Mapping[str, YamlValue]) -> Iterator[tuple[str, int]]:
        for name, key in _HEALTH_TIMES.items():
            text = self.text(table.get(name))
            if _DURATION.fullmatch(text):
                parts = _PART_OF_DURATION.findall(text)
                yield key, round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))
        retries = self.text(table.get("retries"))
        if retries.isascii() and retries.isdecimal() and len(retries) < 6:
            yield "Retries", int(retries)

    def _waits(self, value: YamlValue) -> dict[str, str]:
        found = {name: self.text(_mapping(one).get("condition")) for name, one in _mapping(value).items()}
        return {name: one for name, one in list(found.items())[:_MOST_ENTRIES] if one in (HEALTHY, DONE)}

    def _table(self, value: YamlValue) -> dict[str, str]:
        """Return a list of ``NAME=value``, or a mapping. A name alone is left to the person who starts the file."""
        if isinstance(value, dict):
            pairs = [(key, one) for key, one in value.items() if one is not None]
        else:
            pairs = [(key, text) for one in _items(value) if isinstance(one, str)
                     for key, sign, text in [one.partition("=")] if sign]  # fmt: skip
        named = [(key, self.text(one)) for key, one in pairs[:_MOST_ENTRIES] if _VARIABLE.fullmatch(key)]
        return {key: one for key, one in named if "\0" not in one}

    def _files(self, value: YamlValue) -> dict[str, str]:
        found: dict[str, str] = {}
        for one in _items(value):
            path = self._inside(self.text(_mapping(one).get("path")) if isinstance(one, dict) else self.text(one))
            if path is not None:
                found |= {key: self.text(text) for key, text in _variables(self.sources, path)}
        return found

    def _build(self, value: YamlValue) -> tuple[str | None, str]:
        if value is None:
            return None, ""
        table = _mapping(value)
        context = self._inside(self.text(table.get("context")) or "." if table else self.text(value) or ".")
        named = self.text(table.get("dockerfile")) or "Dockerfile"
        dockerfile = None if context is None else _inside(posixpath.join(context, named))
        return (None, "") if dockerfile is None else (context, dockerfile)

    def _inside(self, path: str) -> str | None:
        return _inside(path) if path else None

    def _ports(self, value: YamlValue) -> Iterator[int]:
        for one in _items(value):
            table = _mapping(one)
            if table and self.text(table.get("protocol")) not in ("", "tcp"):
                continue
            found = _PORT.fullmatch(self.text(table.get("target")) if table else self.text(one))
            if found is not None and 0 < int(found[1]) < 65536:
                yield int(found[1])

    def _words(self, value: YamlValue) -> tuple[str, ...] | None:
        if isinstance(value, str):
            try:
                words = shlex.split(self.text(value))
            except ValueError:
                return None
        elif isinstance(value, list):
            words = [self.text(one) for one in value]
        else:
            return None
        return tuple(one for one in words[:_MOST_ENTRIES] if "\0" not in one) or None

    def _mounts(self, value: YamlValue) -> Iterator[tuple[str, str]]:
        for one in _items(value):
            table = _mapping(one)
            if table:
                yield self.text(table.get("source")), self.text(table.get("target"))
            else:
                source, _, rest = self.text(one).partition(":")
                if rest:
                    yield source, rest.partition(":")[0]

    def _names(self, name: str, found: Mapping[str, YamlValue]) -> Iterator[str]:
        yield name
        yield self.text(found.get("container_name"))
        yield self.text(found.get("hostname"))
        for network in _mapping(found.get("networks")).values():
            yield from map(self.text, _items(_mapping(network).get("aliases")))


def _inside(path: str) -> str | None:
    """Return a path of the project in its plain form; None if it leads out."""
    plain = posixpath.normpath(path)
    return None if plain.startswith(("/", "../")) or plain == ".." or "\0" in plain else plain


def _mapping(value: YamlValue) -> Mapping[str, YamlValue]:
    return value if isinstance(value, dict) else {}


def _items(value: YamlValue) -> list[YamlValue]:
    """Return a list's items, a mapping's keys, or the one value."""
    if value is None:
        return []
    return list(value)[:_MOST_ENTRIES] if isinstance(value, list | dict) else [value]
