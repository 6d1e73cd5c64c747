"""Transfer of a Node project's manifest from a worker to the service: files are named by their hash, not sent."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from preview.core.descriptors import file_of
from preview.environments.node.locks import LOCK_NAMES, LockFile, Pins
from preview.environments.node.locks.placing import is_name, is_version
from preview.environments.node.manifest import KEPT_KEYS, LOCKS, MAX_BYTES, NodeManifest
from preview.environments.node.registries import Outside, Registries, inside_project, is_path, safe_overrides
from preview.worker.checks import Forged, is_inside

_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """A ``NodeManifest`` in which file names and SHA-256 hashes (hexadecimal) replace the contents."""

    packages: Mapping[str, dict[str, object]]
    files: Mapping[str, str] = field(default_factory=dict)
    lock: tuple[str, str] | None = None
    exact: bool = False
    legacy_peers: bool = False
    notes: tuple[str, ...] = ()
    foreign_lock: tuple[str, str] | None = None
    registries: Registries = field(default_factory=Registries)


def answer_of(manifest: NodeManifest) -> NodeAnswer:
    """Return the manifest without file contents."""
    lock, foreign = manifest.lock, manifest.foreign_lock
    return NodeAnswer(
        packages={name: dict(package) for name, package in manifest.packages.items()},
        files={name: _hash(data) for name, data in manifest.files.items()},
        lock=None if lock is None else (manifest.lock_name, _hash(lock)),
        exact=manifest.exact,
        legacy_peers=manifest.legacy_peers,
        notes=manifest.notes,
        foreign_lock=None if foreign is None else (foreign.name, _hash(foreign.data)),
        registries=manifest.registries,
    )


def manifest_of(answer: NodeAnswer, directory: Path) -> NodeManifest:
    """Return the manifest, checked, with file contents from the project. Blocks on the disk.

    Raises:
        Forged: No project can have this manifest, or a file differs from the one that the worker read.
    """
    for folder, package in answer.packages.items():
        _check_package(folder, package)
    if "." not in answer.packages:
        raise Forged("it has no package of its own")
    lock, foreign = answer.lock, answer.foreign_lock
    if lock is not None and lock[0] not in LOCKS:
        raise Forged("the lock file is invalid")
    if foreign is not None and foreign[0] not in LOCK_NAMES:
        raise Forged("the lock file of another package manager is invalid")
    return NodeManifest(
        packages=answer.packages,
        files={name: _read(directory, name, digest) for name, digest in answer.files.items()},
        lock=None if lock is None else _read(directory, *lock),
        exact=answer.exact,
        legacy_peers=answer.legacy_peers,
        notes=answer.notes,
        foreign_lock=None if foreign is None else LockFile(foreign[0], _read(directory, *foreign)),
        lock_name="" if lock is None else lock[0],
        registries=answer.registries,
    )


def check_pins(pins: Pins) -> Pins:
    """Return the pins, checked.

    Raises:
        Forged: A pin is not a version of a package.
    """
    texts = (*pins.ranges, *(one.integrity or "" for one in pins.ranges.values()))
    if any('"' in text or "\\" in text or not text.isprintable() for text in texts):
        raise Forged("a pin spans several lines")
    named = [pair for versions in (*pins.direct.values(), pins.overrides) for pair in versions.items()]
    versions = [*(version for _, version in named), *(one.version for one in pins.ranges.values())]
    if not all(is_name(name) for name, _ in named) or not all(map(_is_pinned, versions)):
        raise Forged("a pin is not a version of a package")
    return pins


def _is_pinned(version: str) -> bool:
    alias, _, plain = version.rpartition("@")
    return is_version(plain) and (not alias or is_name(alias.removeprefix("npm:")))


def _check_package(folder: str, package: Mapping[str, object]) -> None:
    if not is_inside(folder) or not package.keys() <= {*KEPT_KEYS, *_KINDS}:
        raise Forged(f"a package is not one of the project's: {folder[:200]!r}")
    members = package.get("workspaces", [])
    if not isinstance(members, list) or not all(isinstance(one, str) and is_inside(one) for one in members):
        raise Forged("a member lies outside the project")
    overrides = package.get("overrides", {})
    if overrides != safe_overrides(overrides):
        raise Forged("an override leads out of the project")
    for kind in _KINDS:
        wanted = package.get(kind, {})
        for value in wanted.values() if isinstance(wanted, dict) else (0,):
            if not isinstance(value, str) or (is_path(value) and not _is_inside(folder, value)):
                raise Forged(f"a dependency lies outside the project: {str(value)[:200]!r}")


def _is_inside(folder: str, value: str) -> bool:
    try:
        inside_project(folder, value)
    except Outside:
        return False
    return value.startswith("file:")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(directory: Path, name: str, digest: str) -> bytes:
    """Return the content of the file that the worker read, if the hash matches."""
    place = directory.resolve()
    try:
        path = (place / name).resolve()
        if not is_inside(name) or not path.is_relative_to(place):
            raise Forged(f"a file lies outside the project: {name[:200]!r}")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with file_of(descriptor) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Forged(f"a file is invalid: {name[:200]!r}")
            data = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:
        raise Forged(f"a file is gone: {name[:200]!r}") from error
    if _hash(data) != digest:
        raise Forged(f"a file has changed meanwhile: {name[:200]!r}")
    return data
