"""What a project's files import, and which modules of its own it has at the top level. Reads, and never runs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from preview.core.descriptors import raise_want, walk
from preview.detection.plan import StartPlan
from preview.sources.plain_files import read_plain

_MOST_FILES: Final = 500
_MOST_BYTES: Final = 256 * 1024
_MOST_NAMES: Final = 300
_ASIDE: Final = frozenset({"tests", "test", "node_modules", "migrations", "__pycache__", "venv", "env"})
# ``import a.b, c as d`` and ``from a.b import c, (d)`` at the beginning of a line, indented or not; lines are enough,
# as what is missed is only imported later.
_IMPORT: Final = re.compile(rb"^[ \t]*import[ \t]+([\w., \t]+)", re.MULTILINE)
_FROM: Final = re.compile(rb"^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]{0,4000}\)|[^\n#]+)", re.MULTILINE)
_NAME: Final = re.compile(rb"(?:^|,)\s*(\w+)")


def find_imports(plan: StartPlan, project: Path) -> tuple[frozenset[str], tuple[str, ...]]:
    """The project's own modules at the top level, and what its files import besides: ``a.b``, ``a.b:c``.

    A folder that is no package (``locale``, ``docs``) is not among its modules: a package of that name, wherever it
    lies, goes before it. Reads within bounds and through no link, and nothing is run.

    Raises:
        OSError: No descriptor is free to read with.
    """
    folders = {project / plan.directory, *(project / one for one in plan.python_path)}
    if plan.target is not None:
        folders.add(project / plan.target.app_dir)
    found_in = [one for folder in folders for one in _modules_in(folder)]
    names, own = {name for name, _ in found_in}, frozenset(name for name, is_package in found_in if is_package)
    found: dict[str, None] = {}
    for file in _files(project):
        for name in _imports(file):
            if name.split(".", 1)[0].partition(":")[0] not in names:
                found[name] = None
        if len(found) >= _MOST_NAMES:
            break
    return own, tuple(found)[:_MOST_NAMES]


def _modules_in(folder: Path) -> Iterator[tuple[str, bool]]:
    """Each name, and whether it is a module or a package, and not a mere folder, which can be imported too."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise_want(error)
        return
    for entry in entries:
        name = entry.name.removesuffix(".py")
        if not name.isidentifier():
            continue
        if entry.name.endswith(".py"):
            yield name, True
        elif entry.is_dir():
            yield name, os.path.exists(os.path.join(entry.path, "__init__.py"))  # noqa: PTH110, PTH118  hundreds


def _files(project: Path) -> Iterator[str]:
    count = 0
    for folder, names, files in walk(project):
        names[:] = sorted(name for name in names if name not in _ASIDE and not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(folder, name)  # noqa: PTH118  hundreds of files
            if name.endswith(".py") and not os.path.islink(path):  # noqa: PTH114
                yield path
                count += 1
                if count >= _MOST_FILES:
                    return


def _imports(path: str) -> Iterator[str]:
    try:
        text = read_plain(path, _MOST_BYTES)
    except OSError as error:
        raise_want(error)
        return
    for match in _IMPORT.finditer(text):
        for part in match[1].split(b","):
            words = part.split()
            if words and not words[0].startswith(b"."):
                yield words[0].decode()
    for match in _FROM.finditer(text):
        module = match[1].decode()
        if module.startswith(".") or module in sys.stdlib_module_names:
            if not module.startswith("."):
                yield module
            continue
        yield module
        for name in _NAME.findall(match[2].strip(b"()")):
            # Names of classes are no modules'.
            if not name[:1].isupper():
                yield f"{module}:{name.decode()}"
