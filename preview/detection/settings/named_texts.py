"""Names of variables that a project has under names of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from preview.detection.expressions import last_name
from preview.detection.project_imports import Nodes


class NamedTexts:
    """Texts of the files by their names: ``KEY = "DB_HOST"``, also in a class or enum."""

    def __init__(self, nodes: Nodes, files: Iterable[str]) -> None:
        self._texts: dict[str, set[str]] = {}
        for file in files:
            for node in nodes.all(file):
                if isinstance(node, ast.Module | ast.ClassDef):
                    for one in node.body:
                        self._add(one)

    def _add(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    self._texts.setdefault(target.id, set()).add(node.value.value)

    def text(self, key: ast.expr) -> str | None:
        """Return the only text of ``NAME``, ``module.NAME``, ``Class.NAME``, ``Class.NAME.value``; None if unknown."""
        if isinstance(key, ast.Attribute) and key.attr == "value":
            key = key.value
        found = self._texts.get(last_name(key), set()) if isinstance(key, ast.Name | ast.Attribute) else set()
        return next(iter(found)) if len(found) == 1 else None
