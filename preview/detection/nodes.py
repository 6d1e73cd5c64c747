"""What a project's parsed files hold, however many questions are asked of them."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from preview.sources import Sources


class Nodes:
    """The nodes of each Python file.

    Args:
        sources: The project's files.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._imports: dict[str, Sequence[ast.Import | ast.ImportFrom]] = {}

    def all(self, file: str) -> Sequence[ast.AST]:
        """All nodes of a file, in no order that matters; none where it cannot be parsed."""
        return self.sources.nodes(file)

    def imports(self, file: str) -> Sequence[ast.Import | ast.ImportFrom]:
        """Its imports, in the order of their lines."""
        if file not in self._imports:
            found = [node for node in self.all(file) if isinstance(node, ast.Import | ast.ImportFrom)]
            self._imports[file] = sorted(found, key=lambda node: node.lineno)
        return self._imports[file]
