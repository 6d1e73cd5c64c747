"""Expressions that read a variable: ``os.environ``, decouple, django-environ, environs, Starlette, own functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.expressions import keyword, last_name
from preview.detection.nodes import Nodes
from preview.detection.settings.model import Kind, Need

_READER_CLASSES: Final = frozenset({"Config", "Env", "AutoConfig", "FileAwareEnv", "RepositoryEnv"})
# A request's own, PEP 3333 and RFC 3875.
_REQUEST: Final = re.compile(
    r"wsgi\.\w+|HTTP_\w+|REMOTE_\w+|SERVER_(?:NAME|PORT|PROTOCOL|SOFTWARE)|REQUEST_METHOD|SCRIPT_NAME|PATH_INFO"
    r"|QUERY_STRING|CONTENT_(?:TYPE|LENGTH)"
)
_READER_MODULES: Final = frozenset({"decouple", "environ", "environs", "starlette.config", "prettyconf", "starlette"})
# `env.int("X")`: django-environ and environs.
_METHODS: Final = {
    "str": Kind.TEXT, "int": Kind.INTEGER, "integer": Kind.INTEGER, "bool": Kind.BOOLEAN, "boolean": Kind.BOOLEAN,
    "float": Kind.NUMBER, "decimal": Kind.NUMBER, "list": Kind.WORDS, "tuple": Kind.WORDS, "json": Kind.OBJECT,
    "dict": Kind.OBJECT, "url": Kind.URL, "db": Kind.DATABASE, "db_url": Kind.DATABASE, "dj_db_url": Kind.DATABASE,
    "email": Kind.EMAIL, "get_value": Kind.TEXT, "path": Kind.TEXT, "unicode": Kind.TEXT, "bytes": Kind.TEXT,
    "cache": Kind.URL, "cache_url": Kind.URL, "email_url": Kind.URL,
}  # fmt: skip
CASTS: Final = {
    "int": Kind.INTEGER, "float": Kind.NUMBER, "bool": Kind.BOOLEAN, "strtobool": Kind.BOOLEAN,
    "str2bool": Kind.BOOLEAN,
    "Csv": Kind.WORDS, "CommaSeparatedStrings": Kind.WORDS, "loads": Kind.OBJECT, "URL": Kind.URL, "list": Kind.WORDS,
    "DatabaseURL": Kind.DATABASE, "literal_eval": Kind.OBJECT, "Path": Kind.TEXT, "Secret": Kind.TEXT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RawRead:
    """A read before its surroundings are looked at.

    Attributes:
        key: The variable's name, as the call has it.
        subscript: ``os.environ["X"]``, not a call.
        default: What stands in for it; None where nothing is given.
        kind: What the reader makes of it.
        strict: The reader raises without a default.
    """

    key: ast.expr
    subscript: bool
    default: ast.expr | None = None
    kind: Kind = Kind.TEXT
    strict: bool = False


def environment_read(node: ast.AST) -> RawRead | None:
    """``os.environ["X"]``, ``os.environ.get("X", …)``, ``os.getenv("X", …)``."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_environ(node.value, node.slice):
        return RawRead(node.slice, subscript=True, strict=True)
    if isinstance(node, ast.Call) and node.args:
        name = last_name(node.func)
        of_environ = (
            isinstance(node.func, ast.Attribute) and _is_environ(node.func.value, node.args[0]) and name == "get"
        )
        if name == "getenv" or of_environ:
            default = node.args[1] if len(node.args) > 1 else keyword(node, "default")
            return RawRead(node.args[0], subscript=False, default=default)
    return None


def _is_environ(node: ast.AST, key: ast.AST) -> bool:
    """``os.environ`` or ``environ``, and not a request's: ``request.environ``, or what a WSGI application is given."""
    if isinstance(node, ast.Attribute) and node.attr == "environ":
        return isinstance(node.value, ast.Name) and node.value.id in {"os", "_os"}
    own = isinstance(key, ast.Constant) and isinstance(key.value, str) and _REQUEST.fullmatch(key.value) is not None
    return isinstance(node, ast.Name) and node.id == "environ" and not own


def own_readers(nodes: Nodes, file: str) -> Iterator[tuple[str, Need]]:
    """The project's own ``get_env("X")``: functions that read a variable whose name they are given."""
    lines = nodes.sources.text(file).split(b"\n")
    for node in nodes.all(file):
        if not isinstance(node, ast.FunctionDef) or not node.args.args:
            continue
        body = b"\n".join(lines[node.lineno : node.end_lineno])
        if b"environ" not in body and b"getenv" not in body:
            continue
        first = node.args.args[0].arg if node.args.args[0].arg != "self" else ""
        for inner in ast.walk(node):
            read = environment_read(inner)
            if read is not None and isinstance(read.key, ast.Name) and read.key.id == first:
                raises = any(isinstance(item, ast.Raise) for item in ast.walk(node))
                strict = raises or read.subscript
                yield node.name, Need.REQUIRED if strict and len(node.args.args) == 1 else Need.OPTIONAL


class ReaderCalls:
    """The calls of one file that read a variable by way of a package or of the project's own functions.

    Args:
        nodes: All of the file's.
        helpers: The project's functions that read a variable whose name they are given.
    """

    def __init__(self, nodes: Sequence[ast.AST], helpers: Mapping[str, Need]) -> None:
        self._helpers = helpers
        self._readers, self._schemes = _find_readers(nodes)

    def read(self, node: ast.AST) -> RawRead | None:
        """What this expression reads; None where it reads nothing."""
        if not isinstance(node, ast.Call):
            return None
        func = node.func
        if isinstance(func, ast.Name) and func.id in self._helpers and node.args:
            strict = self._helpers[func.id] is Need.REQUIRED
            return RawRead(node.args[0], False, node.args[1] if len(node.args) > 1 else None, strict=strict)
        if isinstance(func, ast.Name) and func.id in self._readers:
            kind = Kind.TEXT
        elif isinstance(func, ast.Attribute) and last_name(func.value) in self._readers and func.attr in _METHODS:
            kind = _METHODS[func.attr]
        else:
            return None
        default = keyword(node, "default")
        if default is None and len(node.args) > 1 and not _is_cast(node.args[1]):
            default = node.args[1]
        cast = keyword(node, "cast") or (node.args[1] if len(node.args) > 1 and _is_cast(node.args[1]) else None)
        kind = CASTS.get(last_name(cast), kind) if cast is not None else kind
        key: ast.expr = node.args[0] if node.args else ast.Constant("DATABASE_URL")
        if not node.args and kind is not Kind.DATABASE:
            return None
        name = key.value if isinstance(key, ast.Constant) else None
        if isinstance(name, str) and name in self._schemes:
            scheme_kind, has_default = self._schemes[name]
            return RawRead(
                key, False, ast.Constant("") if has_default else default, scheme_kind, strict=not has_default
            )
        return RawRead(key, False, default, kind, strict=True)


def _find_readers(nodes: Sequence[ast.AST]) -> tuple[set[str], dict[str, tuple[Kind, bool]]]:
    """Names that read a variable when they are called, and the scheme of an ``Env(DEBUG=(bool, False))``."""
    readers: set[str] = set()
    schemes: dict[str, tuple[Kind, bool]] = {}
    known = {"Env", "AutoConfig"}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "") in _READER_MODULES:
            known |= {alias.asname or alias.name for alias in node.names if alias.name in _READER_CLASSES}
            readers |= {alias.asname or alias.name for alias in node.names if alias.name in {"config", "env"}}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and last_name(node.value.func) in known:
            readers |= {last_name(target) for target in node.targets}
            for item in node.value.keywords:
                if item.arg and isinstance(item.value, ast.Tuple) and item.value.elts:
                    kind = CASTS.get(last_name(item.value.elts[0]), Kind.TEXT)
                    schemes[item.arg] = (kind, len(item.value.elts) > 1)
                elif item.arg:
                    schemes[item.arg] = (CASTS.get(last_name(item.value), Kind.TEXT), False)
    # `from project.settings import env`
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            readers |= {alias.asname or alias.name for alias in node.names if alias.name == "env"}
    return readers - {""}, schemes


def _is_cast(node: ast.expr) -> bool:
    return last_name(node) in CASTS or (isinstance(node, ast.Call) and last_name(node.func) in CASTS)
