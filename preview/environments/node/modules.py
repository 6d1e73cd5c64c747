"""Links from a preview's ``node_modules`` to a shared, read-only environment.

Each package is one link: a thousand links take 50 ms, a tree of hard links takes a second. Node must not resolve the
links (``NODE_PRESERVE_SYMLINKS``): then each package finds the other packages and the project's root as after an
ordinary installation. Packages that generators write to are copied instead.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from preview.core.descriptors import walk
from preview.environments.folders.layout import remove_tree

RECORD: Final = "modules.json"
"""File next to an environment's packages: the folders with ``node_modules``, relative to the environment."""

NO_ENGINE: Final = "no-prisma-engine"
"""Stand-in for a missing Prisma engine, next to the packages: a program that prints an error."""

WITH_ADAPTERS: Final = "prisma-with-adapters"
"""The same, where Prisma's client needs no engine: it asks the database through packages."""

# Packages in which `prisma generate` writes its client.
_WRITTEN: Final = frozenset({".prisma", "@prisma/client"})
_LEFT_OUT: Final = frozenset({".package-lock.json", ".cache"})


def modules_variables(environment: Path) -> dict[str, str]:
    """Return the variables that Node and its programs need to find an environment's packages.

    Raises:
        OSError: The environment is not finished.
    """
    record = json.loads((environment / RECORD).read_text("utf-8"))
    missing = {name: str(environment / file) for name, file in record["no_engine"].items()}
    return {"NODE_PRESERVE_SYMLINKS": "1", **missing}


def place_modules(environment: Path, directory: Path) -> int:
    """Create ``node_modules`` for the package in ``directory``; packages that exist there already are replaced.

    Blocks on the disk: call it in a thread.

    Args:
        environment: A finished environment, which must stay while the links are used.
        directory: Folder of the project's ``package.json``.

    Returns:
        Number of placed packages.

    Raises:
        OSError: The disk reported an error.
    """
    folders = json.loads((environment / RECORD).read_text("utf-8"))["folders"]
    count = 0
    for folder in folders:
        # Skip members that this copy of the project does not contain.
        if (directory / folder).is_dir():
            count += _place(environment / folder / "node_modules", directory / folder / "node_modules")
    return count


def _place(source: Path, target: Path) -> int:
    if target.is_symlink():
        target.unlink()
    target.mkdir(exist_ok=True)
    count = 0
    scopes: set[str] = set()
    for name in _names(source):
        scope = name.rpartition("/")[0]
        if scope and scope not in scopes:
            (target / scope).mkdir(exist_ok=True)
            scopes.add(scope)
        _put(name, os.path.join(source, name), os.path.join(target, name))  # noqa: PTH118  hundreds: strings are faster
        count += 1
    return count


def _names(source: Path) -> Iterator[str]:
    for entry in list(os.scandir(source)):
        if entry.name in _LEFT_OUT:
            continue
        if entry.name.startswith("@") and not entry.is_symlink():
            yield from (f"{entry.name}/{inner}" for inner in os.listdir(entry.path))  # noqa: PTH208  names
        else:
            yield entry.name


def _put(name: str, source: str, target: str) -> None:
    if os.path.lexists(target):
        _remove(Path(target))
    if name in _WRITTEN:
        shutil.copytree(source, target, symlinks=True)
        for folder, _, _ in walk(target):
            Path(folder).chmod(0o755)
    elif os.path.islink(source):  # noqa: PTH114
        # A workspace member: its relative link leads to this copy of the project.
        os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211
    else:
        os.symlink(source, target)  # noqa: PTH211


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink()
