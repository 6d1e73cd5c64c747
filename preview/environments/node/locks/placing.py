"""Pins and how npm gets them: a ``yarn.lock`` that npm follows, exact versions and overrides; and a YAML reader.

The YAML reader returns plain strings, lists and mappings, with a depth limit. PyYAML builds values recursively in C, so
deeply nested text can crash the process. This reader only uses its parser and builds the values iteratively.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import yaml

LOCK_NAMES: Final = ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
"""Names of the lock files; the first one that exists is used."""

_NAME: Final = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~_][a-z0-9._~-]*", re.IGNORECASE)
_VERSION: Final = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(?:[-+][0-9A-Za-z.+-]{1,100})?")


class UnreadableLock(ValueError):
    """A lock file without usable content; the message is the reason, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock file of the project.

    Attributes:
        name: One of ``LOCK_NAMES``.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Locked:
    """Resolved version of a range.

    Attributes:
        version: ``4.17.1``, or ``npm:other@4.17.1`` for a package under another name.
        integrity: Hash in npm's form (``sha512-…``); None if unknown.
    """

    version: str
    integrity: str | None = None


@dataclass(frozen=True, slots=True)
class Pins:
    """Pinned versions, by what requires them.

    Attributes:
        ranges: Range such as ``express@^4.17.0`` to its version, wherever the range is required.
        direct: Folder of a ``package.json`` to names and versions of its own requirements.
        overrides: Name to version, for packages that occur in the lock file in one version only.
    """

    ranges: Mapping[str, Locked] = field(default_factory=dict)
    direct: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True if there are no pins."""
        return not (self.ranges or self.overrides or any(self.direct.values()))


def is_name(text: str) -> bool:
    """Return whether the text is a package name that npm cannot read as anything else."""
    return _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Return whether the text is one version, not a range, a URL or a path."""
    return _VERSION.fullmatch(text) is not None


def single_versions(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the packages that occur in one version only, name to version."""
    found: dict[str, set[str]] = {}
    for name, version in pairs:
        found.setdefault(name, set()).add(version)
    return {
        name: next(iter(versions))
        for name, versions in found.items()
        if len(versions) == 1 and is_name(name) and all(map(is_version, versions))
    }


_YARN_LOCK: Final = "yarn.lock"
_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies")
Packages = Mapping[str, Mapping[str, object]]


def place_pins(pins: Pins, packages: Packages, directory: Path) -> None:
    """Write pins for the next npm installation; packages without a pin keep their range. Blocks on the disk."""
    if pins.ranges:
        (directory / _YARN_LOCK).write_text("".join(_yarn_lines(pins)), "utf-8")
    for folder, package in packages.items():
        pinned = _pinned(package, pins.direct.get(folder, {}))
        if folder == "." and (pins.overrides or package.get("overrides")):
            pinned["overrides"] = _overrides(pins, packages)
        if pinned != package:
            (directory / folder / "package.json").write_text(json.dumps(pinned, indent=1), "utf-8")


def remove_pins(packages: Packages, directory: Path) -> None:
    """Restore the original ranges. Blocks on the disk."""
    (directory / _YARN_LOCK).unlink(missing_ok=True)
    for folder, package in packages.items():
        (directory / folder / "package.json").write_text(json.dumps(package, indent=1), "utf-8")


def _yarn_lines(pins: Pins) -> Iterator[str]:
    yield "# yarn lockfile v1\n"
    for key, locked in pins.ranges.items():
        # npm requests the value of `resolved` from the registry unless it is a URL.
        yield f'\n"{key}":\n  version "{locked.version}"\n  resolved "{locked.version}"\n'
        if locked.integrity is not None:
            yield f"  integrity {locked.integrity}\n"


def _pinned(package: Mapping[str, object], versions: Mapping[str, str]) -> dict[str, object]:
    pinned = dict(package)
    for kind in _KINDS:
        wanted = package.get(kind)
        if isinstance(wanted, Mapping):
            pinned[kind] = {
                # A package in the project stays at its path.
                name: value if str(value).startswith("file:") else versions.get(name, value)
                for name, value in wanted.items()
            }
    return pinned


def _overrides(pins: Pins, packages: Packages) -> dict[str, object]:
    """Return overrides that npm accepts: none for requirements; the project's own have the locked versions."""
    asked = {
        name
        for package in packages.values()
        for kind in _KINDS
        if isinstance(wanted := package.get(kind), Mapping)
        for name in wanted
    }
    members = {str(package.get("name")) for package in packages.values()}
    found: dict[str, object] = {
        name: version for name, version in pins.overrides.items() if name not in asked and name not in members
    }
    given = packages["."].get("overrides")
    if not isinstance(given, Mapping):
        return found
    # npm refuses an override that differs from the root's own requirement, which is pinned here.
    locked = {**pins.overrides, **pins.direct.get(".", {})}
    return {**found, **{name: _locked(value, locked.get(name)) for name, value in given.items()}}


def _locked(value: object, version: object) -> object:
    """Return the version for an override that is a range; other overrides stay as they are."""
    is_range = isinstance(value, str) and not value.startswith(("$", "file:", "npm:"))
    return version if is_range and isinstance(version, str) else value


# pnpm's deepest entry has six levels; the limit is four times that.
_MAX_DEPTH: Final = 24


class _Open(Protocol):
    """A list or a mapping whose end has not been read yet."""

    @property
    def value(self) -> object: ...

    def add(self, item: object) -> None: ...


class _OpenList:
    def __init__(self) -> None:
        self.value: list[object] = []

    def add(self, item: object) -> None:
        self.value.append(item)


class _OpenMapping:
    def __init__(self) -> None:
        self.value: dict[str, object] = {}
        self._key: str | None = None

    def add(self, item: object) -> None:
        if self._key is not None:
            self.value[self._key], self._key = item, None
        elif isinstance(item, str):
            self._key = item
        else:
            raise UnreadableLock("one of its keys is not text")


def read_yaml(data: bytes) -> object:
    """Return the first document of a file, with plain values as strings.

    Raises:
        UnreadableLock: The file is not YAML, is nested too deeply, or refers to itself.
    """
    top = _OpenList()
    stack: list[_Open] = [top]
    try:
        for event in yaml.parse(data.decode("utf-8-sig"), Loader=yaml.CBaseLoader):
            _take(event, stack)
            if isinstance(event, yaml.DocumentEndEvent):
                break
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableLock(_reason(error)) from error
    return top.value[0] if top.value else None


def _take(event: yaml.Event, stack: list[_Open]) -> None:
    if isinstance(event, yaml.ScalarEvent):
        stack[-1].add(event.value)
    elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
        if len(stack) > _MAX_DEPTH:
            raise UnreadableLock("it is nested too deeply")
        stack.append(_OpenMapping() if isinstance(event, yaml.MappingStartEvent) else _OpenList())
    elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
        done = stack.pop()
        stack[-1].add(done.value)
    elif isinstance(event, yaml.AliasEvent):
        raise UnreadableLock("it refers to parts of itself")


def _reason(error: Exception) -> str:
    if isinstance(error, UnreadableLock):
        return str(error)
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it is not UTF-8 text"
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
