"""``node_modules`` of a workspace: links to a shared environment that nobody may write to.

Each package is one link, so a thousand of them take 50 ms where a tree of hard links takes a second. Node has to
keep the names of links (``NODE_PRESERVE_SYMLINKS``): then every package finds its neighbours, and the project's root,
where they would be after an ordinary installation. What generators write to is copied.
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
"""Beside an environment's packages: the folders that have ``node_modules``, relative to the environment."""

NO_ENGINE: Final = "no-prisma-engine"
"""Beside the packages where Prisma's engine could not be had: a program that says so."""

# `prisma generate` writes its client there.
_WRITTEN: Final = frozenset({".prisma", "@prisma/client"})
_LEFT_OUT: Final = frozenset({".package-lock.json", ".cache"})


def modules_variables(environment: Path) -> dict[str, str]:
    """Return the variables that Node and its programs need to find an environment's packages.

    Raises:
        OSError: It is no finished environment.
    """
    record = json.loads((environment / RECORD).read_text("utf-8"))
    missing = dict.fromkeys(record["no_engine"], str(environment / NO_ENGINE))
    return {"NODE_PRESERVE_SYMLINKS": "1", **missing}


def place_modules(environment: Path, directory: Path) -> int:
    """Give the package in ``directory`` its ``node_modules``; what the project brings of them is left out.

    Blocks on the disk: call it in a thread.

    Args:
        environment: A finished environment, held while the links are used.
        directory: Where the project's ``package.json`` is.

    Returns:
        How many packages are there now.

    Raises:
        OSError: It cannot be written.
    """
    folders = json.loads((environment / RECORD).read_text("utf-8"))["folders"]
    count = 0
    for folder in folders:
        # A member that the project's copy does not have needs nothing.
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
        # A member of the workspace: the same way leads to the project's own copy.
        os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211
    else:
        os.symlink(source, target)  # noqa: PTH211


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink()
