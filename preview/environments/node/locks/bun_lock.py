"""``bun.lock``: JSON with trailing commas, each package under the place where it lies.

Source: https://bun.com/docs/pm/lockfile
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Final

from preview.environments.node.locks.pins import Pins, UnreadableLock, is_name, is_version, single_versions
from preview.sources.javascript import read_literal

_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies")


def read_bun_lock(data: bytes) -> Pins:
    """What it pins.

    Raises:
        UnreadableLock: It says nothing that can be used.
    """
    content = read_literal(data)
    if not isinstance(content, Mapping):
        raise UnreadableLock("it is no JSON object")
    packages = dict(_packages(content))
    workspaces = content.get("workspaces")
    direct: dict[str, dict[str, str]] = {}
    for folder, facts in workspaces.items() if isinstance(workspaces, Mapping) else ():
        # The root's place is its name; what a member has for itself lies under the member's.
        own = str(facts.get("name", "")) if folder and isinstance(facts, Mapping) else ""
        direct[posixpath.normpath(folder or ".")] = {
            name: version
            for name in _wanted(facts)
            if (version := _version(name, packages.get(f"{own}/{name}") or packages.get(name))) is not None
        }
    names = {name for versions in direct.values() for name in versions}
    every = single_versions(packages.values())
    return Pins(direct=direct, overrides={name: version for name, version in every.items() if name not in names})


def _packages(content: Mapping[object, object]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Place to name and version of what comes from the registry."""
    packages = content.get("packages")
    for place, facts in packages.items() if isinstance(packages, Mapping) else ():
        said = facts[0] if isinstance(facts, list) and facts else None
        if isinstance(said, str):
            name, _, version = said.rpartition("@")
            yield str(place), (name, version)


def _wanted(facts: object) -> Iterator[str]:
    for kind in _KINDS:
        wanted = facts.get(kind) if isinstance(facts, Mapping) else None
        yield from (name for name in (wanted if isinstance(wanted, Mapping) else ()) if is_name(str(name)))


def _version(name: str, found: tuple[str, str] | None) -> str | None:
    if found is None or not is_version(found[1]) or not is_name(found[0]):
        return None
    return found[1] if found[0] == name else f"npm:{found[0]}@{found[1]}"
