"""Modules that several installed packages bring: pip's last one stays, as on the machine of the project's author.

uv installs packages at the same time, so any of them may stay. pip installs a package after those that it requires,
and packages at the same depth from the end of the alphabet to its beginning (``get_installation_order``).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from preview.environments.folders.layout import installed_versions, site_packages
from preview.environments.sandbox.sweep import read_left

_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_MODULES: Final = 200_000
_MOST_SHARED: Final = 2_000
_MOST_MODULE_BYTES: Final = 1024 * 1024
_MOST_NODES: Final = 2_000
_MOST_REQUIRED: Final = 500
# Of markers, for all packages with each of their extras.
_MOST_EVALUATED: Final = 100_000
_MOST_AGAIN: Final = 20
_LAST: Final = 1_000_000
# What packages leave beside their modules by mistake. OpenCV's packages differ in the system's libraries that they
# need: pip's last one may need one that servers do not have.
_UNUSED: Final = frozenset({"tests", "test", "docs", "doc", "examples", "benchmarks", "scripts", "setup.py", "cv2"})
# Several packages share such a module on purpose.
_NAMESPACE: Final = re.compile(r"extend_path|declare_namespace|^\s*$")
# What uv takes for one package's version: a build may name a folder as it likes.
_PINNED: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,100}==[\w.+!]{1,60}")
_REQUIRED: Final = re.compile(r"^Requires-Dist: *(.{1,1000})$", re.MULTILINE)

_Node = tuple[str, frozenset[str]]


def overwritten(environment: Path, python: str) -> list[str]:
    """Return the packages to install again, one after the other, for what pip would have left; mostly none.

    Args:
        environment: The environment's folder. Blocks on the disk.
        python: Version of its Python.

    Returns:
        Requirement lines (``bootstrap-flask==2.5.0``).
    """
    again: list[str] = []
    for folder in site_packages(environment):
        infos = {_name(info): info for info in sorted(folder.glob("*.dist-info"))}
        shared = _shared(infos)
        if not shared:
            continue
        order = {name: at for at, name in enumerate(_pip_order(infos, python))}
        last: dict[str, list[str]] = {}
        for file, owners in islice(shared.items(), _MOST_SHARED):
            last.setdefault(max(owners, key=order.__getitem__), []).append(file)
        # A package that is installed again writes over those that come after it.
        for name in sorted(last, key=order.__getitem__):
            if os.path.lexists(infos[name] / "direct_url.json"):
                # Of this name, the index may have another package.
                continue
            files = last[name]
            if any(shared[file].keys() & set(again) or _is_hidden(folder / file, shared[file][name]) for file in files):
                again.append(name)
    versions = installed_versions(environment)
    lines = [f"{name}=={versions.get(name, '')}" for name in again]
    return [line for line in lines if _PINNED.fullmatch(line)][:_MOST_AGAIN]


def _name(info: Path) -> str:
    return canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0])


def _shared(infos: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Return the modules that several packages bring: the file, the packages, and the hash that each notes down."""
    first: dict[str, tuple[str, str]] = {}
    found: dict[str, dict[str, str]] = {}
    for name, info in infos.items():
        for file, digest in _modules(info):
            if file in first and first[file] != (name, digest):
                found.setdefault(file, dict([first[file]]))[name] = digest
            elif len(first) < _MOST_MODULES:
                first[file] = (name, digest)
    return {file: owners for file, owners in found.items() if len(set(owners.values())) > 1}


def _modules(info: Path) -> Iterator[tuple[str, str]]:
    for line in _read(info / "RECORD").splitlines():
        file, _, rest = line.partition(",")
        top = file.partition("/")[0]
        if file.endswith(".py") and top not in _UNUSED and top and ".." not in file.split("/"):
            yield file, rest.partition(",")[0]


def _is_hidden(module: Path, digest: str) -> bool:
    """Return whether the file in a module's place is another package's."""
    text = _read(module, _MOST_MODULE_BYTES)
    if _NAMESPACE.search(text):
        return False
    found = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return digest != f"sha256={found}"


def _pip_order(infos: Mapping[str, Path], python: str) -> list[str]:
    """Return the packages in the order in which pip installs them."""
    marks = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    required = cache(lambda name: _required(infos[name]))
    nodes: dict[_Node, set[_Node]] = {}
    pending: list[_Node] = [(name, frozenset()) for name in infos]
    left = _MOST_EVALUATED
    while pending and len(nodes) < _MOST_NODES and left > 0:
        node = pending.pop()
        if node not in nodes:
            ours = required(node[0])
            left -= len(ours) * max(1, len(node[1]))
            nodes[node] = {one for one in _needed(node, ours, marks) if one[0] in infos}
            pending += nodes[node]
    depths: dict[str, int] = {}
    depth = 0
    while leaves := [node for node, needed in nodes.items() if nodes.keys().isdisjoint(needed)]:
        depth += 1
        for node in leaves:
            del nodes[node]
            if not node[1]:
                depths[node[0]] = depth
    # What is left requires itself.
    return sorted(infos, key=lambda name: (-depths.get(name, _LAST), name), reverse=True)


def _required(info: Path) -> list[Requirement]:
    """Return what a package requires, without what cannot be read."""
    fields = _read(info / "METADATA").partition("\n\n")[0]
    found: list[Requirement] = []
    for match in islice(_REQUIRED.finditer(fields), _MOST_REQUIRED):
        with suppress(InvalidRequirement, RecursionError):
            found.append(Requirement(match[1]))
    return found


def _needed(node: _Node, required: list[Requirement], marks: Mapping[str, str]) -> Iterator[_Node]:
    name, extras = node
    if extras:
        yield name, frozenset()
    for one in required:
        with suppress(UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
            if one.marker is None or any(one.marker.evaluate({**marks, "extra": each}) for each in (extras or {""})):
                yield canonicalize_name(one.name), frozenset(map(canonicalize_name, one.extras))


def _read(file: Path, most_bytes: int = _MOST_BYTES) -> str:
    try:
        return read_left(file, most_bytes)
    except OSError:
        return ""
