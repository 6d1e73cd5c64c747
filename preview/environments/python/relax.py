"""Loosening of requirements that cannot be installed as written: one requirement at a time, each step logged.

A requirement keeps its name and its index. A requirement with a path, a URL or a repository is never loosened: an index
may have a stranger's package under its name or its folder's name (dependency confusion).
``_INSTEAD`` is the one exception, a fixed table of well-known names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from preview.environments.python.explain import Explanation
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement

# Packages without which there is nothing to preview: they are loosened, never left out.
_PROTECTED: Final = frozenset({"fastapi", "starlette", "flask", "django", "uvicorn", "waitress", "quart"})
# Another name of the same package that has wheels, or the name that was meant.
_INSTEAD: Final = {
    "psycopg2": "psycopg2-binary",
    "psycopg-c": "psycopg-binary",
    "sklearn": "scikit-learn",
    "dotenv": "python-dotenv",
    "crypto": "pycryptodome",
    "pycrypto": "pycryptodome",
    # PyMySQL serves as MySQLdb, see ``mysql``.
    "mysqlclient": "pymysql",
    "mysql-python": "pymysql",
    "mysql": "pymysql",
    "bs4": "beautifulsoup4",
    "opencv": "opencv-python",
    "yaml": "pyyaml",
    "pil": "pillow",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "multipart": "python-multipart",
    "discord": "discord-py",
    "attr": "attrs",
}
# Those of them whose other name serves under the same module, so that it may replace what a package brings along.
_SERVES_AS: Final = frozenset({"mysqlclient", "psycopg2"})
# Servers, their workers and their parts: previews use other ones, so a project that does not import them needs none.
_SERVERS: Final = frozenset(
    {"bjoern", "cheroot", "circus", "eventlet", "gevent", "httptools", "japronto", "meinheld", "mod-wsgi", "pyuwsgi",
     "tornado", "twisted", "uvloop", "uwsgi", "uwsgitop"}
)  # fmt: skip
# Parts of Python itself, for older ones.
_BACKPORTS: Final = frozenset(
    {"argparse", "asyncio", "backports-zoneinfo", "contextvars", "dataclasses", "enum34", "functools32", "futures",
     "pathlib", "typing", "uuid", "wsgiref"}
)  # fmt: skip
# Parts of Ubuntu and its kin, which `pip freeze` lists outside an environment; not in the index, or without libraries.
_OF_SYSTEM: Final = frozenset(
    {"apturl", "brlapi", "cloud-init", "command-not-found", "cupshelpers", "dbus-python", "defer", "distro-info",
     "language-selector", "launchpadlib", "libevdev", "louis", "mintcommon", "nemo-emblems", "onboard", "pam",
     "pycairo", "pycups", "pygobject", "pyicu", "pyparted", "python-apt", "python-debian", "repolib",
     "screen-resolution-extra", "secretstorage", "sessioninstaller", "ssh-import-id", "systemd-python",
     "ubuntu-advantage-tools", "ubuntu-drivers-common", "ubuntu-pro-client", "ufw", "unattended-upgrades",
     "usb-creator", "vboxapi", "wxpython", "xkit"}
)  # fmt: skip
# Failures that another version of a package cannot fix.
_HOPELESS: Final = frozenset({"disk", "network", "offline", "download", "host"})
# uv's hint about a package that no line requires.
_BROUGHT: Final = re.compile(r"was included because `([A-Za-z0-9._-]{1,100})(?:\[[^\]`]{1,100}\])?`")
_ABSENT: Final = frozenset({"not_found", "no_version", "denied"})
_WORDS: Final = {
    "build": "cannot be built here",
    "python": "needs another Python",
    "no_version": "is not available for this Python",
    "not_found": "is not in the package index",
    "network": "cannot be fetched",
    "download": "cannot be fetched",
    "hash": "does not match the recorded hash",
    "conflict": "contradicts another requirement",
    "denied": "would have to be built, which PREVIEW_BUILD_CODE=deny does not allow",
}
# Minor releases of a version below 1.0 that are tried before its newest one.
_NEAR: Final = 2
# Steps away from a version that uses an API that is gone.
_MOST_AWAY: Final = 2
_NAMED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class Loosened:
    """Result of one step: the changed requirements, and a sentence about the change."""

    required: RequirementSet
    sentence: str


@dataclass(slots=True)
class Loosening:
    """Steps that were taken already; each step is taken once.

    Attributes:
        levels: Number of steps taken, by package.
        imported: Normalised names of packages that the project imports; None if its imports are unknown.
    """

    imported: frozenset[str] | None = None
    levels: dict[str, int] = field(default_factory=dict)
    _away: dict[str, int] = field(default_factory=dict)
    _all_taken: bool = False

    def after(self, required: RequirementSet, why: Explanation, lines: Sequence[str]) -> Loosened | None:
        """Return the next attempt after a failure; None if nothing is left to try."""
        text = "\n".join(lines)
        if why.reason in _HOPELESS or _is_about_a_location(required, why, text):
            return None
        brought = _BROUGHT.search(text)
        if step := self._replaced(required, why, "" if brought is None else canonicalize_name(brought[1])):
            return step
        culprits = _culprits(required, why, text)
        # Leave a package out only if nothing can be loosened, and never because its build is denied.
        refused = why.reason == "denied"
        for may_drop in (False,) if refused else (False, True):
            for name in culprits:
                if step := self._loosen(required, name, why.reason, may_drop=may_drop):
                    return step
        return None if refused else self.all_at_once(required)

    def has_substitute(self, name: str) -> bool:
        """Return whether the project runs without this package: another one serves as it, or nothing imports it."""
        return name in _INSTEAD or self._is_spare(name)

    def last(self, required: RequirementSet, why: Explanation) -> Loosened | None:
        """Return the next attempt when there is no time to loosen step by step; None if nothing is left to try.

        First all pins at once. Then packages that cannot be built under any version come under their other name, and
        those that nothing imports are left out.
        """
        if step := self._replaced(required, why) or self.all_at_once(required):
            return step
        found = None if why.package is None else required.find(why.package)
        if why.reason != "build" or found is None or found.name is None or found.location is not None:
            return None
        if self.has_substitute(found.name) and found.name not in self.levels:
            return self._loosen(required, found.name, why.reason)
        if self.imported is not None and found.name not in self.imported:
            return _left_out(required, found, f"{_WORDS[why.reason]}, and nothing imports it")
        return None

    def _replaced(self, required: RequirementSet, why: Explanation, brought_by: str = "") -> Loosened | None:
        """Require another package in place of one that a requirement brings along: ``Flask-MySQLdb``'s mysqlclient."""
        name = why.package
        if name not in _SERVES_AS or name in required.replaced or why.reason not in {"build", "denied", "no_version"}:
            return None
        # One that is itself another name of a package is replaced first.
        if name in self.levels and brought_by in _INSTEAD:
            return None
        if any(item.name == name for item in (*required.requirements, *required.constraints)):
            return None
        self.levels[name] = 1
        added = parse_requirement(_INSTEAD[name], f"in place of {name}")
        there = () if required.find(_INSTEAD[name]) is not None else (added,)
        changed = replace(required, requirements=(*required.requirements, *there), replaced=required.replaced | {name})
        return Loosened(changed, f"{name} {_WORDS[why.reason]}: {_INSTEAD[name]} is taken instead")

    def _is_spare(self, name: str) -> bool:
        spare = name in _SERVERS or name in _BACKPORTS or name in _OF_SYSTEM
        return spare and self.imported is not None and name not in self.imported

    def away_from(self, required: RequirementSet, name: str, uses: str) -> Loosened | None:
        """Return the next attempt for a package that uses an API that this Python lacks; None if nothing is left.

        The newest release of the same major version may use it too; then the next major version is allowed.
        """
        known = any(item.name == name for item in (*required.requirements, *required.constraints))
        if not known or self._away.get(name, 0) >= _MOST_AWAY or (name in self.levels and name not in self._away):
            return None
        self._away[name] = self._away.get(name, 0) + 1
        return self._loosen(required, name, f"uses {uses}, which this Python lacks")

    def all_at_once(self, required: RequirementSet) -> Loosened | None:
        """Turn all pins, and ranges that steps have made of pins, into lower bounds; ignore the lock file; once."""
        if self._all_taken:
            return None
        self._all_taken = True
        held = (item for item in required.requirements if item.pinned or item.name in self.levels)
        pinned = {item.name for item in held if item.location is None}
        loose = tuple(_with(item, _lower(item)) if item.name in pinned else item for item in required.requirements)
        located = tuple(item for item in required.constraints if item.location is not None)
        if loose == required.requirements and located == required.constraints:
            return None
        return Loosened(
            replace(required, requirements=loose, constraints=located),
            "the pinned versions do not work together here: using the oldest compatible version of each",
        )

    def _loosen(self, required: RequirementSet, name: str, reason: str, *, may_drop: bool = False) -> Loosened | None:
        for item in required.constraints:
            if item.name == name and item.location is None:
                rest = tuple(other for other in required.constraints if other.name != name)
                sentence = f"{item.text} ({item.origin}) {_WORDS.get(reason, reason)}: another version is taken"
                return Loosened(replace(required, constraints=rest), sentence)
        found = required.find(name)
        if found is None:
            return self._from_wheels(required, name) if reason == "build" else None
        if any(item.location is not None for item in required.find_all(name)):
            return None
        if self._is_spare(name) and (reason == "build" or (name in _OF_SYSTEM and reason in _ABSENT)):
            # Where one part of Ubuntu is listed, all are: each would cost an attempt.
            others = {one.name for one in required.requirements if one.name in _OF_SYSTEM and self._is_spare(one.name)}
            return _left_out(required, found, f"{_WORDS[reason]}, and nothing imports it", others - {name})
        while (level := self.levels.get(name, 0)) <= len(_LEVELS):
            if level == len(_LEVELS):
                return _left_out(required, found, reason) if may_drop else None
            self.levels[name] = level + 1
            new = _LEVELS[level](found, reason)
            if new is not None and new != found.text:
                return _changed(required, found, new, reason)
        return None

    def _from_wheels(self, required: RequirementSet, name: str) -> Loosened | None:
        """Allow other versions of an indirect dependency, but only wheels."""
        if name in self.levels:
            return None
        self.levels[name] = 1
        options = (*required.options, "--only-binary", name)
        sentence = f"{name} cannot be built here: a version of it that needs no building is taken"
        return Loosened(replace(required, options=options), sentence)


def _culprits(required: RequirementSet, why: Explanation, text: str) -> list[str]:
    """Return names of packages that may be at fault, the likeliest first, protected ones last."""
    known = {item.name for item in (*required.requirements, *required.constraints) if item.name}
    named: list[str] = []
    flat = " ".join(text.partition("No solution found")[2].split())
    # A dependency in an unsuitable version comes before the packages that depend on it.
    for pattern in (r"depends? on (\S+)", r"you require (\S+)", r"(?<!\S)(\S{1,200}) depends? on"):
        words = (_NAMED.match(match[1]) for match in re.finditer(pattern, flat))
        named += [canonicalize_name(word[1]) for word in words if word]
    if why.package and why.package not in known:
        # The requirement that brings it can be changed, the package itself cannot.
        named += [canonicalize_name(name) for name in _BROUGHT.findall(text)]
    if why.package:
        named.append(why.package)
    wanted = [name for name in dict.fromkeys(named) if name in known or name == why.package]
    return sorted(wanted, key=lambda name: name in _PROTECTED)


def _is_about_a_location(required: RequirementSet, why: Explanation, text: str) -> bool:
    """Return whether a requirement with its own source failed, or may have failed."""
    if why.reason in {"conflict", "no_version", "python"}:
        return False  # its package was found; another package's version may be at fault
    located = [item for item in (*required.requirements, *required.constraints) if item.location is not None]
    if why.reason == "build" and not why.package:
        # The installer does not name a package that it builds from a folder.
        return bool(located)
    package = canonicalize_name(why.package) if why.package else None
    return any(
        (item.name is not None and item.name == package) or (item.location or "").partition("#")[0] in text
        for item in located
    )


def _changed(required: RequirementSet, found: ProjectRequirement, new: str, reason: str) -> Loosened:
    # Another line of the same name that applies too, of a manifest beside the file, would restore the old limit.
    kept = (item for item in required.requirements if item is found or item.name != found.name or not item.applies)
    requirements = tuple(_with(item, new) if item is found else item for item in kept)
    sentence = f"{_short(found)} ({found.origin}) {_WORDS.get(reason, reason)}: {new} is taken instead"
    return Loosened(replace(required, requirements=requirements), sentence)


def _left_out(
    required: RequirementSet, found: ProjectRequirement, reason: str, others: Collection[str | None] = ()
) -> Loosened | None:
    if found.name in _PROTECTED:
        return None
    rest = tuple(item for item in required.requirements if item.name != found.name and item.name not in others)
    beside = f", and so are other parts of Ubuntu ({', '.join(sorted(filter(None, others)))})" if others else ""
    sentence = f"{_short(found)} ({found.origin}) {_WORDS.get(reason, reason)}: it is left out{beside}"
    return Loosened(replace(required, requirements=rest), sentence)


def _short(item: ProjectRequirement) -> str:
    return item.text.partition(" --hash")[0]


def _with(item: ProjectRequirement, text: str) -> ProjectRequirement:
    return replace(parse_requirement(text, item.origin), origin=item.origin) if text != item.text else item


def _parsed(item: ProjectRequirement) -> Requirement | None:
    """Return the parsed requirement of an index package; None for any other."""
    if item.location is not None:
        return None
    try:
        return Requirement(_short(item))
    except InvalidRequirement:
        return None


def _written(parsed: Requirement, specifier: str, name: str = "") -> str:
    extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
    marker = f" ; {parsed.marker}" if parsed.marker else ""
    return f"{name or parsed.name}{extras}{specifier}{marker}"


def _least(parsed: Requirement) -> Version | None:
    """Return the highest lower bound among the versions in the specifier."""
    found: list[Version] = []
    for one in parsed.specifier:
        if one.operator in {"==", "===", ">=", "~=", ">"}:
            try:
                found.append(Version(one.version.removesuffix(".*")))
            except InvalidVersion:
                continue
    return max(found, default=None)


def _other_name(item: ProjectRequirement, reason: str) -> str | None:
    parsed = _parsed(item)
    if parsed is not None and item.name == "psycopg" and "c" in parsed.extras:
        # The same driver, built already: ``psycopg[c]`` wants a compiler and PostgreSQL's library.
        parsed.extras = (parsed.extras - {"c"}) | {"binary"}
        return _written(parsed, str(parsed.specifier))
    name = _INSTEAD.get(item.name or "", "")
    if parsed is None or not name or reason not in {"build", "denied", "not_found", "no_version"}:
        return None
    least = _least(parsed)
    return _written(parsed, f">={least}" if least and item.name == "psycopg2" else "", name)


def _same_minor(item: ProjectRequirement, reason: str, *, further: int = 0) -> str | None:
    """Return the bound of a version below 1.0, whose minor releases may break what the project uses."""
    parsed = _parsed(item)
    least = _least(parsed) if parsed else None
    if parsed is None or least is None or least.major > 0 or reason in {"not_found", "python"}:
        return None
    return _written(parsed, f">={least.public},<0.{least.minor + 1 + further}")


def _near_minor(item: ProjectRequirement, reason: str) -> str | None:
    return _same_minor(item, reason, further=_NEAR)


def _same_major(item: ProjectRequirement, reason: str) -> str | None:
    parsed = _parsed(item)
    least = _least(parsed) if parsed else None
    if parsed is None or least is None or reason == "not_found":
        return None
    if reason == "python":  # the version is too new for this Python, or far too old
        return _written(parsed, f"<={least.public}" if item.pinned else "")
    return _written(parsed, f">={least.public},<{least.major + 1}")


def _lower(item: ProjectRequirement, reason: str = "") -> str:
    parsed = _parsed(item)
    least = _least(parsed) if parsed else None
    if parsed is None or least is None or reason in {"not_found", "python"}:
        return item.text
    return _written(parsed, f">={least.public}")


def _any_version(item: ProjectRequirement, reason: str) -> str | None:
    parsed = _parsed(item)
    return None if parsed is None or reason == "not_found" else _written(parsed, "")


_LEVELS: Final = (_other_name, _same_minor, _near_minor, _same_major, _lower, _any_version)
