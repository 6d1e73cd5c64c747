"""``pnpm-lock.yaml``, of every version since 5.

It names what each package got, not the ranges that packages ask for: what the project asks for itself is pinned in its
``package.json``, and of all else what occurs in one version alone.
Source: https://github.com/pnpm/spec/tree/master/lockfile
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Final

from preview.environments.node.locks.pins import Pins, is_name, is_version, single_versions
from preview.environments.node.locks.yaml_text import read_yaml

_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies")
# `/express/4.17.1_peer` (5), `/express@4.17.1(peer)` (6), `express@4.17.1` (9).
_PACKAGE: Final = re.compile(r"/?((?:@[^/@]+/)?[^/@]+)[/@](\d[^_(]*)")


def read_pnpm_lock(data: bytes) -> Pins:
    """What it pins.

    Raises:
        UnreadableLock: It says nothing that can be used.
    """
    content = read_yaml(data)
    lock = content if isinstance(content, Mapping) else {}
    importers = lock.get("importers")
    # Without a workspace, older versions say at the top what the project itself asks for.
    folders = importers if isinstance(importers, Mapping) else {".": lock}
    direct = {posixpath.normpath(folder): dict(_direct(facts)) for folder, facts in folders.items()}
    own = {name for versions in direct.values() for name in versions}
    every = single_versions(_packages(lock))
    return Pins(direct=direct, overrides={name: version for name, version in every.items() if name not in own})


def _direct(facts: object) -> Iterator[tuple[str, str]]:
    for kind in _KINDS:
        wanted = facts.get(kind) if isinstance(facts, Mapping) else None
        for name, item in wanted.items() if isinstance(wanted, Mapping) else ():
            resolved = item.get("version") if isinstance(item, Mapping) else item
            version = _version(name, resolved) if isinstance(resolved, str) else None
            if version is not None and is_name(name):
                yield name, version


def _version(name: str, resolved: str) -> str | None:
    """Of ``1.2.3(peer@1)`` and ``1.2.3_peer@1`` the version; of another package's, that package with it."""
    plain = re.split(r"[_(]", resolved, maxsplit=1)[0]
    if is_version(plain):
        return plain
    match = _PACKAGE.fullmatch(resolved.partition("(")[0])
    if match is None or not is_name(match[1]) or not is_version(match[2]):
        return None
    return match[2] if match[1] == name else f"npm:{match[1]}@{match[2]}"


def _packages(lock: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    packages = lock.get("packages")
    for key in packages if isinstance(packages, Mapping) else ():
        if match := _PACKAGE.match(key):
            yield match[1], match[2]
