"""Find variables that Python source reads by a call, and infer their types, defaults and needs from the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from preview.detection.expressions import is_empty, is_none, keyword, last_name, written_text
from preview.detection.project_imports import Nodes
from preview.detection.settings.allowed_values import Tables, compared_values, harmless_first, lookups, stored_once
from preview.detection.settings.config_objects import ConfigObjects
from preview.detection.settings.dotenv_reads import dotenv_names, dotenv_read
from preview.detection.settings.model import CONFIG_CLASS, Kind, Need, RawRead, SettingRead, raises, refused_when_empty
from preview.detection.settings.named_texts import NamedTexts

_READER_CLASSES: Final = frozenset({"Config", "Env", "AutoConfig", "FileAwareEnv", "RepositoryEnv"})
# Keys of a request's environ (PEP 3333, RFC 3875).
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
    "int": Kind.INTEGER, "float": Kind.NUMBER, **dict.fromkeys(("bool", "strtobool", "str2bool"), Kind.BOOLEAN),
    "Csv": Kind.WORDS, "CommaSeparatedStrings": Kind.WORDS, "loads": Kind.OBJECT, "URL": Kind.URL, "list": Kind.WORDS,
    "DatabaseURL": Kind.DATABASE, "literal_eval": Kind.OBJECT, "Path": Kind.TEXT, "Secret": Kind.TEXT,
}  # fmt: skip


def environment_read(node: ast.AST) -> RawRead | None:
    """Match ``os.environ["X"]``, ``os.environ.get("X", …)`` and ``os.getenv("X", …)``."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_environ(node.value, node.slice):
        return RawRead(node.slice, subscript=True, strict=True)
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        key = node.args[0] if node.args else keyword(node, "key") if name == "getenv" else None
        if key is not None and (name == "getenv" or (name == "get" and owner is not None and _is_environ(owner, key))):
            default = node.args[1] if len(node.args) > 1 else keyword(node, "default")
            return RawRead(key, subscript=False, default=default)
    return None


def _is_environ(node: ast.AST, key: ast.AST) -> bool:
    """Match ``os.environ`` and ``environ``, but not ``request.environ`` or the environ of a WSGI request."""
    if isinstance(node, ast.Attribute) and node.attr == "environ":
        return isinstance(node.value, ast.Name) and node.value.id in {"os", "_os"}
    own = isinstance(key, ast.Constant) and isinstance(key.value, str) and _REQUEST.fullmatch(key.value) is not None
    return isinstance(node, ast.Name) and node.id == "environ" and not own


@dataclass(frozen=True, slots=True)
class Helper:
    """A function or method of the project that reads the variable named by its first argument: ``get_env("X")``.

    Attributes:
        parameter: The argument's name.
        is_method: Whether it is called on ``self`` or an object.
    """

    name: str
    need: Need
    parameter: str
    is_method: bool


# Methods of many other objects.
_COMMON_NAMES: Final = frozenset({"get", "read", "load", "value", "fetch", "lookup", "find"})


def own_readers(nodes: Nodes, file: str) -> Iterator[Helper]:
    """Yield the project's own functions and methods that read a variable."""
    lines = nodes.sources.text(file).split(b"\n")
    for node in nodes.all(file):
        if not isinstance(node, ast.FunctionDef) or not node.args.args:
            continue
        body = b"\n".join(lines[node.lineno - 1 : node.end_lineno])
        if b"environ" not in body and b"getenv" not in body:
            continue
        names = [one.arg for one in node.args.args]
        is_method = names[0] in {"self", "cls"}
        names = names[1:] if is_method else names
        for inner in ast.walk(node):
            read = environment_read(inner)
            if read is not None and names and isinstance(read.key, ast.Name) and read.key.id == names[0]:
                raises = any(isinstance(item, ast.Raise) for item in ast.walk(node))
                strict = (raises or read.subscript) and len(names) == 1
                yield Helper(node.name, Need.REQUIRED if strict else Need.OPTIONAL, names[0], is_method)


class ReaderCalls:
    """The calls of one file that read variables through a package or the project's own functions."""

    def __init__(self, nodes: Sequence[ast.AST], helpers: Mapping[str, Helper]) -> None:
        self._helpers = helpers
        self._readers, self._schemes = _find_readers(nodes)

    def read(self, node: ast.AST) -> RawRead | None:
        """Return the variable that this expression reads, or None."""
        if not isinstance(node, ast.Call):
            return None
        func = node.func
        helper = self._helper(func)
        own_key = (node.args[0] if node.args else keyword(node, helper.parameter)) if helper is not None else None
        if helper is not None and own_key is not None:
            given = node.args[1] if len(node.args) > 1 else keyword(node, "default")
            return RawRead(own_key, False, given, strict=helper.need is Need.REQUIRED)
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

    def _helper(self, func: ast.expr) -> Helper | None:
        """Return the project's helper that is called; a method of a common name only on ``self`` and ``cls``."""
        found = self._helpers.get(last_name(func))
        if found is None or not isinstance(func, ast.Name | ast.Attribute):
            return None
        if found.is_method and isinstance(func, ast.Name):
            return None
        if isinstance(func, ast.Attribute) and found.name in _COMMON_NAMES:
            return found if last_name(func.value) in {"self", "cls"} else None
        return found


def _find_readers(nodes: Sequence[ast.AST]) -> tuple[set[str], dict[str, tuple[Kind, bool]]]:
    """Return the names that read a variable when called, and the scheme of ``Env(DEBUG=(bool, False))``."""
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
    # `from project.settings import env`, `from .base import *`
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            readers |= {alias.asname or alias.name for alias in node.names if alias.name == "env"}
            readers |= {"env" for alias in node.names if alias.name == "*"}
    return readers - {""}, schemes


def _is_cast(node: ast.expr) -> bool:
    return last_name(node) in CASTS or (isinstance(node, ast.Call) and last_name(node.func) in CASTS)


_WORDS: Final = re.compile(rb"\benviron\b|getenv|dotenv_values|decouple|starlette\.config|\bEnv\(|\bget_env|\benv[.(]")
# Each match of the pattern contains one of these, which are found in a tenth of its time.
_WORD_PARTS: Final = (b"env", b"Env(", b"decouple", b"starlette.config")
# Settings that may not be None: sessions of Flask, Django and Flask-Session, and Flask-Babel.
_NEEDED: Final = frozenset({"SECRET_KEY", "SESSION_COOKIE_NAME", "SESSION_TYPE", "BABEL_DEFAULT_LOCALE"})
# Their argument cannot be None.
_STRICT_CASTS: Final = frozenset({"int", "float", "loads", "literal_eval", "Path", "strtobool", "timedelta", "Secret"})
_STRICT_METHODS: Final = frozenset(
    {"split", "lower", "upper", "strip", "replace", "encode", "startswith", "endswith", "rstrip", "lstrip", "title"}
)


def environment_reads(nodes: Nodes, files: Iterable[str]) -> list[SettingRead]:
    """Return all reads of variables in the files, in order."""
    texts = {file: nodes.sources.text(file) for file in files}
    names = [file for file, text in texts.items() if any(map(text.__contains__, _WORD_PARTS)) and _WORDS.search(text)]
    helpers = {helper.name: helper for file in names for helper in own_readers(nodes, file)}
    called = (
        re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in helpers) + rb")\(") if helpers else None
    )
    found: list[SettingRead] = []
    tables = cache(lambda: Tables(nodes, texts))
    objects = cache(lambda: ConfigObjects(nodes, texts))
    for file, text in texts.items():
        if file in names or (called is not None and called.search(text)):
            reader = _Reader(file, nodes.all(file), helpers, tables, objects)
            found += reader.reads()
            if reader.has_named_keys:
                found += reader.named_reads(NamedTexts(nodes, texts))
    return found


class _Reader:
    """Finds the reads of one file."""

    def __init__(
        self,
        file: str,
        nodes: Sequence[ast.AST],
        helpers: dict[str, Helper],
        tables: Callable[[], Tables],
        objects: Callable[[], ConfigObjects],
    ) -> None:
        self._file, self._tables = file, tables
        calls, boxes = ReaderCalls(nodes, helpers), dotenv_names(nodes)
        self._raws = [
            (node, raw)
            for node in nodes
            if (raw := environment_read(node) or dotenv_read(node, boxes) or calls.read(node))
        ]
        self._parents: dict[ast.AST, ast.AST] = {}
        if self._raws:
            self._parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
        self._given = set(_given_here(nodes))
        self._refused = frozenset(refused_when_empty(nodes)) if self._raws else frozenset()
        self._refused_names = frozenset(map(last_name, self._refused))
        self._objects = objects().among(nodes) if self._raws else frozenset()
        self._object_names = frozenset(one.id for one in self._objects if isinstance(one, ast.Name))
        self._stored = stored_once(nodes) if self._raws else frozenset()
        self._lookups = lookups(nodes, self._parents) if self._raws else {}
        self._compared = compared_values(nodes, self._subject, objects().fails) if self._raws else {}

    def reads(self) -> list[SettingRead]:
        """Return the variables that the file reads, except those it sets itself."""
        found = [
            self._read(node, raw, raw.key.value)
            for node, raw in self._raws
            if isinstance(raw.key, ast.Constant) and isinstance(raw.key.value, str)
        ]
        return [read for read in found if read.name.isidentifier()]

    @property
    def has_named_keys(self) -> bool:
        """True if the file reads variables whose names stand elsewhere: ``os.environ[KEY]``."""
        return any(isinstance(raw.key, ast.Name | ast.Attribute) for _, raw in self._raws)

    def named_reads(self, texts: NamedTexts) -> list[SettingRead]:
        """Return the variables that the file reads under names of the project's own."""
        named = [(node, raw, texts.text(raw.key)) for node, raw in self._raws if not isinstance(raw.key, ast.Constant)]
        return [self._read(node, raw, name) for node, raw, name in named if name is not None and name.isidentifier()]

    def _read(self, node: ast.AST, raw: RawRead, name: str) -> SettingRead:
        line, kept = getattr(node, "lineno", 1), self._kept_as(node)
        read = SettingRead(name, self._file, line, Need.OPTIONAL, raw.kind, field=kept)
        read = self._typed(read, node)
        if self._is_object(node) and (raw.default is None or is_none(raw.default)) and not self._has_fallback(node):
            must = raw.subscript or raw.strict
            return replace(read, need=Need.REQUIRED, annotation=CONFIG_CLASS if must else f"{CONFIG_CLASS}?")
        if raw.default is not None and not (is_empty(raw.default) and self._is_refused(node)):
            default = None if is_none(raw.default) else written_text(raw.default)
            return replace(read, need=Need.DEFAULTED, default=default, has_default=not is_none(raw.default))
        if self._has_fallback(node) or name in self._given:
            return replace(read, need=Need.DEFAULTED, default=self._fallback(node), has_default=True)
        if allowed := self._allowed(node, name):
            return replace(read, need=Need.REQUIRED, kind=Kind.TEXT, choices=harmless_first(allowed))
        if raw.strict or read.need is Need.REQUIRED or self._is_refused(node):
            return replace(read, need=Need.REQUIRED)
        return read

    def _subject(self, node: ast.expr) -> str:
        """Return ``$X`` for a read of the variable ``X``, and a name that is bound once."""
        raw = environment_read(node)
        if raw is not None and raw.default is None and isinstance(raw.key, ast.Constant):
            return f"${raw.key.value}" if isinstance(raw.key.value, str) else ""
        name = last_name(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        return name if name in self._stored else ""

    def _allowed(self, node: ast.AST, name: str) -> tuple[str, ...]:
        """Return the values of which the source wants one."""
        targets = [one for one in self._target_names(node) if one in self._stored]
        found = next((self._compared[one] for one in (f"${name}", *targets) if one in self._compared), ())
        found = found or self._tables().configured(self._kept_as(node)) or self._tables().keys_for(node, self._parents)
        tables = (self._lookups.get(one, "") for one in targets)
        return found or next((keys for table in tables if (keys := self._tables().keys(table))), ())

    def _typed(self, read: SettingRead, node: ast.AST) -> SettingRead:
        """Add the type from the surrounding code: ``int(…)``, ``….split(",")``, ``… == "true"``."""
        parent = self._parents.get(node)
        while isinstance(parent, ast.BoolOp):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call) and parent is self._parents.get(node) and node is not parent.func:
            name = last_name(parent.func)
            kind = CASTS.get(name, read.kind)
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
        if isinstance(parent, ast.Assign) and node is parent.value and any(map(_is_database_url, parent.targets)):
            return replace(read, kind=Kind.DATABASE, need=Need.REQUIRED)
        if isinstance(parent, ast.Assign) and any(last_name(target) in _NEEDED for target in parent.targets):
            return replace(read, need=Need.REQUIRED)
        if isinstance(parent, ast.Compare) and not isinstance(parent.ops[0], ast.Is | ast.IsNot):
            return replace(read, kind=Kind.BOOLEAN, choices=tuple(_constants(parent)))
        return read

    def _has_fallback(self, node: ast.AST) -> bool:
        """Match ``… or "value"``, an enclosing ``if "X" in os.environ``, and a ``try`` that continues without it."""
        child, parent = node, self._parents.get(node)
        if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.Or) and parent.values[-1] is not node:
            return not is_none(parent.values[-1])
        while parent is not None:
            if isinstance(parent, ast.Try) and parent.handlers and not raises(parent.handlers):
                return True
            if isinstance(parent, ast.If | ast.IfExp) and _asks_for_variable(parent.test, is_read=child is parent.test):
                return True
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                return False
            child, parent = parent, self._parents.get(parent)
        return False

    def _fallback(self, node: ast.AST) -> str | None:
        parent = self._parents.get(node)
        return written_text(parent.values[-1]) if isinstance(parent, ast.BoolOp) else None

    def _is_refused(self, node: ast.AST) -> bool:
        """Return true if the file raises when the variable has no value."""
        return node in self._refused or any(name in self._refused_names for name in self._target_names(node))

    def _is_object(self, node: ast.AST) -> bool:
        """Return whether Flask's configuration is read from the class that the variable names."""
        return node in self._objects or any(name in self._object_names for name in self._target_names(node))

    def _kept_as(self, node: ast.AST) -> str:
        """Return the name that gets the value, also within ``int(…)`` and ``… or "x"``; empty if there is none."""
        while isinstance(self._parents.get(node), ast.Call | ast.BoolOp):
            node = self._parents[node]
        return next(iter(self._target_names(node)), "")

    def _target_names(self, node: ast.AST) -> list[str]:
        parent = self._parents.get(node)
        if isinstance(parent, ast.AnnAssign | ast.NamedExpr):
            return [last_name(parent.target)]
        return [last_name(target) for target in parent.targets] if isinstance(parent, ast.Assign) else []


def _asks_for_variable(test: ast.expr, *, is_read: bool) -> bool:
    """Return whether a condition asks if a variable is there; one that reads it itself asks with ``in`` only."""
    if is_read:
        return any(isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In) for node in ast.walk(test))
    return "environ" in ast.dump(test)


def _is_database_url(target: ast.expr) -> bool:
    """Match ``SQLALCHEMY_DATABASE_URI``, an attribute of this name, and ``config["SQLALCHEMY_DATABASE_URI"]``."""
    key = target.slice.value if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant) else None
    return "SQLALCHEMY_DATABASE_URI" in (key, last_name(target))


def _given_here(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the variables that the file sets itself."""
    for node in nodes:
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and last_name(node.value) == "environ":
            key = node.slice
        elif (
            isinstance(node, ast.Call)
            and last_name(node.func) == "setdefault"
            and node.args
            and "environ" in ast.dump(node.func)
        ):
            key = node.args[0]
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _constants(node: ast.Compare) -> Iterator[str]:
    for item in (node.left, *node.comparators):
        members = item.elts if isinstance(item, ast.Tuple | ast.List | ast.Set) else [item]
        for member in members:
            if isinstance(member, ast.Constant) and isinstance(member.value, str):
                yield member.value
