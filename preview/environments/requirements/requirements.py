"""Requirements of a project, checked before an installer follows their sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preview.environments.way_out.allowed import AllowedHosts, host_of
from preview.errors import EnvironmentFailed

# Schemes of remote URLs only: `git+file:`, for example, would read the service's own disk.
_SCHEMES = frozenset({"http", "https", "git+http", "git+https", "git+ssh", "git+git"})
# Packages with extras that require a server.
_SERVER_EXTRAS = {"fastapi": frozenset({"standard", "all"}), "fastapi-cli": frozenset({"standard"})}


def invalid(sentence: str, **details: object) -> EnvironmentFailed:
    """Return the error for a project with invalid files."""
    return EnvironmentFailed(sentence, reason="invalid", **details)


@dataclass(frozen=True, slots=True)
class ProjectRequirement:
    """One requirement.

    Attributes:
        text: The line for the installer, without line breaks and comments; a local path is absolute.
        name: Normalised name (PEP 503); None for a bare path.
        extras: Normalised extras.
        pinned: Whether only one version is allowed (``==`` or ``===`` without a wildcard).
        origin: Position for messages, for example ``requirements.txt line 3``.
        identity: Part of the cache key: the text, or for a local path a hash of its content.
        applies: Whether the requirement's marker is true for the interpreter of this process.
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
        """Path or URL of the requirement's own source; None if it comes from an index."""
        if self.name is None or self.text.startswith("/"):
            return self.text.partition("[")[0]
        _, at, address = self.text.partition(" @ ")
        return address.partition(" ")[0] if at else None


@dataclass(frozen=True, slots=True)
class OwnIndex:
    """An index that a project names.

    Attributes:
        url: URL as written; may also be a path, or empty (``--no-index``).
        setting: Setting with which an operator can add the index to the service.
    """

    url: str
    origin: str
    setting: str = "UV_INDEX"


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """A requirement with a source that the service cannot follow.

    Attributes:
        sentence: The reason, for messages.
        text: The requirement, shortened.
    """

    sentence: str
    origin: str
    text: str

    @property
    def name(self) -> str:
        """Normalised name of the package; if it has none, the last part of its path."""
        named = self.text.partition("@")[0] if "@" in self.text else self.text.rstrip("/ ").rpartition("/")[2]
        return canonicalize_name(named.partition("[")[0].strip())


@dataclass(frozen=True, slots=True)
class RequirementSet:
    """All requirements of a project.

    Attributes:
        constraints: Lines of constraint files.
        options: Installer options for these requirements (``--no-binary NAME`` and the like).
        prerelease: Whether the project allows pre-releases (``--pre``).
        requires_python: A range such as ``>=3.12``, or None.
        source: File of the requirements, relative to the project; None if the project names no requirements.
        notes: Sentences for the user who launches the project, for instance about lines that were left out.
        unfollowed: Requirements with a source that the service cannot follow.
        withheld: Normalised names of the project's own packages that are left out and never taken from an index.
        company: Pairs of a requirement and the limit that it sets on a companion package.
        spare: Requirements of groups that are not installed (``dev``, ``test``): their spelling is used if imported.
        replaced: Names of packages that others bring along, and in whose place a requirement stands.
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
    replaced: frozenset[str] = frozenset()

    @property
    def all_pinned(self) -> bool:
        """True if each requirement allows one version only, so that a cached result cannot be out of date."""
        locked = {item.name for item in self.constraints if item.pinned}
        return all(item.pinned or item.name in locked for item in self.requirements)

    @property
    def is_from_index(self) -> bool:
        """True if everything comes from the service's own indexes: no path, URL or repository.

        This is known from the requirements alone, before any code of a package runs.
        """
        return all(item.location is None for item in (*self.requirements, *self.constraints))

    def brings(self, server: str) -> bool:
        """Return whether the project requires this server, by name or by an extra such as ``fastapi[standard]``."""
        return any(_brings_server(requirement, server) for requirement in self.requirements if requirement.applies)

    def find(self, name: str) -> ProjectRequirement | None:
        """Return the requirement with this name in any spelling, first one that applies; None if there is none."""
        found = self.find_all(name)
        return next((item for item in found if item.applies), found[0] if found else None)

    def find_all(self, name: str) -> tuple[ProjectRequirement, ...]:
        """Return all requirements with this name: a requirements file and a manifest may both have one."""
        wanted = canonicalize_name(name)
        return tuple(item for item in self.requirements if item.name == wanted)


def _brings_server(requirement: ProjectRequirement, server: str) -> bool:
    if requirement.name == server:
        return True
    return server == "uvicorn" and bool(requirement.extras & _SERVER_EXTRAS.get(requirement.name or "", frozenset()))


def parse_requirement(text: str, origin: str, *, options: Sequence[str] = ()) -> ProjectRequirement:
    """Parse one requirement line (PEP 508) without a local path.

    Raises:
        EnvironmentFailed: The line is not a requirement, or has a source that the service does not follow.
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
        # The installer would insert the service's own variables, or read the service's disk.
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
    """Check that each URL in the requirements has a host that builds may reach.

    Raises:
        EnvironmentFailed: A host is not allowed.
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
