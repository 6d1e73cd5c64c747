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
from preview.detection.steps.paths import PathReader, joined
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
_SQLITE: Final = re.compile(r"sqlite(?:\+\w{1,20})?:///([\w.-][\w./-]{0,200})")
_SQLITE_START: Final = re.compile(r"sqlite(?:\+\w{1,20})?:///(?P<rest>[\w./-]{0,200})$")
# A search of the text is cheaper than a walk through the nodes; most files have none of these.
_WORDS: Final = (b"FileHandler", b"StaticFiles", b"sqlite")
_MOST: Final = 8
_LONGEST: Final = 200
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
        self._paths = PathReader(sources, file, directory)
        self._directory = directory

    def folders(self) -> Iterator[str]:
        for node in self._paths.nodes:
            if isinstance(node, ast.Call):
                yield from self._of_call(node)
            elif isinstance(node, ast.Dict):
                yield from self._of_handler(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("sqlite"):
                found = _SQLITE.match(node.value)
                if found is not None:
                    yield from self._above(joined(self._directory, found[1]))
            elif isinstance(node, ast.JoinedStr):
                yield from self._of_text(node)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                yield from self._of_sum(node)

    def _of_call(self, node: ast.Call) -> Iterator[str]:
        name = last_name(node)
        if name in _HANDLERS:
            given = node.args[0] if node.args else keyword(node, "filename")
            yield from self._above(self._paths.path(given))
        elif name == "StaticFiles":
            path = self._paths.path(keyword(node, "directory") or (node.args[0] if node.args else None))
            if path is not None:
                yield path

    def _of_text(self, node: ast.JoinedStr) -> Iterator[str]:
        """Yield the folder of ``f"sqlite:///{BASE / 'data' / name}"``; the file's own name may be unknown."""
        head = node.values[0] if node.values else None
        scheme = (
            _SQLITE_START.match(head.value) if isinstance(head, ast.Constant) and isinstance(head.value, str) else None
        )
        if head is None or scheme is None:
            return
        rest = [ast.Constant(scheme["rest"])] if scheme["rest"] else []
        inside = [*rest, *node.values[1:]]
        only = inside[0].value if len(inside) == 1 and isinstance(inside[0], ast.FormattedValue) else None
        path = self._paths.path(ast.JoinedStr(inside))
        if path is None and isinstance(only, ast.BinOp) and isinstance(only.op, ast.Div):
            above = self._paths.path(only.left)
            yield from () if above is None else (above,)
        yield from self._above(path)

    def _of_sum(self, node: ast.BinOp) -> Iterator[str]:
        """Yield the folder of ``"sqlite:///" + os.path.join(BASE, "data", "shop.db")``."""
        text = node.left.value if isinstance(node.left, ast.Constant) else None
        scheme = _SQLITE_START.match(text) if isinstance(text, str) else None
        if scheme is not None:
            rest = ast.JoinedStr([ast.Constant(scheme["rest"]), ast.FormattedValue(node.right, -1)])
            yield from self._above(self._paths.path(rest))

    def _of_handler(self, node: ast.Dict) -> Iterator[str]:
        """Yield the folder of a handler as ``logging.config`` has it: a class and a file; and of Django's SQLite."""
        values = {
            key.value: value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
        }
        kind = values.get("class")
        if isinstance(kind, ast.Constant) and str(kind.value).rpartition(".")[2] in _HANDLERS:
            yield from self._above(self._paths.path(values.get("filename")))
        engine = values.get("ENGINE")
        if isinstance(engine, ast.Constant) and str(engine.value).endswith(".sqlite3"):
            yield from self._above(self._paths.path(values.get("NAME")))

    @staticmethod
    def _above(path: str | None) -> Iterator[str]:
        if path is not None:
            yield posixpath.dirname(path) or "."
