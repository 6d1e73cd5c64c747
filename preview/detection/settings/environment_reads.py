"""Variables that source reads by a call: ``os.environ``, decouple, django-environ, environs, Starlette's Config."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from preview.detection.nodes import Nodes
from preview.detection.settings.model import Kind, Need, SettingRead

__all__ = ["environment_reads"]

_WORDS: Final = re.compile(rb"\benviron\b|getenv|decouple|starlette\.config|\bEnv\(|\bget_env|\benv[.(]")
_READER_CLASSES: Final = frozenset({"Config", "Env", "AutoConfig", "FileAwareEnv", "RepositoryEnv"})
_READER_MODULES: Final = frozenset({"decouple", "environ", "environs", "starlette.config", "prettyconf", "starlette"})
# `env.int("X")`: django-environ and environs.
_METHODS: Final = {
    "str": Kind.TEXT, "int": Kind.INTEGER, "integer": Kind.INTEGER, "bool": Kind.BOOLEAN, "boolean": Kind.BOOLEAN,
    "float": Kind.NUMBER, "decimal": Kind.NUMBER, "list": Kind.WORDS, "tuple": Kind.WORDS, "json": Kind.OBJECT,
    "dict": Kind.OBJECT, "url": Kind.URL, "db": Kind.DATABASE, "db_url": Kind.DATABASE, "dj_db_url": Kind.DATABASE,
    "email": Kind.EMAIL, "get_value": Kind.TEXT, "path": Kind.TEXT, "unicode": Kind.TEXT, "bytes": Kind.TEXT,
    "cache": Kind.URL, "cache_url": Kind.URL, "email_url": Kind.URL,
}  # fmt: skip
_CASTS: Final = {
    "int": Kind.INTEGER, "float": Kind.NUMBER, "bool": Kind.BOOLEAN, "strtobool": Kind.BOOLEAN,
    "str2bool": Kind.BOOLEAN,
    "Csv": Kind.WORDS, "CommaSeparatedStrings": Kind.WORDS, "loads": Kind.OBJECT, "URL": Kind.URL, "list": Kind.WORDS,
    "DatabaseURL": Kind.DATABASE, "literal_eval": Kind.OBJECT, "Path": Kind.TEXT, "Secret": Kind.TEXT,
}  # fmt: skip
# What they are given must be no None.
_STRICT_CASTS: Final = frozenset({"int", "float", "loads", "literal_eval", "Path", "strtobool", "timedelta", "Secret"})
_STRICT_METHODS: Final = frozenset(
    {"split", "lower", "upper", "strip", "replace", "encode", "startswith", "endswith", "rstrip", "lstrip", "title"}
)


def environment_reads(nodes: Nodes, files: Iterable[str]) -> list[SettingRead]:
    """All such reads of the files, in order."""
    names = [file for file in files if _WORDS.search(nodes.sources.text(file))]
    helpers = {name: need for file in names for name, need in _helpers(nodes, file)}
    called = (
        re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in helpers) + rb")\(") if helpers else None
    )
    found: list[SettingRead] = []
    for file in files:
        text = nodes.sources.text(file)
        if _WORDS.search(text) or (called is not None and called.search(text)):
            found += _Reader(file, nodes.all(file), helpers).reads()
    return found


def _helpers(nodes: Nodes, file: str) -> Iterator[tuple[str, Need]]:
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
            read = _environment_read(inner)
            if read is not None and isinstance(read.key, ast.Name) and read.key.id == first:
                raises = any(isinstance(item, ast.Raise) for item in ast.walk(node))
                strict = raises or read.subscript
                yield node.name, Need.REQUIRED if strict and len(node.args.args) == 1 else Need.OPTIONAL


@dataclass(frozen=True, slots=True)
class _Raw:
    """A read before its surroundings are looked at."""

    key: ast.expr
    subscript: bool
    default: ast.expr | None = None
    kind: Kind = Kind.TEXT
    # A reader that raises without a default.
    strict: bool = False


def _environment_read(node: ast.AST) -> _Raw | None:
    """``os.environ["X"]``, ``os.environ.get("X", …)``, ``os.getenv("X", …)``."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_environ(node.value):
        return _Raw(node.slice, subscript=True, strict=True)
    if isinstance(node, ast.Call) and node.args:
        name = _last(node.func)
        of_environ = isinstance(node.func, ast.Attribute) and _is_environ(node.func.value) and name == "get"
        if name == "getenv" or of_environ:
            default = node.args[1] if len(node.args) > 1 else _keyword(node, "default")
            return _Raw(node.args[0], subscript=False, default=default)
    return None


def _is_environ(node: ast.AST) -> bool:
    """``os.environ`` or ``environ``, and not a request's ``request.environ``."""
    if isinstance(node, ast.Attribute) and node.attr == "environ":
        return isinstance(node.value, ast.Name) and node.value.id in {"os", "_os"}
    return isinstance(node, ast.Name) and node.id == "environ"


class _Reader:
    """Reads one file."""

    def __init__(self, file: str, nodes: Sequence[ast.AST], helpers: dict[str, Need]) -> None:
        self._file = file
        self._nodes = nodes
        self._helpers = helpers
        self._parents: dict[ast.AST, ast.AST] = {}
        self._readers, self._schemes = _find_readers(nodes)
        self._given = set(_given_here(nodes))
        self._refused = set(_refused(nodes))

    def reads(self) -> list[SettingRead]:
        """What the file reads, less what it sets itself."""
        raws = [(node, raw) for node in self._nodes if (raw := _environment_read(node) or self._reader_call(node))]
        if raws:
            self._parents = {child: node for node in self._nodes for child in ast.iter_child_nodes(node)}
        found = [
            self._read(node, raw, raw.key.value)
            for node, raw in raws
            if isinstance(raw.key, ast.Constant) and isinstance(raw.key.value, str)
        ]
        return [read for read in found if read.name.isidentifier()]

    def _reader_call(self, node: ast.AST) -> _Raw | None:
        if not isinstance(node, ast.Call):
            return None
        func = node.func
        if isinstance(func, ast.Name) and func.id in self._helpers and node.args:
            strict = self._helpers[func.id] is Need.REQUIRED
            return _Raw(node.args[0], False, node.args[1] if len(node.args) > 1 else None, strict=strict)
        if isinstance(func, ast.Name) and func.id in self._readers:
            kind = Kind.TEXT
        elif isinstance(func, ast.Attribute) and _last(func.value) in self._readers and func.attr in _METHODS:
            kind = _METHODS[func.attr]
        else:
            return None
        default = _keyword(node, "default")
        if default is None and len(node.args) > 1 and not _is_cast(node.args[1]):
            default = node.args[1]
        cast = _keyword(node, "cast") or (node.args[1] if len(node.args) > 1 and _is_cast(node.args[1]) else None)
        kind = _CASTS.get(_last(cast), kind) if cast is not None else kind
        key: ast.expr = node.args[0] if node.args else ast.Constant("DATABASE_URL")
        if not node.args and kind is not Kind.DATABASE:
            return None
        name = key.value if isinstance(key, ast.Constant) else None
        if isinstance(name, str) and name in self._schemes:
            scheme_kind, has_default = self._schemes[name]
            return _Raw(key, False, ast.Constant("") if has_default else default, scheme_kind, strict=not has_default)
        return _Raw(key, False, default, kind, strict=True)

    def _read(self, node: ast.AST, raw: _Raw, name: str) -> SettingRead:
        read = SettingRead(name, self._file, getattr(node, "lineno", 1), Need.OPTIONAL, raw.kind)
        if raw.default is not None and not _is_none(raw.default):
            return replace(self._typed(read, node), need=Need.DEFAULTED, default=_text(raw.default))
        if raw.default is not None:
            return replace(self._typed(read, node), need=Need.DEFAULTED)
        read = self._typed(read, node)
        if self._has_fallback(node) or name in self._given:
            return replace(read, need=Need.DEFAULTED, default=self._fallback(node))
        if raw.strict or read.need is Need.REQUIRED or self._is_refused(node):
            return replace(read, need=Need.REQUIRED)
        return read

    def _typed(self, read: SettingRead, node: ast.AST) -> SettingRead:
        """What the surroundings make of it: ``int(…)``, ``….split(",")``, ``… == "true"``."""
        parent = self._parents.get(node)
        while isinstance(parent, ast.BoolOp):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call) and node in parent.args:
            name = _last(parent.func)
            kind = _CASTS.get(name, read.kind)
            return replace(read, kind=kind, need=Need.REQUIRED if name in _STRICT_CASTS else read.need)
        if isinstance(parent, ast.keyword) and parent.arg in {"minutes", "hours", "days", "seconds", "port"}:
            return replace(read, kind=Kind.INTEGER, need=Need.REQUIRED)
        if isinstance(parent, ast.Attribute) and parent.attr in _STRICT_METHODS:
            outer = self._parents.get(self._parents.get(parent, parent), parent)
            compared = isinstance(outer, ast.Compare)
            kind = Kind.WORDS if parent.attr == "split" else Kind.BOOLEAN if compared else read.kind
            return replace(read, kind=kind, need=Need.REQUIRED)
        if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add | ast.Div):
            return replace(read, need=Need.REQUIRED)
        if isinstance(parent, ast.Compare):
            return replace(read, kind=Kind.BOOLEAN, choices=tuple(_constants(parent)))
        return read

    def _has_fallback(self, node: ast.AST) -> bool:
        """``… or "value"``, an ``if "X" in os.environ`` around it, a ``try`` that goes on without it."""
        parent = self._parents.get(node)
        if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.Or) and parent.values[-1] is not node:
            return not _is_none(parent.values[-1])
        while parent is not None:
            if isinstance(parent, ast.Try) and parent.handlers and not _raises(parent.handlers):
                return True
            if isinstance(parent, ast.If | ast.IfExp) and "environ" in ast.dump(parent.test):
                return True
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                return False
            parent = self._parents.get(parent)
        return False

    def _fallback(self, node: ast.AST) -> str | None:
        parent = self._parents.get(node)
        return _text(parent.values[-1]) if isinstance(parent, ast.BoolOp) else None

    def _is_refused(self, node: ast.AST) -> bool:
        """It is given a name, and the file raises when that name holds nothing."""
        parent = self._parents.get(node)
        if isinstance(parent, ast.AnnAssign | ast.NamedExpr):
            targets: list[ast.expr] = [parent.target]
        else:
            targets = parent.targets if isinstance(parent, ast.Assign) else []
        return any(_last(target) in self._refused for target in targets)


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
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _last(node.value.func) in known:
            readers |= {_last(target) for target in node.targets}
            for item in node.value.keywords:
                if item.arg and isinstance(item.value, ast.Tuple) and item.value.elts:
                    kind = _CASTS.get(_last(item.value.elts[0]), Kind.TEXT)
                    schemes[item.arg] = (kind, len(item.value.elts) > 1)
                elif item.arg:
                    schemes[item.arg] = (_CASTS.get(_last(item.value), Kind.TEXT), False)
    # `from project.settings import env`
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            readers |= {alias.asname or alias.name for alias in node.names if alias.name == "env"}
    return readers - {""}, schemes


def _given_here(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Variables that the file sets itself."""
    for node in nodes:
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _last(node.value) == "environ":
            key = node.slice
        elif (
            isinstance(node, ast.Call)
            and _last(node.func) == "setdefault"
            and node.args
            and "environ" in ast.dump(node.func)
        ):
            key = node.args[0]
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _refused(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Names whose emptiness ends the program: ``if not KEY: raise …``, ``assert KEY``."""
    for node in nodes:
        if isinstance(node, ast.Assert):
            yield from _asserted(node.test)
        elif isinstance(node, ast.If) and _raises(node.body):
            yield from _empty(node.test)


def _asserted(test: ast.expr) -> Iterator[str]:
    """``assert KEY``, ``assert KEY is not None``."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot | ast.NotEq):
        yield _last(test.left)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from _asserted(value)
    else:
        yield _last(test)


def _empty(test: ast.expr) -> Iterator[str]:
    """``not KEY``, ``KEY is None``, ``len(KEY) < 32``, several of them with ``or``."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        for value in test.values:
            yield from _empty(value)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        # `not all([A, B])`
        members = test.operand.args[0] if isinstance(test.operand, ast.Call) and test.operand.args else test.operand
        yield from (_last(item) for item in (members.elts if isinstance(members, ast.List | ast.Tuple) else [members]))
    elif isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.Eq | ast.Lt):
        left = test.left.args[0] if isinstance(test.left, ast.Call) and test.left.args else test.left
        yield _last(left)


def _raises(body: Iterable[ast.AST]) -> bool:
    for node in body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Raise):
                return True
            if isinstance(inner, ast.Call) and _last(inner.func) in {"exit", "_exit", "abort"}:
                return True
    return False


def _constants(node: ast.Compare) -> Iterator[str]:
    for item in (node.left, *node.comparators):
        members = item.elts if isinstance(item, ast.Tuple | ast.List | ast.Set) else [item]
        for member in members:
            if isinstance(member, ast.Constant) and isinstance(member.value, str):
                yield member.value


def _is_cast(node: ast.expr) -> bool:
    return _last(node) in _CASTS or (isinstance(node, ast.Call) and _last(node.func) in _CASTS)


def _keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in node.keywords if item.arg == name), None)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.expr) -> str | None:
    """A constant's text; a joined text with ``*`` for what is not written down."""
    if isinstance(node, ast.Constant) and node.value is not None:
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(item.value) if isinstance(item, ast.Constant) else "*" for item in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{_text(node.left) or '*'}{_text(node.right) or '*'}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _text(node.func.value)
    return None


def _last(node: ast.AST | None) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
