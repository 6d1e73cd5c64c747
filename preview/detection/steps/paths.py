"""Paths that the expressions of a Python file give: literals, ``__file__``, joins and parents."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable
from typing import Final

from preview.detection.expressions import last_name
from preview.sources import Sources

_SAME: Final = frozenset(
    {"Path", "PurePath", "abspath", "realpath", "resolve", "absolute", "normpath", "str", "fspath"}
)
# Parts of expressions that are read of one file: names that refer to each other multiply.
_PARTS: Final = 2_000
_DEPTH: Final = 12


class PathReader:
    """Reads paths out of one file's expressions.

    Args:
        sources: The project's files.
        file: The file that contains the expressions.
        directory: Where the application is started; relative paths count from it.
    """

    def __init__(self, sources: Sources, file: str, directory: str) -> None:
        self.nodes = sources.nodes(file)
        self._file = file
        self._directory = directory
        self._parts = _PARTS
        self._named = {
            target.id: node.value
            for node in self.nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def path(self, node: ast.expr | None, depth: int = 0) -> str | None:
        """Return a path below the project's root; None if the expression does not tell."""
        text = self._written(node, depth)
        return None if text is None or not text else joined(self._directory, text)

    def _written(self, node: ast.expr | None, depth: int) -> str | None:
        """Return the path an expression gives; relative ones count from the application's folder."""
        self._parts -= 1
        if node is None or depth > _DEPTH or self._parts < 0:
            return None
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Name(id="__file__"):
                return posixpath.relpath(self._file, self._directory)
            case ast.Name(id=name) if name in self._named:
                return self._written(self._named[name], depth + 1)
            case ast.JoinedStr(values=values):
                parts = [
                    self._written(one.value if isinstance(one, ast.FormattedValue) else one, depth + 1)
                    for one in values
                ]
                return None if None in parts else "".join(part for part in parts if part)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self._all([left, right], depth)
            case ast.Attribute(attr="parent", value=value):
                return _parent(self._written(value, depth + 1))
            case ast.Subscript(value=ast.Attribute(attr="parents", value=value), slice=ast.Constant(value=int(number))):
                path = self._written(value, depth + 1)
                for _ in range(min(number, _DEPTH) + 1):
                    path = _parent(path)
                return path
            case ast.Call():
                return self._called(node, depth)
        return None

    def _called(self, node: ast.Call, depth: int) -> str | None:
        name, owner = last_name(node), node.func.value if isinstance(node.func, ast.Attribute) else None
        if name == "dirname" and node.args:
            return _parent(self._written(node.args[0], depth + 1))
        if name in {"getcwd", "cwd"}:
            return "."
        if name == "join" and node.args:
            return self._all(node.args, depth)
        if name == "joinpath" and owner is not None:
            return self._all([owner, *node.args], depth)
        if name in _SAME:
            if node.args:
                return self._all(node.args, depth)
            return self._written(owner, depth + 1)
        return None

    def _all(self, nodes: Iterable[ast.expr], depth: int) -> str | None:
        parts = [self._written(node, depth + 1) for node in nodes]
        return None if None in parts else joined(*(part for part in parts if part is not None))


def joined(*parts: str) -> str:
    """Return the normal form of a path of several parts."""
    return posixpath.normpath(posixpath.join(*parts))


def _parent(path: str | None) -> str | None:
    if path is None:
        return None
    name = posixpath.normpath(path)
    if name in {"", "."} or name.endswith(".."):
        return posixpath.join(name, "..")
    return posixpath.dirname(name) or "."
