"""Literal parts of an expression: its last name, its text, an argument by its name."""

from __future__ import annotations

import ast
import re
from typing import Final

# Of a preview: what `os.name`, `sys.platform` and `platform.system()` are.
_SYSTEM: Final = {("os", "name"): "posix", ("sys", "platform"): "linux", ("platform", "system"): "Linux"}

_TESTING: Final = re.compile(
    r"(?:is_|in_|under_|run_|running_)?(?:unit_?|py)?test(?:s|ing)?(?:_(?:mode|env|environment|run|running))?",
    re.IGNORECASE,
)
_READERS: Final = frozenset({"getenv", "get", "config", "env", "bool", "str", "lower"})
_ON: Final = (True, 1, "1", "true", "True", "TRUE", "yes", "on")

_GAP: Final = re.compile(r"\{[^{}]{0,200}\}")


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


def is_empty(node: ast.expr) -> bool:
    """Return true for ``None`` and ``""``."""
    return isinstance(node, ast.Constant) and node.value in (None, "")


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
        text = written_text(node.func.value)
        return None if text is None else _GAP.sub("*", text)
    return None


def holds_in_preview(test: ast.expr) -> bool | None:
    """Return whether a condition on the operating system or on tests is true in a preview; None for others."""
    told = _on_linux(test)
    return _in_no_test(test) if told is None else told


def _in_no_test(test: ast.expr) -> bool | None:
    """Return whether a condition is true where no tests run: ``not TESTING``, ``env == "test"``; None for others."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            told = _in_no_test(inner)
            return None if told is None else not told
        case ast.Compare(left=ast.Constant(value="test" | "pytest"), ops=[ast.In()], comparators=[right]):
            return False if last_name(right) in {"argv", "modules"} else None
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[ast.Constant(value=value)]):
            is_told = value in ("test", "testing") or (_in_no_test(left) is False and value in _ON)
            return False if is_told else None
        case ast.Compare(left=left, ops=[ast.NotEq() | ast.IsNot()], comparators=[ast.Constant(value=value)]):
            return True if value in ("test", "testing") else None
        case ast.Call(args=[ast.Constant(value=str(name)), *_]) if last_name(test.func) in _READERS:
            return False if _TESTING.fullmatch(name) else None
        case ast.Name() | ast.Attribute():
            return False if _TESTING.fullmatch(last_name(test)) else None
    return None


def _on_linux(test: ast.expr) -> bool | None:
    """Return whether a condition on the operating system alone is true in a preview; None for others."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            told = _on_linux(inner)
            return None if told is None else not told
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _compared(operator, system_name(left), right)
        case ast.Call(func=ast.Attribute(value=value, attr="startswith"), args=[ast.Constant(value=str(start))]):
            name = system_name(value)
            return None if name is None else name.startswith(start)
    return None


def system_name(node: ast.expr) -> str | None:
    """Return the operating system's name as ``os.name``, ``sys.platform`` or ``platform.system()`` tell it, or None."""
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr="lower"), args=[]):
            name = system_name(value)
            return None if name is None else name.lower()
        case ast.Call(func=ast.Attribute(attr="system") as function, args=[]):
            node = function
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return _SYSTEM.get((node.value.id, node.attr))
    return None


def _compared(operator: ast.cmpop, name: str | None, right: ast.expr) -> bool | None:
    try:
        other = ast.literal_eval(right)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if name is None or not isinstance(other, str | list | tuple | set):
        return None
    match operator:
        case ast.Eq():
            return name == other
        case ast.NotEq():
            return name != other
        case ast.In():
            return name in other
        case ast.NotIn():
            return name not in other
    return None
