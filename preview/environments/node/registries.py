"""Registries that a Node project names: in npm's, pnpm's, Yarn's and Bun's settings, and in npm's lock files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from preview.environments.requirements.requirements import OwnIndex
from preview.environments.way_out.public_indexes import NODE_REGISTRIES

_SETTING: Final = "npm_config_registry, or .npmrc in the home folder of the service's user"
_VALUE: Final = r"(?P<url>[^\s}][^\r\n}]*)"
# .npmrc: registry=URL, @scope:registry=URL. .yarnrc: registry "URL". .yarnrc.yml: npmRegistryServer: URL.
# bunfig.toml: registry = "URL", registry = { url = "URL" }, scopes.
_FLAGS: Final = re.MULTILINE | re.IGNORECASE
_SET: Final = {
    ".npmrc": re.compile(rf"^[ \t]*[\"']?(?:@[^:\s\"']+:)?registry[\"']?[ \t]*=[ \t]*{_VALUE}", _FLAGS),
    ".yarnrc": re.compile(rf"^[ \t]*[\"']?(?:@[^:\s\"']+:)?registry[\"']?[ \t]+{_VALUE}", _FLAGS),
    ".yarnrc.yml": re.compile(rf"npmRegistryServer[\"']?[ \t]*:[ \t]*{_VALUE}", re.IGNORECASE),
    "bunfig.toml": re.compile(r"(?P<url>https?://[^\s\"'}]+)", re.IGNORECASE),
    "pnpm-workspace.yaml": re.compile(rf"\bregistry[\"']?[ \t]*:[ \t]*{_VALUE}", re.IGNORECASE),
}
_COMMENT: Final = re.compile(r"[ \t]+[#;].*$")
_TARBALL: Final = re.compile(
    r"(?P<registry>https?://[^?#]+?)/(?:@[^/]+(?:/|%2[fF]))?[^/]+/(?:-/|download/)[^/]+\.tgz.*"
)
_PUBLIC: Final = re.compile(rf"https?://(?:{'|'.join(map(re.escape, NODE_REGISTRIES))})(?:/.*)?", re.IGNORECASE)
_LOCKS: Final = ("npm-shrinkwrap.json", "package-lock.json")
_MOST: Final = 50
_MOST_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class Registries:
    """What a project names.

    Attributes:
        named: In its settings; and in a lock file, for packages of which it has no hash.
        keeps_lock: A lock file takes packages from elsewhere and has their hashes: without it the packages of the same
            names, in this service's registry, would be anybody's.
    """

    named: tuple[OwnIndex, ...] = ()
    keeps_lock: bool = False


def find_registries(bytes_of: Callable[[str], bytes | None]) -> Registries:
    """The registries, each once; the first fifty.

    Args:
        bytes_of: Reads a file of the project.

    Raises:
        EnvironmentFailed: A file cannot be read.
    """
    found: dict[str, OwnIndex] = {}
    for name, pattern in _SET.items():
        text = (bytes_of(name) or b"").decode("utf-8-sig", "replace")
        for match in pattern.finditer(text):
            url = _COMMENT.sub("", match["url"][:_MOST_CHARACTERS]).strip().strip("\"'")
            if url and not _PUBLIC.fullmatch(url):
                found.setdefault(url, OwnIndex(url, name, _SETTING))
    keeps_lock = False
    for name in _LOCKS:
        for url, has_hash in _locked(bytes_of(name)):
            keeps_lock = keeps_lock or has_hash
            if not has_hash:
                found.setdefault(url, OwnIndex(url, name, _SETTING))
    return Registries(tuple(found.values())[:_MOST], keeps_lock)


def _locked(data: bytes | None) -> Iterator[tuple[str, bool]]:
    """Other registries that a lock file takes packages from, and whether it has their hash."""
    try:
        content = json.loads((data or b"{}").decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return  # npm refuses it, and installs without
    todo = [content]
    while todo:
        level = todo.pop()
        for key in ("packages", "dependencies") if isinstance(level, dict) else ():
            entries = level.get(key)
            for facts in entries.values() if isinstance(entries, dict) else ():
                if isinstance(facts, dict):
                    todo.append({"dependencies": facts.get("dependencies")})
                    yield from _registry_of(facts)


def _registry_of(facts: Mapping[str, object]) -> Iterator[tuple[str, bool]]:
    resolved = facts.get("resolved")
    match = _TARBALL.fullmatch(resolved) if isinstance(resolved, str) else None
    if match is not None and not _PUBLIC.fullmatch(match["registry"]):
        yield match["registry"], bool(facts.get("integrity"))
