"""Requirement lines as a project writes them, checked before a tool that would follow them anywhere sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preview.environments.way_out import AllowedHosts, host_of
from preview.errors import EnvironmentFailed

# Addresses, none of which is a place on the service's own machine, as `git+file:` is.
_SCHEMES = frozenset({"http", "https", "git+http", "git+https", "git+ssh", "git+git"})
# Packages whose extras bring a server along.
_SERVER_EXTRAS = {"fastapi": frozenset({"standard", "all"}), "fastapi-cli": frozenset({"standard"})}


def invalid(sentence: str, **details: object) -> EnvironmentFailed:
    """Return the failure of a project whose files say what cannot be followed."""
    return EnvironmentFailed(sentence, reason="invalid", **details)


@dataclass(frozen=True, slots=True)
class ProjectRequirement:
    """One requirement.

    Attributes:
        text: The line for the installer: one line, no comment; a local path is absolute.
        name: Normalised name (PEP 503), or None for a bare path.
        extras: Normalised extras.
        pinned: Exactly one version (``==`` or ``===`` without a wildcard).
        origin: ``requirements.txt line 3``, for messages.
        identity: What goes into the cache key: the text, or for a local path what lies there.
        applies: Whether its marker holds for the interpreter that runs this.
    """

    text: str
    name: str | None
    extras: frozenset[str]
    pinned: bool
    origin: str
    identity: str
    applies: bool = True

    @property
    def location(self) -> str | None:
        """The path or address that it is to come from; None where it is to come from an index."""
        if self.name is None or self.text.startswith("/"):
            return self.text.partition("[")[0]
        _, at, address = self.text.partition(" @ ")
        return address.partition(" ")[0] if at else None


@dataclass(frozen=True, slots=True)
class OwnIndex:
    """An index that a project names.

    Attributes:
        url: As written; may be a path, or nothing (``--no-index``).
        setting: How an operator sets the service up with it.
    """

    url: str
    origin: str
    setting: str = "UV_INDEX"


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """A requirement that names where it comes from, and leads nowhere.

    Attributes:
        sentence: Why, for messages.
        text: The requirement, shortened.
    """

    sentence: str
    origin: str
    text: str


@dataclass(frozen=True, slots=True)
class RequirementSet:
    """All that a project requires.

    Attributes:
        constraints: Lines of constraint files.
        options: Installer options that belong to the set (``--no-binary NAME`` and the like).
        prerelease: The project asks for pre-releases (``--pre``).
        requires_python: ``>=3.12`` and the like, or None.
        source: The file they come from, relative to the project, or None when it names no requirements.
        notes: Sentences for the person who launches, for instance what was left out.
        unfollowed: Requirements that lead nowhere.
        withheld: Normalised names of the project's own packages that are left out: no index is asked for them.
        company: Requirements, each with a limit that goes with it.
        spare: What groups require that are not installed (``dev``, ``test``): how to write a package that is imported.
    """

    requirements: tuple[ProjectRequirement, ...] = ()
    constraints: tuple[ProjectRequirement, ...] = ()
    options: tuple[str, ...] = ()
    prerelease: bool = False
    requires_python: str | None = None
    source: str | None = None
    notes: tuple[str, ...] = ()
    spare: tuple[ProjectRequirement, ...] = ()
    indexes: tuple[OwnIndex, ...] = ()
    unfollowed: tuple[Unfollowed, ...] = ()
    withheld: frozenset[str] = frozenset()
    company: tuple[tuple[ProjectRequirement, ProjectRequirement], ...] = ()

    @property
    def all_pinned(self) -> bool:
        """True if each requirement allows one version only, so that a cached answer cannot be out of date."""
        locked = {item.name for item in self.constraints if item.pinned}
        return all(item.pinned or item.name in locked for item in self.requirements)

    @property
    def is_from_index(self) -> bool:
        """True if all of it is to come from the service's own indexes: no path, address or repository.

        What was asked for says so, before any code of a package has run.
        """
        return all(item.location is None for item in (*self.requirements, *self.constraints))

    def brings(self, server: str) -> bool:
        """Return whether the project brings this server, by name or by an extra such as ``fastapi[standard]``."""
        return any(_brings_server(requirement, server) for requirement in self.requirements if requirement.applies)

    def find(self, name: str) -> ProjectRequirement | None:
        """Return the requirement with this name in any spelling, or None."""
        wanted = canonicalize_name(name)
        return next((item for item in self.requirements if item.name == wanted), None)


def _brings_server(requirement: ProjectRequirement, server: str) -> bool:
    if requirement.name == server:
        return True
    return server == "uvicorn" and bool(requirement.extras & _SERVER_EXTRAS.get(requirement.name or "", frozenset()))


def parse_requirement(text: str, origin: str, *, options: Sequence[str] = ()) -> ProjectRequirement:
    """One requirement line (PEP 508) without a local path.

    Raises:
        EnvironmentFailed: The line is no requirement.
    """
    try:
        parsed = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0].rstrip(". ") if str(error) else "it cannot be parsed"
        raise invalid(
            f"{origin} is not a requirement: {text[:200]!r} ({reason}); write it as NAME==VERSION",
            requirement=text[:200],
            origin=origin,
        ) from error
    if "${" in text or (parsed.url is not None and parsed.url.partition(":")[0].lower() not in _SCHEMES):
        # The installer would fill in the service's own variables, or read its own disk.
        raise invalid(
            f"{origin} refers to {text[:200]!r}, which the service does not follow; name a package or an https address",
            requirement=text[:200],
            origin=origin,
        )
    specifiers = list(parsed.specifier)
    pinned = len(specifiers) == 1 and specifiers[0].operator in {"==", "==="} and "*" not in specifiers[0].version
    line = " ".join((str(parsed), *options))
    return ProjectRequirement(
        text=line,
        name=canonicalize_name(parsed.name),
        extras=frozenset(canonicalize_name(extra) for extra in parsed.extras),
        pinned=pinned,
        origin=origin,
        identity=line,
        applies=parsed.marker is None or parsed.marker.evaluate({"extra": ""}),
    )


def check_locations(required: RequirementSet, allowed: AllowedHosts) -> None:
    """See that each address that the project requires is at a host that builds may reach.

    Raises:
        EnvironmentFailed: One is not.
    """
    for item in (*required.requirements, *required.constraints):
        if item.location is not None and "://" in item.location and not item.location.startswith("file:"):
            _check(item, item.location, allowed)


def _check(item: ProjectRequirement, location: str, allowed: AllowedHosts) -> None:
    there = host_of(location.removeprefix("git+"))
    if there is None:
        why = "builds reach hosts over HTTP alone; write it as git+https://"
    elif allowed.allows(*there):
        return
    else:
        why = (
            f"{there[0]}:{there[1]} is not a host that builds may reach; "
            "the service's operator can add it to PREVIEW_BUILD_HOSTS"
        )
    raise EnvironmentFailed(f"{item.origin}: {why}", reason="host", requirement=item.text, origin=item.origin)
