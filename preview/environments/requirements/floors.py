"""Version floors: pinned versions that fail on a newer Python at import are replaced by the first that works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from preview.environments.requirements.bounds import newest_version
from preview.environments.requirements.compatibility import compatibility_rows
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement


@dataclass(frozen=True, slots=True)
class _Floor:
    """The versions in ``versions`` fail on ``python`` and above; those in ``instead`` work."""

    package: str
    versions: str
    python: str
    instead: str


_FLOORS: Final = tuple(_Floor(**row) for row in compatibility_rows("floors"))


def with_floors(required: RequirementSet, python: str) -> tuple[RequirementSet, list[str]]:
    """Return the requirements with versions that work on this Python, and a sentence for each change."""
    sentences: list[str] = []

    def raised(items: tuple[ProjectRequirement, ...]) -> tuple[ProjectRequirement, ...]:
        found = []
        for item in items:
            floor = _floor(item, Version(python))
            new = _raised(item, floor) if floor is not None else item
            if new is not item and floor is not None:
                why = f"does not run on Python {python}"
                sentences.append(f"{item.text} ({item.origin}) {why}: {new.text} is taken instead")
            found.append(new)
        return tuple(found)

    changed = replace(required, requirements=raised(required.requirements), constraints=raised(required.constraints))
    return changed, sentences


def is_below(package: str, version: str, python: str) -> bool:
    """Return whether this version of a package is known not to run on this Python."""
    return any(
        floor.package == package
        and Version(python) >= Version(floor.python)
        and SpecifierSet(floor.versions).contains(version, prereleases=True)
        for floor in _FLOORS
    )


def _floor(item: ProjectRequirement, python: Version) -> _Floor | None:
    """Return the floor above all versions that a requirement allows (``==1.8``, ``~=1.8.2``); None if none is."""
    if not item.applies or item.location is not None:
        return None
    for floor in _FLOORS:
        if floor.package == item.name and python >= Version(floor.python):
            newest = newest_version(item)
            if newest is not None and SpecifierSet(floor.versions).contains(newest, prereleases=True):
                return floor
    return None


def _raised(item: ProjectRequirement, floor: _Floor) -> ProjectRequirement:
    try:
        parsed = Requirement(item.text.partition(" --hash")[0])
    except InvalidRequirement:
        return item
    extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
    marker = f" ; {parsed.marker}" if parsed.marker else ""
    return parse_requirement(f"{parsed.name}{extras}{floor.instead}{marker}", item.origin)
