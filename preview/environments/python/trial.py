"""Trial of a project with a newer Python than the service's own: unchanged, and with wheels only.

Nothing is loosened, left out or built for the newer Python: a project that needs changes runs better on the service's
own Python. A trial also fails if a package lists the Python versions that it supports, and all are older.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from preview.environments.folders.layout import site_packages
from preview.environments.imports.removed_apis import find_relics
from preview.environments.requirements.floors import is_below, with_floors
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet

_LISTED: Final = re.compile(rb"^Classifier: Programming Language :: Python :: 3\.(\d+)\s*$", re.MULTILINE)
# The fields come first in the file; the long description after them is not needed.
_MOST_METADATA: Final = 64 * 1024
# Small, stable packages that work on newer Pythons: they are so common that they would reject most projects.
_WELL_KNOWN: Final = frozenset({"h11", "mdurl", "outcome", "priority", "sortedcontainers", "tomlkit", "webencodings"})


def objection(
    required: RequirementSet, standard: frozenset[str], gone: frozenset[str], newer: str, own: str
) -> str | None:
    """Return why a project is not tried in a newer Python; None if nothing rules it out."""
    if missing := sorted(standard & gone):
        return f'it imports "{missing[0]}", which newer ones do not have'
    for item in (*required.requirements, *required.constraints, *required.spare):
        if _differs(item, newer, own):
            return f"{_named(item)} is for some versions of Python only"
    _, sentences = with_floors(required, newer)
    return sentences[0].rpartition(": ")[0] if sentences else None


def _differs(item: ProjectRequirement, newer: str, own: str) -> bool:
    """Return whether the line applies to only one of the two Pythons."""
    _, _, marker = item.text.partition(" --hash")[0].partition(";")
    if not marker.strip():
        return False
    try:
        parsed = Marker(marker)
        return parsed.evaluate(_environment(newer)) != parsed.evaluate(_environment(own))
    except (InvalidMarker, UndefinedEnvironmentName, InvalidVersion):
        return True


def _environment(version: str) -> dict[str, str]:
    versions = {"python_full_version": version, "implementation_version": version}
    return {"python_version": _short(version), **versions, "extra": ""}


def objection_to_packages(environment: Path, newer: str) -> str | None:
    """Return why installed packages are not trusted with a newer Python; None if nothing rules it out.

    Args:
        environment: The environment's folder. Blocks on the disk.
        newer: Version of the environment's Python.
    """
    for relic in find_relics(environment, newer):
        if relic.uses != "pkg_resources":
            return f"{relic.package} uses {relic.uses}, which newer ones do not have"
    for folder in site_packages(environment):
        for info in sorted(folder.glob("*.dist-info")):
            name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
            package = canonicalize_name(name)
            if is_below(package, version, newer):
                return f"{package} {version} does not run on Python {_short(newer)}"
            if package not in _WELL_KNOWN and _was_made_for_older(info / "METADATA", newer):
                return f"{package} {version} does not say that it runs on Python {_short(newer)}"
    return None


def _was_made_for_older(metadata: Path, newer: str) -> bool:
    """Return whether the package lists Python versions that it supports, all older than this one."""
    try:
        with metadata.open("rb") as file:
            minors = [int(minor) for minor in _LISTED.findall(file.read(_MOST_METADATA))]
    except OSError:
        return False
    return bool(minors) and max(minors) < int(newer.split(".")[1])


def _named(item: ProjectRequirement) -> str:
    return f"{item.text.partition(' --hash')[0]} ({item.origin})"


def _short(version: str) -> str:
    return ".".join(version.split(".")[:2])
