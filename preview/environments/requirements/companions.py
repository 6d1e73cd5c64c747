"""Packages that an older one worked with, and that have changed since: kept at the versions of its time.

A project that pins Flask 1.1 and nothing below it gets the Jinja2 of today, and does not start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement


@dataclass(frozen=True, slots=True)
class _Companion:
    """``then`` holds where the newest version that ``package`` may have is in ``versions``."""

    package: str
    versions: str
    then: tuple[str, ...]


_COMPANIONS: Final = (
    _Companion(
        "flask",
        "<2",
        ("werkzeug<2.1", "jinja2<3.1", "setuptools<81", "markupsafe<2.1", "itsdangerous<2.1", "click<8.1"),
    ),
    _Companion("flask", ">=2,<2.2", ("werkzeug<2.2", "jinja2<3.2")),
    _Companion("flask", ">=2.2,<3", ("werkzeug<3",)),
    _Companion("jinja2", "<3", ("markupsafe<2.1", "setuptools<81")),
    _Companion("flask-debugtoolbar", "<0.13", ("flask<2.2", "setuptools<81")),
    _Companion("flask-sqlalchemy", "<2.5", ("flask<2", "werkzeug<2", "sqlalchemy<2")),
    _Companion("flask-sqlalchemy", ">=2.5,<3", ("sqlalchemy<2", "werkzeug<3", "flask<2.3")),
    _Companion("flask-login", "<0.6.3", ("werkzeug<3", "flask<3")),
    _Companion("flask-wtf", "<0.15", ("werkzeug<2.1", "wtforms<3", "itsdangerous<2.1")),
    _Companion("flask-wtf", ">=0.15,<1.1", ("flask<2.3", "werkzeug<3")),
    _Companion("flask-restplus", "<99", ("werkzeug<1", "flask<2", "jinja2<3.1", "markupsafe<2.1", "itsdangerous<2.1")),
    _Companion("flask-restx", "<0.5.1", ("werkzeug<2.1", "flask<2.1")),
    _Companion("flask-restx", ">=0.5.1,<1.2", ("werkzeug<3", "flask<3")),
    _Companion("flask-uploads", "<99", ("werkzeug<1", "flask<2", "jinja2<3.1", "markupsafe<2.1", "itsdangerous<2.1")),
    _Companion("flask-script", "<99", ("flask<2", "werkzeug<2.1", "jinja2<3.1", "markupsafe<2.1", "itsdangerous<2.1")),
    _Companion("flask-jwt", "<99", ("pyjwt<2", "flask<2.3", "werkzeug<2.1")),
    _Companion("flask-jwt-extended", "<4", ("pyjwt<2", "flask<2.3", "werkzeug<2.3")),
    _Companion("flask-security", "<4", ("werkzeug<2.1", "flask<2.1", "email-validator<2")),
    _Companion("flask-babelex", "<99", ("setuptools<81", "flask<2.3", "werkzeug<2.1", "jinja2<3.1")),
    _Companion("flask-babel", "<3", ("flask<2.3",)),
    _Companion("flask-admin", "<1.6.1", ("wtforms<3.1", "flask<2.3", "werkzeug<3")),
    _Companion("flask-marshmallow", "<0.15", ("marshmallow-sqlalchemy<0.29", "flask<2.3")),
    _Companion("marshmallow-sqlalchemy", "<0.28", ("sqlalchemy<2", "marshmallow<3.22")),
    _Companion("flask-bootstrap", "<99", ("visitor",)),
    _Companion("connexion", "<2.15", ("flask<2.3", "werkzeug<2.3")),
    _Companion("sqlalchemy-utils", "<0.41", ("sqlalchemy<2",)),
    _Companion("databases", "<0.8", ("sqlalchemy<2",)),
    _Companion("sqlmodel", "<0.0.12", ("sqlalchemy<2", "pydantic<2")),
    _Companion("sqlmodel", ">=0.0.12,<0.0.14", ("sqlalchemy<2.1", "pydantic<2.5")),
    _Companion("alembic", "<1.7", ("sqlalchemy<2",)),
    _Companion("fastapi", "<0.100", ("pydantic<2", "anyio<4")),
    _Companion("fastapi", "<0.112", ("httpx<0.28",)),
    _Companion("starlette", "<0.37.2", ("httpx<0.28", "anyio<4.5")),
    _Companion("pydantic", "<2", ("email-validator<3",)),
    _Companion("tortoise-orm", "<0.20", ("pydantic<2",)),
    _Companion("fastapi-users", "<12.1", ("pydantic<2",)),
    _Companion("fastapi-utils", "<0.3", ("sqlalchemy<2", "pydantic<2")),
    _Companion("fastapi-mail", "<1.3", ("pydantic<2",)),
    _Companion("fastapi-jwt-auth", "<99", ("pydantic<2", "pyjwt<2", "fastapi<0.100")),
    _Companion("beanie", "<1.19", ("pydantic<2", "motor<3.4")),
    _Companion("motor", "<3.6", ("pymongo<4.9",)),
    _Companion("beanie", "<1.30", ("motor<3.7", "pymongo<4.10")),
    _Companion("odmantic", "<1", ("pydantic<2", "motor<3.4")),
    _Companion("mongoengine", "<0.27", ("pymongo<4.6",)),
    _Companion("flask-mongoengine", "<2", ("pymongo<4", "mongoengine<0.25", "flask<2.3", "wtforms<3")),
    _Companion("openai", "<1.55.3", ("httpx<0.28",)),
    _Companion("anthropic", "<0.40", ("httpx<0.28",)),
    _Companion("groq", "<0.13", ("httpx<0.28",)),
    _Companion("langchain", "<0.1", ("pydantic<2.9", "numpy<2")),
    _Companion("passlib", "<=1.7.4", ("bcrypt<4.1",)),
    _Companion("pandas", "<2.2.2", ("numpy<2",)),
    _Companion("scikit-learn", "<1.4.2", ("numpy<2", "scipy<1.14")),
    _Companion("matplotlib", "<3.9", ("numpy<2",)),
    _Companion("opencv-python", "<4.10", ("numpy<2",)),
    _Companion("torch", "<2.3", ("numpy<2",)),
    _Companion("celery", "<5", ("vine<5", "importlib-metadata<5", "kombu<5", "click<8")),
    _Companion("celery", ">=5,<5.2.7", ("importlib-metadata<5",)),
    _Companion("redis", "<2.11", ("kombu<5",)),
    _Companion("elasticsearch", "<7.14", ("urllib3<2",)),
    _Companion("requests", "<2.30", ("urllib3<2",)),
    _Companion("graphene", "<3", ("graphql-core<3",)),
    _Companion("aioredis", "<2", ("redis<5",)),
    _Companion("django", "<3.2", ("sqlparse<0.5", "pytz")),
    _Companion("django", "<4.2", ("psycopg2-binary<2.9.10", "djangorestframework<3.16", "django-filter<24")),
    _Companion("django", "<5", ("django-cors-headers<4.8", "django-debug-toolbar<5.2")),
    _Companion("djangorestframework-simplejwt", "<5", ("pyjwt<2",)),
    _Companion("djangorestframework-simplejwt", "<5.3.1", ("setuptools<81",)),
    _Companion("drf-yasg", "<1.21.8", ("setuptools<81",)),
    _Companion("djangorestframework", "<3.15", ("pytz", "django<5.1")),
    _Companion("gunicorn", "<21", ("setuptools<81",)),
    _Companion("gevent", "<22", ("greenlet<2",)),
    _Companion("python-engineio", "<4", ("python-socketio<5",)),
    _Companion("flask-socketio", "<5", ("python-socketio<5", "python-engineio<4", "flask<2.3", "werkzeug<2.1")),
)
# One limit leads to another: Flask-SQLAlchemy 2.2, Flask 1, MarkupSafe 2.0.
_MAX_ROUNDS: Final = 5
# A constraint binds only what is installed anyway; these have to be there.
_NEEDED: Final = frozenset({"visitor", "pytz", "setuptools"})


def with_companions(required: RequirementSet) -> RequirementSet:
    """The requirements with the versions that go with them, each told; what the project chose itself stays."""
    for _ in range(_MAX_ROUNDS):
        after = _once(required)
        if after is required:
            break
        required = after
    return required


def _once(required: RequirementSet) -> RequirementSet:
    added: dict[str, ProjectRequirement] = {}
    taken: list[tuple[ProjectRequirement, ProjectRequirement]] = []
    have = {item.text for item in required.constraints}
    for item, then in _applying(required):
        for text in then:
            wanted = parse_requirement(text, f"goes with {item.text}")
            chosen = required.find(wanted.name or "")
            if wanted.text in have or (chosen is not None and (chosen.pinned or _goes_beyond(chosen, wanted))):
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
            # Nobody names it, but a companion limits it: something that was named brings it.
            found = limits[0] if found is None and limits and limits[0].origin.startswith("goes with") else None
        if found is None:
            continue
        newest = [version for item in (found, *limits) if (version := _newest(item)) is not None]
        allowed = SpecifierSet(companion.versions)
        # Whatever the newest is, all of them are meant.
        every = companion.versions in {"<99", "<=1.7.4"}
        if every or (newest and allowed.contains(min(newest), prereleases=True)):
            yield found, companion.then


def _newest(item: ProjectRequirement) -> Version | None:
    """The newest version that a requirement allows, about; None where there is no limit."""
    try:
        specifiers = list(Requirement(item.text.partition(" --hash")[0]).specifier)
    except InvalidRequirement:
        return None
    found: list[Version] = []
    for one in specifiers:
        try:
            version = Version(one.version.removesuffix(".*"))
        except InvalidVersion:
            continue
        if one.operator in {"==", "===", "<="}:
            found.append(version)
        elif one.operator == "~=":
            head = [*version.release[:-2], version.release[-2], 9999]
            found.append(Version(".".join(str(part) for part in head)))
        elif one.operator == "<":
            found.append(_below(version))
    return min(found, default=None)


def _below(version: Version) -> Version:
    """Some version just below."""
    release = list(version.release)
    while release and release[-1] == 0:
        release.pop()
    if not release:
        return Version("0")
    release[-1] -= 1
    return Version(".".join(str(part) for part in (*release, 9999)))


def _goes_beyond(chosen: ProjectRequirement, wanted: ProjectRequirement) -> bool:
    """Whether the project asks for more than the companion allows: its word counts."""
    try:
        specifiers = list(Requirement(chosen.text.partition(" --hash")[0]).specifier)
    except InvalidRequirement:
        return True
    least = [Version(one.version) for one in specifiers if one.operator in {">=", ">", "~="}]
    limit = Requirement(wanted.text).specifier
    return any(not limit.contains(version, prereleases=True) for version in least)
