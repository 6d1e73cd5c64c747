"""Reading of the facts that determine an environment from a project's files, none of which is run.

Separate from ``recipe``: the processes that read untrusted files load nothing that builds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from preview.environments.folders.environment import EnvironmentRequest, SuppliedServer
from preview.environments.imports.names import ALTERNATIVES, BROUGHT_ALONG, NEEDS, named_after
from preview.environments.imports.removed_apis import find_old_uses
from preview.environments.imports.scan import Wanted, find_imports
from preview.environments.manifests.search import read_project
from preview.environments.manifests.stated import Asked, find_stated
from preview.environments.manifests.worked_on import find_worked_on
from preview.environments.requirements.arguments import ANY_VERSION, EXTRA
from preview.environments.requirements.companions import with_companions
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement
from preview.sources import Sources

# Version ranges, so that the servers fit the project's other pins.
SERVERS: Final[Mapping[SuppliedServer, str]] = {"uvicorn": "uvicorn>=0.30", "waitress": "waitress>=3"}
"""Requirement lines of the servers that can be added."""


def read_request(request: EnvironmentRequest, sources: Sources) -> Asked:
    """Read the project's manifests and imports without running its code. Call it in a thread.

    Raises:
        EnvironmentFailed: A manifest cannot be read.
    """
    required = _with_extra(read_project(request.project, request.folder, request.entry), request.extra)
    wanted = request.server
    server = None if wanted is None or required.brings(wanted) else SERVERS[wanted]
    if request.entry is None:
        return Asked(with_companions(required), server, (), is_dated=request.is_dated)
    found = find_imports(sources, request.entry)
    required = _with_new_syntax(_with_old_pydantic(required, found.names), sources)
    return Asked(
        with_companions(required),
        server,
        _undeclared(found.wanted, required),
        found.standard,
        find_stated(sources, request.entry),
        tuple(find_old_uses(sources)),
        found.names,
        find_worked_on(sources),
        request.is_dated,
    )


def _with_extra(required: RequirementSet, extra: Sequence[str]) -> RequirementSet:
    added = [parse_requirement(line, f"{EXTRA} {number}") for number, line in enumerate(extra, start=1)]
    added = [item for item in added if item.name not in required.withheld]
    new = [item for item in added if item.name is None or required.find(item.name) is None]
    # A limit of a package that the project names: the package stays the project's own.
    limits = [item for item in added if item not in new and (item.text.endswith(ANY_VERSION) or "<" in item.text)]
    instead = {item.name: item for item in limits if _contradicts(required, item)}
    return replace(
        required,
        requirements=(*(instead.get(item.name, item) for item in required.requirements), *new),
        constraints=(*required.constraints, *(item for item in limits if not _is_pinned(required, item))),
    )


def _is_pinned(required: RequirementSet, limit: ProjectRequirement) -> bool:
    chosen = required.find(limit.name or "")
    pinned = any(item.pinned and item.name == limit.name for item in required.constraints)
    return pinned or chosen is None or chosen.pinned or chosen.location is not None


def _contradicts(required: RequirementSet, limit: ProjectRequirement) -> bool:
    """Return whether a requirement pins a version beyond the limit; a hash is for that version alone."""
    chosen = required.find(limit.name or "")
    if chosen is None or not chosen.pinned or chosen.location is not None or "--" in chosen.text:
        return False
    if limit.text.endswith(ANY_VERSION):
        return True
    pins = Requirement(chosen.text).specifier
    allowed = Requirement(limit.text).specifier
    return not any(allowed.contains(pin.version, prereleases=True) for pin in pins if pin.operator in {"==", "==="})


def _with_old_pydantic(required: RequirementSet, names: Collection[tuple[str, str]]) -> RequirementSet:
    """Return the requirements with pydantic 1 if the files import its settings class and nothing limits pydantic."""
    stated = required.find("pydantic")
    is_free = stated is None or (stated.location is None and not Requirement(stated.text.partition(" --")[0]).specifier)
    moved = any(module.startswith("pydantic_settings") or module == "pydantic.v1" for module, _ in names)
    pinned = any(item.name == "pydantic" for item in required.constraints)
    if ("pydantic", "BaseSettings") not in names or moved or pinned or not is_free:
        return required
    limit = parse_requirement("pydantic<2", "its BaseSettings is imported")
    return replace(required, constraints=(*required.constraints, limit))


# Type parameters and type statements (https://peps.python.org/pep-0695/).
_SYNTAX_3_12: Final = re.compile(
    rb"^(?:type [A-Za-z_]\w{0,80} = |class \w{1,80}\[\w|[ \t]{0,16}(?:async )?def \w{1,80}\[\w)", re.MULTILINE
)
_NEW_MINORS: Final = range(12, 16)
# An f-string to its own next quote
_TO_QUOTE: Final = re.compile(rb"""\b[fF][rR]?(?:"([^"\n]{1,300})"|'([^'\n]{1,300})')""")


def _with_new_syntax(required: RequirementSet, sources: Sources) -> RequirementSet:
    """Return the requirements with Python 3.12 if the files have its syntax, and the manifest's Python allows it."""
    stated = required.requires_python
    if stated is not None and not _allows_new(stated):
        return required
    if not any(_SYNTAX_3_12.search(sources.text(name)) or _has_new_strings(sources, name) for name in sources.names):
        return required
    return replace(required, requires_python=f"{stated},>=3.12" if stated else ">=3.12")


def _allows_new(stated: str) -> bool:
    try:
        allowed = SpecifierSet(stated)
    except InvalidSpecifier:
        return False
    return any(allowed.contains(f"3.{minor}.9") for minor in _NEW_MINORS)


def _has_new_strings(sources: Sources, name: str) -> bool:
    """Return whether only Python 3.12 reads a file's f-strings: with their own quotes in the braces (PEP 701)."""
    texts = (match[1] or match[2] for match in _TO_QUOTE.finditer(sources.text(name)))
    if not any(text.rfind(b"{") > text.rfind(b"}") for text in texts):
        return False
    # It reads the rest of such a file, and notes the line.
    sources.tree(name)
    return sources.skipped.get(name, "").startswith("line ")


def _undeclared(found: Sequence[Wanted], required: RequirementSet) -> tuple[Wanted, ...]:
    """Return imported packages that are not required, in the spelling of an optional group that lists them."""
    named = {item.name or "" for item in required.requirements if item.applies}
    brought = {module for name in named for module in BROUGHT_ALONG.get(name, ())}
    # The first file with a package is the nearest one.
    spare = {item.name: item for item in reversed(required.spare) if item.applies}
    left = []
    for one in (*found, *_needed(found, named)):
        name = canonicalize_name(Requirement(one.distribution).name)
        if name in required.withheld:
            continue
        if not named.intersection((name, *ALTERNATIVES.get(name, ()))) and one.module not in brought:
            known = spare.get(name) or spare.get(named_after(one.module, filter(None, spare)) or "")
            left.append(one if known is None else replace(one, distribution=known.text, origin=known.origin))
    return tuple(left)


def _needed(found: Sequence[Wanted], named: Collection[str]) -> Iterator[Wanted]:
    """Yield the packages that imported ones need, if the project names none of those that would do."""
    have = {*named, *(canonicalize_name(Requirement(one.distribution).name) for one in found)}
    for one in found:
        choices = NEEDS.get(one.module, [])
        if choices and have.isdisjoint(choices):
            yield Wanted(choices[0], choices[0], one.file, f'imports "{one.module}", which needs it')
