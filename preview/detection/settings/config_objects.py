"""Flask's configuration: the expressions that name it, and its keys that a project needs.

It is named in ``app.config.from_object(name)``, or in a call of the project's function that does that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from preview.detection.expressions import keyword, last_name
from preview.detection.project_imports import Nodes
from preview.detection.settings.model import raises
from preview.sources import Sources

CONSTANT: Final = re.compile(r"[A-Z][A-Z0-9_]{0,60}")
"""A name of a constant, as keys of Flask's configuration are."""
_FROM_OBJECT: Final = "from_object"
_MOST_KEYS: Final = 80
# Flask and its extensions have defaults for these.
_DEFAULTS: Final = re.compile(
    r"(?:ENV|DEBUG|TESTING|PROPAGATE_\w+|TRAP_\w+|SESSION_\w+|PERMANENT_\w+|USE_X_SENDFILE|SERVER_NAME|APPLICATION_ROOT|JSON_\w+"
    r"|PREFERRED_\w+|MAX_CO\w+|TEMPLATES_\w+|SEND_FILE_\w+|EXPLAIN_\w+|WTF_\w+|JWT_(?!SECRET_KEY)\w+|SQLALCHEMY_(?!DATABASE_URI)\w+)"
)
_NEEDED: Final = (
    (b"flask", ("SECRET_KEY",)),
    (b"flask_sqlalchemy", ("SQLALCHEMY_DATABASE_URI",)),
    (b"flask_jwt_extended", ("JWT_SECRET_KEY",)),
    (b"flask_mysqldb", ("MYSQL_HOST", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DB")),
    (b"flaskext.mysql", tuple(f"MYSQL_DATABASE_{one}" for one in ("HOST", "USER", "PASSWORD", "DB"))),
    (b"flask_pymongo", ("MONGO_URI",)),
)


class ConfigObjects:
    """The functions that read Flask's configuration from an argument, ``from_object`` and those of the project."""

    def __init__(self, nodes: Nodes, files: Iterable[str]) -> None:
        self._sources = nodes.sources
        self._taken: set[tuple[str, int | str]] = {(_FROM_OBJECT, 0), (_FROM_OBJECT, "obj")}
        for file in files:
            if _FROM_OBJECT.encode() in nodes.sources.text(file):
                self._taken.update(taken for node in nodes.all(file) for taken in _taken_by(node))

    def among(self, nodes: Iterable[ast.AST]) -> frozenset[ast.expr]:
        """Return the expressions among the nodes of a file that are such arguments."""
        return frozenset(one for node in nodes if isinstance(node, ast.Call) for one in self._given(node))

    def fails(self, body: Sequence[ast.stmt]) -> bool:
        """Return whether statements raise, or name a class that the project's module does not have."""
        named = self.among(one for statement in body for one in ast.walk(statement))
        return raises(body) or any(isinstance(one, ast.Constant) and self._is_gone(one.value) for one in named)

    def _is_gone(self, named: object) -> bool:
        module, _, name = named.rpartition(".") if isinstance(named, str) else ("", "", "")
        path = f"{module.replace('.', '/')}.py"
        files = [one for one in self._sources.names if f"/{one}".endswith(f"/{path}")] if module else []
        texts = [self._sources.text(one) for one in files]
        return bool(texts) and not any(name.encode() in one or b"import *" in one for one in texts)

    def _given(self, call: ast.Call) -> Iterator[ast.expr]:
        name = last_name(call.func)
        yield from (one for at, one in enumerate(call.args) if (name, at) in self._taken)
        yield from (one.value for one in call.keywords if one.arg and (name, one.arg) in self._taken)


def _taken_by(node: ast.AST) -> Iterator[tuple[str, int | str]]:
    """Yield the arguments of a function that it passes on to ``from_object``: by position, and by name."""
    if not isinstance(node, ast.FunctionDef):
        return
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call) and last_name(one.func) == _FROM_OBJECT]
    passed = {one.args[0].id for one in calls if one.args and isinstance(one.args[0], ast.Name)}
    arguments = [*node.args.posonlyargs, *node.args.args]
    of_class = int(bool(arguments) and arguments[0].arg in {"self", "cls"})
    for at, argument in enumerate(arguments[of_class:]):
        if argument.arg in passed:
            yield node.name, at
            yield node.name, argument.arg


def flask_keys(sources: Sources, files: Sequence[str]) -> set[str]:
    """Return the keys of Flask's configuration that files read or extensions need, but those with defaults."""
    keys: set[str] = set()
    for file in files:
        text = sources.text(file)
        keys |= {key for package, needed in _NEEDED for key in needed if package in text}
        for node in sources.nodes(file) if b"config" in text else ():
            key: ast.expr | None = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and last_name(node.value) == "config":
                key = node.slice
            elif isinstance(node, ast.Call) and last_name(node) == "get" and isinstance(node.func, ast.Attribute):
                is_config = (
                    last_name(node.func.value) == "config" and len(node.args) == 1 and keyword(node, "default") is None
                )
                key = node.args[0] if is_config else None
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and CONSTANT.fullmatch(key.value):
                keys.add(key.value)
    return set(sorted(one for one in keys if not _DEFAULTS.fullmatch(one))[:_MOST_KEYS])
