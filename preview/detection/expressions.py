"""Literal parts of an expression: its last name, its text, an argument by its name."""

from __future__ import annotations

import ast


def last_name(node: ast.AST | None) -> str:
    """Return ``b`` for ``b``, ``a.b``, ``b(…)`` and ``a.b(…)``; empty for other expressions."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def keyword(node: ast.Call | None, name: str) -> ast.expr | None:
    """Return a call's keyword argument, or None."""
    return next((item.value for item in node.keywords if item.arg == name), None) if node else None


def is_none(node: ast.expr) -> bool:
    """Return true for ``None``."""
    return isinstance(node, ast.Constant) and node.value is None


def is_ellipsis(node: ast.expr) -> bool:
    """Return true for ``...``."""
    return isinstance(node, ast.Constant) and node.value is ...


def written_text(node: ast.expr | None) -> str | None:
    """Return the text of a constant or a string expression, with ``*`` for unknown parts; else None."""
    if isinstance(node, ast.Constant) and node.value is not None:
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(item.value) if isinstance(item, ast.Constant) else "*" for item in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{written_text(node.left) or '*'}{written_text(node.right) or '*'}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return written_text(node.func.value)
    return None
