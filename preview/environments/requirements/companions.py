"""Companion packages: limits that keep the dependencies of an older package at versions that work with it.

For example, a project that pins only Flask 1.1 would get today's Jinja2, with which Flask 1.1 does not start.

``drift`` mends old sets by a second installation, if an import fails and all pins are of about one time. A row here is
for what it cannot see: failures at run time, pins of mixed ages, packages without a pin, and common packages that need
no second installation then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from preview.environments.requirements.bounds import newest_version
from preview.environments.requirements.compatibility import compatibility_rows
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement


@dataclass(frozen=True, slots=True)
class _Companion:
    """The limits in ``then`` apply if the newest version that ``package`` may have is in ``versions``."""

    package: str
    versions: str
    then: tuple[str, ...]


_COMPANIONS: Final = tuple(
    _Companion(row["package"], row["versions"], tuple(row["then"])) for row in compatibility_rows("companions")
)
# One limit leads to the next: Flask-SQLAlchemy 2.2, Flask 1, MarkupSafe 2.0.
_MAX_ROUNDS: Final = 5
# A constraint has no effect on packages that are not installed, so these are added as requirements.
_NEEDED: Final = frozenset({"packaging", "pytz", "setuptools"})
# Limited only if a manifest names them: their own companions would limit projects that do not have them.
_NAMED: Final = frozenset({"flask-sqlalchemy"})


def with_companions(required: RequirementSet) -> RequirementSet:
    """Return the requirements with limits for companions, each recorded in ``company``; the project's choices stay."""
    for _ in range(_MAX_ROUNDS):
        after = _once(required)
        if after is required:
            break
        required = after
    return required


def _once(required: RequirementSet) -> RequirementSet:
    added: dict[str, ProjectRequirement] = {}
    taken: list[tuple[ProjectRequirement, ProjectRequirement]] = []
    have = {item.text for item in (*required.constraints, *(limit for _, limit in required.company))}
    for item, then in _applying(required):
        for text in then:
            wanted = parse_requirement(text, f"is compatible with {item.text}")
            chosen = required.find(wanted.name or "")
            if wanted.text in have or _is_free(chosen, wanted):
                continue
            if wanted.name in _NEEDED and chosen is None:
                added[wanted.name or ""] = wanted
            have.add(wanted.text)
            taken.append((item, wanted))
    if not taken:
        return required
    limits = [limit for _, limit in taken if limit.text != limit.name]
    return replace(
        required,
        requirements=(*required.requirements, *added.values()),
        constraints=(*required.constraints, *limits),
        company=(*required.company, *taken),
    )


def _applying(required: RequirementSet) -> Iterator[tuple[ProjectRequirement, tuple[str, ...]]]:
    for companion in _COMPANIONS:
        found = required.find(companion.package)
        limits = [item for item in required.constraints if item.name == companion.package]
        if found is None or not found.applies:
            # No requirement names the package, but a limit exists: another named package requires it.
            found = (
                limits[0] if found is None and limits and limits[0].origin.startswith("is compatible with") else None
            )
        if found is None:
            continue
        newest = [version for item in (found, *limits) if (version := newest_version(item)) is not None]
        allowed = SpecifierSet(companion.versions)
        # These rows apply to all versions, whatever the newest one is.
        every = companion.versions in {"<99", "<=1.7.4"}
        if every or (newest and allowed.contains(min(newest), prereleases=True)):
            yield found, companion.then


def _is_free(chosen: ProjectRequirement | None, wanted: ProjectRequirement) -> bool:
    """Return whether the limit is left out: the project has chosen itself, or does not name such a package."""
    if chosen is None:
        return wanted.name in _NAMED
    return chosen.pinned or _goes_beyond(chosen, wanted)


def _goes_beyond(chosen: ProjectRequirement, wanted: ProjectRequirement) -> bool:
    """Return whether the project's own lower bound exceeds the limit; the project's line then has priority."""
    try:
        specifiers = list(Requirement(chosen.text.partition(" --hash")[0]).specifier)
    except InvalidRequirement:
        return True
    least = [Version(one.version) for one in specifiers if one.operator in {">=", ">", "~="}]
    limit = Requirement(wanted.text).specifier
    return any(not limit.contains(version, prereleases=True) for version in least)
