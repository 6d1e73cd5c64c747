"""Pins in the folder where npm installs: a ``yarn.lock`` that npm follows, exact versions and overrides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from preview.environments.node.locks.pins import Pins

_YARN_LOCK: Final = "yarn.lock"
_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies")
Packages = Mapping[str, Mapping[str, object]]


def place_pins(pins: Pins, packages: Packages, directory: Path) -> None:
    """Pin what npm is about to install; what no pin speaks of keeps its range. Blocks on the disk.

    Args:
        pins: What a lock file says.
        packages: Folder to what its ``package.json`` is made of.
        directory: Where ``package.json`` is.
    """
    if pins.ranges:
        (directory / _YARN_LOCK).write_text("".join(_yarn_lines(pins)), "utf-8")
    for folder, package in packages.items():
        pinned = _pinned(package, pins.direct.get(folder, {}))
        if folder == "." and pins.overrides:
            pinned["overrides"] = _overrides(pins, packages)
        if pinned != package:
            (directory / folder / "package.json").write_text(json.dumps(pinned, indent=1), "utf-8")


def remove_pins(packages: Packages, directory: Path) -> None:
    """The ranges as they were. Blocks on the disk."""
    (directory / _YARN_LOCK).unlink(missing_ok=True)
    for folder, package in packages.items():
        (directory / folder / "package.json").write_text(json.dumps(package, indent=1), "utf-8")


def _yarn_lines(pins: Pins) -> Iterator[str]:
    yield "# yarn lockfile v1\n"
    for key, locked in pins.ranges.items():
        # npm takes `resolved` for what it asks the registry for, unless it is an address.
        yield f'\n"{key}":\n  version "{locked.version}"\n  resolved "{locked.version}"\n'
        if locked.integrity is not None:
            yield f"  integrity {locked.integrity}\n"


def _pinned(package: Mapping[str, object], versions: Mapping[str, str]) -> dict[str, object]:
    pinned = dict(package)
    for kind in _KINDS:
        wanted = package.get(kind)
        if isinstance(wanted, Mapping):
            pinned[kind] = {
                # A package that lies in the project stays where it is.
                name: value if str(value).startswith("file:") else versions.get(name, value)
                for name, value in wanted.items()
            }
    return pinned


def _overrides(pins: Pins, packages: Packages) -> dict[str, object]:
    """Those that npm takes: none for what a package asks for itself; a person's own come first."""
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
    return {**found, **given} if isinstance(given, Mapping) else found
