"""Make the empty folders that an application expects: for log files, static files and SQLite databases.

Version control keeps no empty folders, so a fresh copy of such a project fails although nothing is wrong with it.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Final

from preview.detection.expressions import keyword, last_name
from preview.detection.plan import Step
from preview.sources import Sources

_HANDLERS: Final = frozenset(
    {
        "FileHandler",
        "RotatingFileHandler",
        "TimedRotatingFileHandler",
        "WatchedFileHandler",
        "ConcurrentRotatingFileHandler",
    }
)
_SAME: Final = frozenset(
    {"Path", "PurePath", "abspath", "realpath", "resolve", "absolute", "normpath", "str", "fspath"}
)
_SQLITE: Final = re.compile(r"sqlite(?:\+\w{1,20})?:///([\w.-][\w./-]{0,200})")
# A search of the text is cheaper than a walk through the nodes; most files have none of these.
_WORDS: Final = (b"FileHandler", b"StaticFiles", b"sqlite")
_MOST: Final = 8
_LONGEST: Final = 200
# Parts of expressions that are read of one file: names that refer to each other multiply.
_PARTS: Final = 2_000
_DEPTH: Final = 12
_MAKE: Final = "import os,sys;[os.makedirs(name,exist_ok=True) for name in sys.argv[1:]]"


def find_folders_step(sources: Sources, files: Iterable[str], directory: str) -> tuple[Step, ...]:
    """Return the step that makes the missing folders; empty if none is missing.

    Args:
        sources: The project's files.
        files: The files that the application loads.
        directory: Where the application is started; relative paths count from it.
    """
    wanted: dict[str, None] = {}
    for file in files:
        if any(word in sources.text(file) for word in _WORDS):
            for path in _Reader(sources, file, directory).folders():
                if _is_usable(path) and not _is_there(sources, path):
                    wanted[path] = None
    names = tuple(wanted)[:_MOST]
    if not names:
        return ()
    why = "the application expects " + ("this folder" if len(names) == 1 else "these folders")
    return (Step("folders", ("python", "-c", _MAKE, *names), ".", why),)


def _is_usable(path: str) -> bool:
    """Return whether the path is below the project, and can be an argument of a program: no NUL, no line's length."""
    return path != "." and not path.startswith(("..", "/")) and path.isprintable() and len(path) <= _LONGEST


def _is_there(sources: Sources, path: str) -> bool:
    prefix = f"{path}/"
    return sources.has_folder(path) or any(name.startswith(prefix) for name in sources.all_names)


class _Reader:
    """Reads the folders out of one file's expressions."""

    def __init__(self, sources: Sources, file: str, directory: str) -> None:
        self._nodes = sources.nodes(file)
        self._file = file
        self._directory = directory
        self._parts = _PARTS
        self._named = {
            target.id: node.value
            for node in self._nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def folders(self) -> Iterator[str]:
        for node in self._nodes:
            if isinstance(node, ast.Call):
                yield from self._of_call(node)
            elif isinstance(node, ast.Dict):
                yield from self._of_handler(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("sqlite"):
                found = _SQLITE.match(node.value)
                if found is not None:
                    yield from self._above(self._joined(self._directory, found[1]))

    def _of_call(self, node: ast.Call) -> Iterator[str]:
        name = last_name(node)
        if name in _HANDLERS:
            given = node.args[0] if node.args else keyword(node, "filename")
            yield from self._above(self._path(given))
        elif name == "StaticFiles":
            path = self._path(keyword(node, "directory") or (node.args[0] if node.args else None))
            if path is not None:
                yield path

    def _of_handler(self, node: ast.Dict) -> Iterator[str]:
        """Yield the folder of a handler as ``logging.config`` has it: a class and a file."""
        values = {
            key.value: value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
        }
        kind = values.get("class")
        if isinstance(kind, ast.Constant) and str(kind.value).rpartition(".")[2] in _HANDLERS:
            yield from self._above(self._path(values.get("filename")))

    @staticmethod
    def _above(path: str | None) -> Iterator[str]:
        if path is not None:
            yield posixpath.dirname(path) or "."

    @staticmethod
    def _joined(*parts: str) -> str:
        return posixpath.normpath(posixpath.join(*parts))

    def _path(self, node: ast.expr | None, depth: int = 0) -> str | None:
        """Return a path below the project's root; None if the expression does not tell."""
        text = self._written(node, depth)
        return None if text is None or not text else self._joined(self._directory, text)

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
                return self._parent(self._written(value, depth + 1))
            case ast.Subscript(value=ast.Attribute(attr="parents", value=value), slice=ast.Constant(value=int(number))):
                path = self._written(value, depth + 1)
                for _ in range(min(number, _DEPTH) + 1):
                    path = self._parent(path)
                return path
            case ast.Call():
                return self._called(node, depth)
        return None

    def _called(self, node: ast.Call, depth: int) -> str | None:
        name, owner = last_name(node), node.func.value if isinstance(node.func, ast.Attribute) else None
        if name == "dirname" and node.args:
            return self._parent(self._written(node.args[0], depth + 1))
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
        return None if None in parts else self._joined(*(part for part in parts if part is not None))

    @staticmethod
    def _parent(path: str | None) -> str | None:
        if path is None:
            return None
        name = posixpath.normpath(path)
        if name in {"", "."} or name.endswith(".."):
            return posixpath.join(name, "..")
        return posixpath.dirname(name) or "."
