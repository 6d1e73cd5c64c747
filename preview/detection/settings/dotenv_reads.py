"""Variables that Python source reads from the file ``.env`` itself: ``dotenv_values()["X"]``."""

from __future__ import annotations

import ast
from collections.abc import Container, Sequence

from preview.detection.expressions import last_name
from preview.detection.settings.model import RawRead


def dotenv_read(node: ast.AST, boxes: Container[str]) -> RawRead | None:
    """Match reads of what ``dotenv_values()`` has returned: ``values["X"]`` and ``values.get("X", …)``.

    Args:
        node: An expression.
        boxes: Names that have such values.
    """
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return RawRead(node.slice, subscript=True, strict=True) if last_name(node.value) in boxes else None
    func = node.func if isinstance(node, ast.Call) else None
    if not isinstance(node, ast.Call) or not isinstance(func, ast.Attribute) or func.attr != "get" or not node.args:
        return None
    if last_name(func.value) not in boxes:
        return None
    return RawRead(node.args[0], subscript=False, default=node.args[1] if len(node.args) > 1 else None)


def dotenv_names(nodes: Sequence[ast.AST]) -> frozenset[str]:
    """Return the names that get the values of a ``.env`` file: ``values = {**dotenv_values(".env"), **os.environ}``."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign):
            given = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
            if any(isinstance(one, ast.Call) and last_name(one.func) == "dotenv_values" for one in given):
                found |= {last_name(target) for target in node.targets}
    return frozenset(found - {""})
