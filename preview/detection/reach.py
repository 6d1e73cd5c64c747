"""Which of a project's Python files its application loads: those that its entry file imports, and so on."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final

from preview.detection.nodes import Nodes
from preview.sources import Sources

_MAX_FILES: Final = 1_500
_SIDE_FOLDERS: Final = frozenset(
    {"tests", "test", "testing", "examples", "example", "docs", "doc", "scripts", "benchmarks", "migrations", "alembic",
     "samples", "e2e", "fixtures", "frontend", "client"}
)  # fmt: skip


def is_aside(file: str) -> bool:
    """Whether a file is for tests, migrations or documents and not for the application."""
    *folders, name = file.split("/")
    return bool(_SIDE_FOLDERS.intersection(folders)) or name.startswith(("test_", "conftest")) or name == "setup.py"


def reachable(nodes: Nodes, entry: str, roots: Sequence[str]) -> list[str]:
    """The entry and the project's files that it imports, directly or not, the entry first.

    Args:
        nodes: The project's files, parsed.
        entry: A Python file, relative to the project.
        roots: Folders that absolute imports count from.
    """
    found: dict[str, None] = {}
    imported: set[tuple[str, str]] = set()
    todo = [entry]
    while todo and len(found) < _MAX_FILES:
        file = todo.pop()
        if file in found:
            continue
        found[file] = None
        for folder, module in dict.fromkeys(_imports(nodes, file, roots)):
            if (folder, module) not in imported:
                imported.add((folder, module))
                todo += _files(nodes.sources, folder, module)
    return list(found)


def _imports(nodes: Nodes, file: str, roots: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Folder and dotted name of all that a file imports; a name that is imported from a package may be a module."""
    for node in nodes.imports(file):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((root, alias.name) for root in roots)
        else:
            names = [node.module or ""]
            names += [f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names]
            if node.level:
                folder = posixpath.dirname(file) or "."
                for _ in range(node.level - 1):
                    folder = posixpath.dirname(folder) or "."
                yield from ((folder, name) for name in names)
            else:
                yield from ((root, name) for root in roots for name in names)


def _files(sources: Sources, folder: str, module: str) -> Iterator[str]:
    """The file of a module and the ``__init__.py`` of the packages above it."""
    path = posixpath.normpath(folder)
    if path != ".":
        yield from filter(sources.has_file, (f"{path}/__init__.py", f"{path}.py"))
    for part in filter(None, module.split(".")):
        path = part if path == "." else f"{path}/{part}"
        yield from filter(sources.has_file, (f"{path}/__init__.py", f"{path}.py"))
        if not sources.has_folder(path):
            # Most names are of packages: nothing of theirs lies here.
            return
