"""Requirements that are written for another Python than the one that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement

_MINORS: Final = range(8, 20)


def as_for(required: RequirementSet, requires: str) -> RequirementSet:
    """The requirements as they apply on the oldest Python 3 that ``requires`` allows, where they would not apply here.

    A tool that writes ``python_version >= "3.12"`` behind each line means the project, not the line.
    """
    try:
        allowed = SpecifierSet(requires)
    except InvalidSpecifier:
        return required
    minor = next((number for number in _MINORS if allowed.contains(f"3.{number}.99", prereleases=True)), None)
    if minor is None:
        return required
    return replace(
        required,
        requirements=tuple(_freed(item, minor) for item in required.requirements),
        constraints=tuple(_freed(item, minor) for item in required.constraints),
    )


def _freed(item: ProjectRequirement, minor: int) -> ProjectRequirement:
    if item.applies:
        return item
    text, hashes, rest = item.text.partition(" --hash")
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return item
    there = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0", "extra": ""}
    if parsed.marker is None or not parsed.marker.evaluate(there):
        return item
    parsed.marker = None
    return parse_requirement(str(parsed), item.origin, options=(f"{hashes}{rest}".strip(),) if hashes else ())
