r"""Registries that a Node project names, in settings files and lock files, and checks that paths stay in the project.

npm reads many forms as a path: `./x`, `~/x`, `c:x`, `FILE:x`, `a/../../b`, `x.tgz`, with `%2e` and `\` in them. So this
module lists the forms that are not paths, and treats all others as paths.
Source: https://github.com/npm/npm-package-arg (npa.js)
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from preview.environments.node.locks import is_whole_hash
from preview.environments.requirements.requirements import OwnIndex, invalid
from preview.environments.way_out.allowed import NODE_REGISTRIES

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
    """Registries that a project names.

    Attributes:
        named: Registries in settings files, and those in a lock file for packages without a hash.
        keeps_lock: Whether a lock file takes packages with hashes from another registry. Without the lock file,
            strangers' packages of the same names could be installed from this service's registry.
    """

    named: tuple[OwnIndex, ...] = ()
    keeps_lock: bool = False


def find_registries(bytes_of: Callable[[str], bytes | None]) -> Registries:
    """Return the registries, each once; at most fifty.

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
    """Yield other registries that a lock file takes packages from, and whether the package has a hash."""
    try:
        content = _parse_lock(data or b"")
    except ValueError:
        return  # ``is_safe_lock`` refuses it, so npm does not get it
    todo: list[Any] = [content]
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
        yield match["registry"], is_whole_hash(facts.get("integrity"))


_SCHEME: Final = re.compile(
    r"(?:git\+)?(?:https?|ssh|git)://|(?:npm|catalog|workspace|github|gitlab|bitbucket|gist):"
    r"|git@(?:github\.com|gitlab\.com|bitbucket\.org):[\w-][\w.-]*/[\w-][\w.-]*(?:#\S*)?$",
    re.IGNORECASE,
)
_SHORTHAND: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_-][\w.-]*(?:#\S*)?")
_PACKED: Final = re.compile(r"\.(?:tgz|tar\.gz|tar)$", re.IGNORECASE)
_PREFIX: Final = re.compile(r"^(?:file|link|portal):(?://(?=/))?", re.IGNORECASE)
# Without characters that are special in a URL, for a shell's home folder or on another system.
_PLAIN_PATH: Final = re.compile(r"(?!~)[^\x00-\x1f\x7f%\\?#:]+")
_MAX_DEPTH: Final = 12
# Well below Python's own limit, which depends on the caller.
_MAX_LOCK_DEPTH: Final = 150
# Lock files of large projects have 5 MiB and 60,000 objects. Python takes up to 64 times the bytes for empty lists.
_MOST_CHECKED_BYTES: Final = 8 * 1024 * 1024
_MOST_CHECKED_PARTS: Final = 400_000
_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


class Outside(ValueError):
    """A path that leads, or may lead, out of the project."""


def is_path(value: str) -> bool:
    """Return whether npm may read a dependency's value as a path, not as a range, a tag or a URL."""
    value = value.strip()
    if _SCHEME.match(value) or _SHORTHAND.fullmatch(value):
        return False
    return value.startswith(".") or any(mark in value for mark in "/\\:") or _PACKED.search(value) is not None


def inside_project(folder: str, value: str) -> str:
    """Return the path relative to the project's root.

    Args:
        folder: Base folder of the path, relative to the root.
        value: The path, with or without ``file:``.

    Raises:
        Outside: The path leads out of the root, or has two possible meanings.
    """
    path = _PREFIX.sub("", value.strip(), count=1)
    inside = posixpath.normpath(posixpath.join(folder, path))
    if not _PLAIN_PATH.fullmatch(path) or inside.startswith("/") or inside.split("/")[0] == "..":
        raise Outside(value)
    return inside


def safe_overrides(value: object, depth: int = 0) -> dict[str, object]:
    """Return the ``overrides`` of a package without those that replace a package by a path."""
    kept: dict[str, object] = {}
    for name, item in value.items() if isinstance(value, Mapping) and depth < _MAX_DEPTH else ():
        if isinstance(item, str) and not is_path(item):
            kept[str(name)] = item
        elif isinstance(item, Mapping):
            kept[str(name)] = safe_overrides(item, depth + 1)
    return kept


def is_safe_lock(data: bytes) -> bool:
    """Return whether a lock file names no path outside the project; False for a file that cannot be parsed.

    npm unpacks into any folder that the lock file names. It also reads files that Python does not: with bytes that are
    not UTF-8, long numbers, or marks of a merge.
    """
    try:
        content = _parse_lock(data)
    except ValueError:
        return False
    if not isinstance(content, dict):
        return True
    try:
        for folder, path in _lock_paths(content):
            inside_project(folder, path)
    except Outside:
        return False
    return True


def is_large_lock(data: bytes) -> bool:
    """Return whether a lock file is too large to be checked in the service."""
    return len(data) > _MOST_CHECKED_BYTES or data.count(b"{") + data.count(b"[") > _MOST_CHECKED_PARTS


def check_lock(data: bytes) -> None:
    """Check a lock file again just before npm gets it: what read it may be a worker with faults.

    Raises:
        EnvironmentFailed: The lock file is not safe, or too large to be checked in the service.
    """
    many = is_large_lock(data)
    if many or not is_safe_lock(data):
        why = "is too large" if many else "refers to paths outside the project"
        raise invalid(f"The lock file {why}; make it again (npm install), or leave it out", origin=_LOCKS[1])


def _parse_lock(data: bytes) -> object:
    """Return the content of a lock file; an empty one has none.

    Raises:
        ValueError: It cannot be parsed, or is nested too deep: all callers refuse the same files.
    """
    try:
        content: object = json.loads(data.decode("utf-8-sig")) if data.strip() else {}
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    level = [content]
    for _ in range(_MAX_LOCK_DEPTH):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [item for items in inner for item in items]
        if not level:
            return content
    raise ValueError("nested too deep")


def _lock_paths(content: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each path in a lock file, with its base folder."""
    packages = content.get("packages")
    for place, facts in packages.items() if isinstance(packages, dict) else ():
        if place:
            # Refuse `..` even within the project: npm takes the last part of the path for the package's name.
            yield ".", place if ".." not in place.split("/") else "../"
        if isinstance(facts, dict):
            yield from _resolved(facts, linked=facts.get("link") is True)
            for kind in _KINDS:
                yield from ((place or ".", item) for item in _values(facts.get(kind)) if is_path(item))
    todo = [content.get("dependencies")]
    while todo:  # lockfileVersion 1
        level = todo.pop()
        for name, facts in level.items() if isinstance(level, dict) else ():
            yield ".", name if ".." not in name.split("/") else "../"
            if isinstance(facts, dict):
                yield from _resolved(facts, linked=False)
                yield from ((".", item) for item in _values({"version": facts.get("version")}) if is_path(item))
                todo.append(facts.get("dependencies"))


def _resolved(facts: Mapping[str, object], *, linked: bool) -> Iterator[tuple[str, str]]:
    resolved = facts.get("resolved")
    if isinstance(resolved, str) and (linked or is_path(resolved)):
        yield ".", resolved


def _values(value: object) -> list[str]:
    return [item for item in value.values() if isinstance(item, str)] if isinstance(value, Mapping) else []
