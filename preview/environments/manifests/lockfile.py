"""The versions that a lock file chose: uv's, Poetry's, PDM's and Pipenv's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from preview.environments.manifests.reading import as_table, load_toml, read_bytes
from preview.errors import EnvironmentFailed

_LOCKS: Final = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
_MAX_BYTES: Final = 8 * 1024 * 1024


def read_lock(folder: Path) -> tuple[str, dict[str, str]]:
    """The lock file's name and each package's version; empty where there is none or it cannot be read.

    A package with several versions (by platform or Python) has none here.
    """
    try:
        for name in _LOCKS:
            if (folder / name).is_file():
                return name, _single(_packages(load_toml(folder / name, name, lock=True)))
        if (folder / "Pipfile.lock").is_file():
            content = json.loads(read_bytes(folder / "Pipfile.lock", "Pipfile.lock", limit=_MAX_BYTES))
            return "Pipfile.lock", _single(_pipfile(content))
    except (EnvironmentFailed, ValueError, RecursionError):
        return "", {}
    return "", {}


def _packages(content: dict[str, object]) -> Iterator[tuple[str, str]]:
    for key in ("package", "packages"):
        found = content.get(key)
        for item in found if isinstance(found, list) else []:
            package = as_table(item)
            name, version, source = package.get("name"), package.get("version"), as_table(package.get("source"))
            # Taken from a folder or a repository: its version means nothing to the index.
            elsewhere = source.keys() & {"git", "path", "directory", "editable", "virtual", "url", "reference"}
            if isinstance(name, str) and isinstance(version, str) and not elsewhere:
                yield name, version


def _pipfile(content: object) -> Iterator[tuple[str, str]]:
    for name, package in as_table(as_table(content).get("default")).items():
        version = as_table(package).get("version")
        if isinstance(version, str) and version.startswith("=="):
            yield name, version.removeprefix("==")


def _single(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for name, version in pairs:
        found.setdefault(canonicalize_name(name), set()).add(version)
    return {name: next(iter(versions)) for name, versions in found.items() if len(versions) == 1}
