"""From which folder a file's imports work."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from preview.endpoints.python.imports import join
from preview.sources import Sources

__all__ = ["find_import_root"]


def find_import_root(sources: Sources, file: str, tree: ast.Module, hinted: set[str]) -> tuple[str, str]:
    """From which folder the file's imports work, and the module's name from there.

    Imports decide; where several folders serve them as well, what the project's own files start (``hinted``).
    """
    parts = file.removesuffix(".py").split("/")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    tops, relative = _imported(tree)
    best: tuple[tuple[int, bool, int], int] | None = None
    deepest = len(parts) - 1 - (relative if file.rpartition("/")[2] != "__init__.py" else max(relative - 1, 0))
    for depth in range(max(deepest, 0) + 1):
        folder = "/".join(parts[:depth]) or "."
        resolved = sum(_exists(sources, folder, name) for name in tops)
        score = (resolved, ".".join(parts[depth:]) in hinted, -_penalty(sources, parts, depth))
        if best is None or score > best[0]:
            best = (score, depth)
    depth = best[1] if best else 0
    return "/".join(parts[:depth]) or ".", ".".join(parts[depth:])


def _penalty(sources: Sources, parts: list[str], depth: int) -> int:
    """How unlikely a folder is to be the root when imports do not tell.

    The root is above the topmost package; where no folder is a package, a project's own folder beats what is below it
    for ``app/main.py``, and a backend's subfolder beats the project's folder.
    """
    top = next((n for n in range(1, len(parts) + 1) if sources.has_file("/".join([*parts[:n], "__init__.py"]))), None)
    if top is not None:
        return abs(depth - (top - 1))
    usual = 1 if parts[0] not in {"app", "src", "api"} and len(parts) > 1 else 0
    return abs(depth - usual)


def _imported(tree: ast.Module) -> tuple[set[str], int]:
    """Absolute module names, and how many levels up relative imports go."""
    names: set[str] = set()
    relative = 0
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            relative = max(relative, node.level)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names, relative


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """All statements, also those within functions and conditions; expressions are left alone."""
    todo: list[ast.AST] = [*tree.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            yield node
        for name in ("body", "orelse", "finalbody", "handlers"):
            todo += getattr(node, name, ()) if not isinstance(node, ast.expr) else ()


def _exists(sources: Sources, folder: str, name: str) -> bool:
    path = join(folder, name.replace(".", "/"))
    return sources.has_file(f"{path}.py") or sources.has_folder(path)
