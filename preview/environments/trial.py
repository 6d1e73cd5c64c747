"""Whether a project runs as well in a newer Python than the service's own: tried with wheels alone, as it is written.

Nothing is loosened, left out or built for the newer one: a project that would need that is better off in the Python
that it had before.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from preview.environments.floors import with_floors
from preview.environments.imports.relics import find_relics
from preview.environments.layout import site_packages
from preview.environments.requirements import RequirementSet

__all__ = ["objection", "objection_to_packages"]

_LISTED: Final = re.compile(rb"^Classifier: Programming Language :: Python :: 3\.(\d+)\s*$", re.MULTILINE)
# The fields come first; a long description behind them says nothing.
_MOST_METADATA: Final = 64 * 1024


def objection(required: RequirementSet, standard: frozenset[str], python: str, gone: frozenset[str]) -> str | None:
    """Why a project is not even tried in a newer Python; None where nothing speaks against it.

    Args:
        required: What it asks for.
        standard: What it imports of the standard library.
        python: The newer one's version.
        gone: Modules that the service's own Python brings and the newer one does not.
    """
    if missing := sorted(standard & gone):
        return f'it imports "{missing[0]}", which newer ones do not have'
    _, sentences = with_floors(required, python)
    return sentences[0].rpartition(": ")[0] if sentences else None


def objection_to_packages(environment: Path, required: RequirementSet, newer: str, own: str) -> str | None:
    """Why what was installed is not trusted in a newer Python; None where nothing speaks against it.

    Args:
        environment: Its folder; blocks on the disk.
        required: What the project asks for.
        newer: The version of its Python.
        own: The version of the service's own.
    """
    for relic in find_relics(environment, newer):
        if relic.uses != "pkg_resources":
            return f"{relic.package} uses {relic.uses}, which newer ones do not have"
    pinned = {item.name: item for item in (*required.constraints, *required.requirements) if item.pinned}
    for folder in site_packages(environment):
        for info in sorted(folder.glob("*.dist-info")):
            item = pinned.get(canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0]))
            if item is not None and _was_made_for_older(info / "METADATA", newer, own):
                what = f"{item.text.partition(' --hash')[0]} ({item.origin})"
                return f"{what} does not say that it runs on {_short(newer)}"
    return None


def _was_made_for_older(metadata: Path, newer: str, own: str) -> bool:
    """Whether the package names the own Python among those that it runs on, and not the newer one."""
    try:
        with metadata.open("rb") as file:
            minors = {int(minor) for minor in _LISTED.findall(file.read(_MOST_METADATA))}
    except OSError:
        return False
    return int(own.split(".")[1]) in minors and int(newer.split(".")[1]) not in minors


def _short(version: str) -> str:
    return "Python " + ".".join(version.split(".")[:2])
