"""Readers of other package managers' lock files.

``bun.lock`` is JSON with trailing commas; its keys are the places of packages in ``node_modules``.
Source: https://bun.com/docs/pm/lockfile

``pnpm-lock.yaml``, version 5 and later, has the version of each package but not the requested ranges. The project's own
requirements are pinned in its ``package.json``; other packages are pinned if they occur in one version only.
Source: https://github.com/pnpm/spec/tree/master/lockfile

``yarn.lock``, of Yarn 1 and of Yarn 2 and later, has the requested ranges. npm can read that of Yarn 1, so npm gets the
versions in this form.
Source: https://classic.yarnpkg.com/lang/en/docs/yarn-lock/ and npm's arborist, ``lib/yarn-lock.js``
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Final

from preview.environments.node.locks.placing import (
    Locked,
    LockFile,
    Pins,
    UnreadableLock,
    is_name,
    is_version,
    read_yaml,
    single_versions,
)
from preview.sources.javascript import read_literal

_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies")


def read_bun_lock(data: bytes) -> Pins:
    """Return the pins of the lock file.

    Raises:
        UnreadableLock: The file has no usable content.
    """
    content = read_literal(data)
    if not isinstance(content, Mapping):
        raise UnreadableLock("it is not a JSON object")
    packages = dict(_bun_packages(content))
    workspaces = content.get("workspaces")
    direct: dict[str, dict[str, str]] = {}
    for folder, facts in workspaces.items() if isinstance(workspaces, Mapping) else ():
        # The root's packages have plain names as keys; a member's own versions have keys below the member's name.
        own = str(facts.get("name", "")) if folder and isinstance(facts, Mapping) else ""
        direct[posixpath.normpath(folder or ".")] = {
            name: version
            for name in _wanted(facts)
            if (version := _bun_version(name, packages.get(f"{own}/{name}") or packages.get(name))) is not None
        }
    names = {name for versions in direct.values() for name in versions}
    every = single_versions(packages.values())
    return Pins(direct=direct, overrides={name: version for name, version in every.items() if name not in names})


def _bun_packages(content: Mapping[object, object]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield key, name and version of each package from the registry."""
    packages = content.get("packages")
    for place, facts in packages.items() if isinstance(packages, Mapping) else ():
        said = facts[0] if isinstance(facts, list) and facts else None
        if isinstance(said, str):
            name, _, version = said.rpartition("@")
            yield str(place), (name, version)


def _wanted(facts: object) -> Iterator[str]:
    for kind in _KINDS:
        wanted = facts.get(kind) if isinstance(facts, Mapping) else None
        yield from (name for name in (wanted if isinstance(wanted, Mapping) else ()) if is_name(str(name)))


def _bun_version(name: str, found: tuple[str, str] | None) -> str | None:
    if found is None or not is_version(found[1]) or not is_name(found[0]):
        return None
    return found[1] if found[0] == name else f"npm:{found[0]}@{found[1]}"


# `/express/4.17.1_peer` (5), `/express@4.17.1(peer)` (6), `express@4.17.1` (9).
_PACKAGE: Final = re.compile(r"/?((?:@[^/@]+/)?[^/@]+)[/@](\d[^_(]*)")


def read_pnpm_lock(data: bytes) -> Pins:
    """Return the pins of the lock file.

    Raises:
        UnreadableLock: The file has no usable content.
    """
    content = read_yaml(data)
    lock = content if isinstance(content, Mapping) else {}
    importers = lock.get("importers")
    # Without a workspace, older versions list the project's own requirements at the top level.
    folders = importers if isinstance(importers, Mapping) else {".": lock}
    direct = {posixpath.normpath(folder): dict(_direct(facts)) for folder, facts in folders.items()}
    own = {name for versions in direct.values() for name in versions}
    every = single_versions(_pnpm_packages(lock))
    return Pins(direct=direct, overrides={name: version for name, version in every.items() if name not in own})


def _direct(facts: object) -> Iterator[tuple[str, str]]:
    for kind in _KINDS:
        wanted = facts.get(kind) if isinstance(facts, Mapping) else None
        for name, item in wanted.items() if isinstance(wanted, Mapping) else ():
            resolved = item.get("version") if isinstance(item, Mapping) else item
            version = _pnpm_version(name, resolved) if isinstance(resolved, str) else None
            if version is not None and is_name(name):
                yield name, version


def _pnpm_version(name: str, resolved: str) -> str | None:
    """Return the version in ``1.2.3(peer@1)`` or ``1.2.3_peer@1``; for another package, its name and version."""
    plain = re.split(r"[_(]", resolved, maxsplit=1)[0]
    if is_version(plain):
        return plain
    match = _PACKAGE.fullmatch(resolved.partition("(")[0])
    if match is None or not is_name(match[1]) or not is_version(match[2]):
        return None
    return match[2] if match[1] == name else f"npm:{match[1]}@{match[2]}"


def _pnpm_packages(lock: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    packages = lock.get("packages")
    for key in packages if isinstance(packages, Mapping) else ():
        if match := _PACKAGE.match(key):
            yield match[1], match[2]


_LATER: Final = re.compile(rb"^__metadata:", re.MULTILINE)
_QUOTED_OR_PLAIN: Final = re.compile(r"\"([^\"]*)\"|([^\s,\"][^,\"]*)")
_VERSION: Final = re.compile(r"  version \"?([^\"\s]+)\"?")
_RESOLVED: Final = re.compile(r"  resolved \"?([^\"\s]+)\"?")
_INTEGRITY: Final = re.compile(r"  integrity \"?(sha(?:256|384|512)-[A-Za-z0-9+/]{40,100}={0,2})\"?")
# Package name in a URL: `…/@babel/core/-/core-7.1.0.tgz`.
_PACKED: Final = re.compile(r"/((?:@[^/]{1,214}(?:/|%2f))?[^/]{1,214})/-/", re.IGNORECASE)
_PATCHED: Final = re.compile(r"(?P<name>(?:@[^/@]+/)?[^/@]+)@npm:(?P<version>[^#@]+)")


def read_yarn_lock(data: bytes) -> Pins:
    """Return the pins of the lock file.

    Raises:
        UnreadableLock: The file has no usable content.
    """
    entries = _later(read_yaml(data)) if _LATER.search(data) else _classic(data)
    # npm splits the key at commas and quotes.
    return Pins({key: locked for key, locked in entries if not re.search(r"[\",\\\x00-\x1f\x7f]", key)})


def _classic(data: bytes) -> Iterator[tuple[str, Locked]]:
    try:
        text = data.decode("utf-8-sig")
    except ValueError as error:
        raise UnreadableLock("it is not UTF-8 text") from error
    keys: list[str] = []
    facts: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            yield from _of_entry(keys, facts)
            if not line.endswith(":"):
                raise UnreadableLock(f"line {number} is neither an entry nor a part of one")
            keys = [quoted or plain.strip() for quoted, plain in _QUOTED_OR_PLAIN.findall(line[:-1])]
            facts = {}
        for name, pattern in (("version", _VERSION), ("resolved", _RESOLVED), ("integrity", _INTEGRITY)):
            if match := pattern.fullmatch(line.rstrip()):
                facts[name] = match[1]
    yield from _of_entry(keys, facts)


def _of_entry(keys: list[str], facts: Mapping[str, str]) -> Iterator[tuple[str, Locked]]:
    version = facts.get("version", "")
    packed = _PACKED.search(facts.get("resolved", ""))
    for key in keys:
        name, wanted = _split(key)
        if not is_name(name) or not is_version(version) or not _is_range(wanted):
            continue
        real = packed[1].replace("%2f", "/").replace("%2F", "/") if packed else name
        yield key, Locked(_under_name(name, real, version), facts.get("integrity"))


def _later(content: object) -> Iterator[tuple[str, Locked]]:
    for keys, facts in content.items() if isinstance(content, Mapping) else ():
        resolution = facts.get("resolution") if isinstance(facts, Mapping) else None
        match = _PATCHED.match(resolution) if isinstance(resolution, str) else None
        if match is None or not is_version(match["version"]) or not is_name(match["name"]):
            continue
        for key in str(keys).split(", "):
            name, wanted = _split(key)
            # package.json has `npm:^4.0.0` without the protocol but `npm:other@^4.0.0` with it.
            plain = wanted.removeprefix("npm:")
            wanted = wanted if is_name(_split(plain)[0]) and "@" in plain[1:] else plain
            if is_name(name) and _is_range(wanted):
                yield f"{name}@{wanted}", Locked(_under_name(name, match["name"], match["version"]))


def _split(key: str) -> tuple[str, str]:
    name, _, wanted = key[1:].partition("@")
    return key[:1] + name, wanted


def _is_range(wanted: str) -> bool:
    """Return False for URLs, paths and patches, which are installed from their own source."""
    return wanted.startswith("npm:") or not re.search(r"[:/\\]", wanted)


def _under_name(name: str, real: str, version: str) -> str:
    return version if real == name or not is_name(real) else f"npm:{real}@{version}"


# Five times the largest lock files of public projects.
_MAX_BYTES = 8 * 1024 * 1024


def read_pins(lock: LockFile) -> Pins:
    """Return the pins of the lock file; URLs, paths and patches in it are ignored.

    Raises:
        UnreadableLock: The file has no usable content.
    """
    if len(lock.data) > _MAX_BYTES:
        raise UnreadableLock(f"it is larger than {_MAX_BYTES // 2**20} MiB")
    match lock.name:
        case "yarn.lock":
            pins = read_yarn_lock(lock.data)
        case "pnpm-lock.yaml":
            pins = read_pnpm_lock(lock.data)
        case "bun.lock":
            pins = read_bun_lock(lock.data)
        case _:
            raise UnreadableLock("its format is binary")
    if pins.is_empty:
        raise UnreadableLock("it names no version")
    return pins
