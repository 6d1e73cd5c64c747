"""Versions that install on a newer Python and fail there as they are imported: the first that does not is taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement


@dataclass(frozen=True, slots=True)
class _Floor:
    """Versions in ``versions`` do not run on ``python`` and above; ``instead`` do."""

    package: str
    versions: str
    python: str
    instead: str


_FLOORS: Final = (
    # asyncio.coroutine and inspect.getargspec are gone in 3.11, the names in collections in 3.10.
    _Floor("pydantic", ">=1,<1.10", "3.11", ">=1.10.13,<2"),
    _Floor("jinja2", "<2.11.3", "3.10", ">=2.11.3,<3"),
    _Floor("werkzeug", "<0.16.1", "3.10", ">=0.16.1,<1"),
    _Floor("flask-restful", "<0.3.9", "3.10", ">=0.3.9"),
    _Floor("flask-restx", "<0.5", "3.10", ">=0.5.1,<1"),
    _Floor("flask-restplus", "<0.13", "3.10", ">=0.13"),
    _Floor("pyjwt", "<1.7.1", "3.10", ">=1.7.1,<2"),
    _Floor("urllib3", "<1.25.4", "3.10", ">=1.25.4,<2"),
    _Floor("requests", "<2.25", "3.12", ">=2.25,<3"),
    _Floor("aiohttp", "<3.8.3", "3.11", ">=3.8.3,<4"),
    _Floor("motor", "<2.5.1", "3.11", ">=3.1.1,<3.4"),
    _Floor("aioredis", "<3", "3.11", ">=1.3.1"),
    _Floor("marshmallow", "<2.20", "3.10", ">=2.21,<3"),
    _Floor("sqlalchemy", "<1.3", "3.10", ">=1.3.24,<1.4"),
    _Floor("django", "<2.2.28", "3.10", ">=2.2.28,<3"),
    _Floor("djangorestframework", "<3.11", "3.10", ">=3.11.2,<3.13"),
    _Floor("alembic", "<1.6", "3.11", ">=1.6.5,<1.8"),
    _Floor("flask-wtf", "<0.14.3", "3.10", ">=0.14.3,<1"),
    _Floor("flask-migrate", "<2.7", "3.11", ">=2.7,<3"),
    _Floor("aiofiles", "<0.8", "3.11", ">=0.8"),
    _Floor("decorator", "<5", "3.11", ">=5"),
    _Floor("gunicorn", "<20", "3.10", ">=20.1"),
    _Floor("html5lib", "<1.1", "3.10", ">=1.1"),
    _Floor("bleach", "<3.2", "3.10", ">=3.2,<5"),
    _Floor("mako", "<1.1", "3.10", ">=1.1,<2"),
    _Floor("django", ">=3,<3.2", "3.10", ">=3.2,<4"),
    _Floor("django-filter", "<2.4", "3.10", ">=2.4,<22"),
    _Floor("graphql-core", "<2.3.2", "3.10", ">=2.3.2,<3"),
    _Floor("wrapt", "<1.14", "3.11", ">=1.14,<2"),
    _Floor("greenlet", "<2", "3.11", ">=2"),
    _Floor("gevent", "<22.10", "3.11", ">=22.10.2"),
    _Floor("eventlet", "<0.33.2", "3.10", ">=0.33.3"),
    _Floor("kombu", "<5.2", "3.11", ">=5.2.4,<6"),
    _Floor("pytz", "<2020", "3.10", ">=2020.1"),
    _Floor("pyparsing", "<2.4.7", "3.10", ">=2.4.7,<3"),
    _Floor("python-engineio", "<3.14", "3.10", ">=3.14.2,<4"),
    _Floor("typing-extensions", "<4", "3.11", ">=4"),
    _Floor("pymongo", "<3.11", "3.10", ">=3.12,<4"),
    _Floor("setuptools", "<66.1", "3.12", ">=68,<81"),
    _Floor("six", "<1.16", "3.12", ">=1.16"),
    _Floor("typing-extensions", ">=4,<4.6", "3.12", ">=4.6"),
    _Floor("urllib3", ">=1.25.4,<1.26.15", "3.12", ">=1.26.15,<2"),
    _Floor("websockets", "<10", "3.10", ">=10"),
    _Floor("uvicorn", "<0.13", "3.10", ">=0.13.4"),
    _Floor("loguru", "<0.5.3", "3.11", ">=0.5.3"),
    _Floor("mongoengine", "<0.20", "3.10", ">=0.20"),
)


def with_floors(required: RequirementSet, python: str) -> tuple[RequirementSet, list[str]]:
    """The requirements with versions that run on this Python, and a sentence for each that was changed.

    Args:
        required: What the project asks for.
        python: ``3.11.7``.
    """
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
    """Whether this version of a package is known not to run on this Python.

    Args:
        package: Its normalised name.
        version: As it is installed.
        python: ``3.12.1``.
    """
    return any(
        floor.package == package
        and Version(python) >= Version(floor.python)
        and SpecifierSet(floor.versions).contains(version, prereleases=True)
        for floor in _FLOORS
    )


def _floor(item: ProjectRequirement, python: Version) -> _Floor | None:
    """The floor that a pin stands below."""
    if not item.pinned or not item.applies or "@" in item.text or item.text.startswith("/"):
        return None
    for floor in _FLOORS:
        if floor.package == item.name and python >= Version(floor.python):
            pin = next(iter(Requirement(item.text.partition(" --hash")[0]).specifier)).version
            if SpecifierSet(floor.versions).contains(pin, prereleases=True):
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
