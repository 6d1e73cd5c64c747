"""Model of the variables that a project's source reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from preview.detection.expressions import last_name
from preview.detection.plan import Origin, Variable
from preview.sources import Sources


class Kind(StrEnum):
    """The type to which the source converts a variable's text."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    WORDS = "words"
    OBJECT = "object"
    EMAIL = "email"
    URL = "url"
    DATABASE = "database"


class Need(StrEnum):
    """Consequence of a missing variable."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    DEFAULTED = "defaulted"


@dataclass(frozen=True, slots=True)
class RawRead:
    """A read of a variable, without the surrounding code.

    Attributes:
        subscript: ``os.environ["X"]``, not a call.
        default: The default's expression; None without a default.
        strict: The reader raises without a default.
    """

    key: ast.expr
    subscript: bool
    default: ast.expr | None = None
    kind: Kind = Kind.TEXT
    strict: bool = False


@dataclass(frozen=True, slots=True)
class SettingRead:
    """One place where a variable is read.

    Attributes:
        need: The consequence if the variable is missing.
        kind: The value's type; ``LIST`` is JSON, ``WORDS`` is separated by commas.
        default: The default value's text, if the source contains it.
        choices: The allowed values, if the source lists them.
        annotation: The last part of the declared type, such as ``PostgresDsn``; empty without a declaration.
        least: The minimum length, or the minimum number.
        form: The form of a key, a ``KeyForm``; empty for all other values.
        has_default: The program has a value of its own, whose text may be unknown.
        field: The name under which the source keeps the value, such as ``db_host``; empty if it keeps it nowhere.
    """

    name: str
    file: str
    line: int
    need: Need
    kind: Kind = Kind.TEXT
    default: str | None = None
    choices: tuple[str, ...] = ()
    annotation: str = ""
    least: int = 0
    form: str = ""
    has_default: bool = False
    field: str = ""

    @property
    def where(self) -> str:
        """File and line: ``app/config.py:12``."""
        return f"{self.file}:{self.line}"


MAY_BE_ABSENT: Final = "optional"
"""Annotation of a read whose schema says that the variable may be absent: the program does without it."""

CONFIG_CLASS: Final = "config class"
"""Annotation of a read that names a class for ``app.config.from_object``, with ``?`` if it may be missing."""

_NAME: Final = re.compile(r"^(?:\w+_)?(?:SETTINGS|CONFIG_CLASS|CONFIG_OBJECT|CONFIGURATION)$")
_CLASS: Final = re.compile(rb"^class ((?:Dev|Development|Local)\w*|\w*Config|Config\w*)\b", re.MULTILINE)
_PREFERRED: Final = ("DevelopmentConfig", "DevConfig", "LocalConfig", "Config")


def with_config_classes(
    variables: Mapping[str, Variable], reads: Mapping[str, SettingRead], sources: Sources, app_dir: str
) -> dict[str, Variable]:
    """Return the variables, with a development config class in place of a generated value.

    Without such a class, a variable that the program can do without has no value.
    """
    declared = {name: one.annotation for name, one in reads.items() if one.annotation.startswith(CONFIG_CLASS)}
    wanted = [
        name
        for name, one in variables.items()
        if (name in declared or _NAME.match(name)) and one.origin is Origin.MADE_UP
    ]
    if not wanted:
        return dict(variables)
    found = _find(sources, app_dir)
    left = [name for name in wanted if found is None and declared.get(name, "").endswith("?")]
    return {
        name: replace(one, value=found) if name in wanted and found else one
        for name, one in variables.items()
        if name not in left
    }


def _find(sources: Sources, app_dir: str) -> str | None:
    prefix = "" if app_dir == "." else f"{app_dir}/"
    for file in sources.names:
        name = file.rpartition("/")[2]
        if not file.startswith(prefix) or not re.search(r"config|settings", name):
            continue
        classes = [found.decode() for found in _CLASS.findall(sources.text(file))]
        chosen = next((one for one in _PREFERRED if one in classes), next(iter(classes), None))
        if chosen:
            module = file[len(prefix) :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return f"{module}.{chosen}"
    return None


def refused_when_empty(nodes: Sequence[ast.AST]) -> Iterator[ast.expr]:
    """Yield expressions that must not be empty: ``if not KEY: raise …``, ``assert os.getenv("KEY")``."""
    for node in nodes:
        if isinstance(node, ast.Assert):
            yield from _asserted(node.test)
        elif isinstance(node, ast.If) and raises(node.body):
            yield from _empty(node.test)


def _asserted(test: ast.expr) -> Iterator[ast.expr]:
    """Match ``assert KEY`` and ``assert KEY is not None``."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot | ast.NotEq):
        yield test.left
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from _asserted(value)
    else:
        yield from _members(test)


def _empty(test: ast.expr) -> Iterator[ast.expr]:
    """Match ``not KEY``, ``KEY is None``, ``len(KEY) < 32``, and several of these joined by ``or``."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        for value in test.values:
            yield from _empty(value)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _members(test.operand)
    elif isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.Eq | ast.Lt):
        given = test.comparators[0]
        # `if os.getenv("MODE") == "off": raise …` refuses a value, and takes none.
        is_value = isinstance(test.ops[0], ast.Eq) and isinstance(given, ast.Constant) and bool(given.value)
        if not (is_value and isinstance(test.left, ast.Call) and _is_read(test.left) and len(test.left.args) == 1):
            yield from _members(test.left)


def _members(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what ``all([A, B])`` and ``len(A)`` ask about; of a call that reads a variable, the call itself."""
    inner = node.args[0] if isinstance(node, ast.Call) and node.args and not _is_read(node) else node
    yield from inner.elts if isinstance(inner, ast.List | ast.Tuple) else [inner]


def _is_read(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in {"getenv", "get", "config"}


def raises(body: Iterable[ast.AST]) -> bool:
    """Return true if any of the nodes raises or exits."""
    return any(
        isinstance(inner, ast.Raise)
        or (isinstance(inner, ast.Call) and last_name(inner.func) in {"exit", "_exit", "abort"})
        for node in body
        for inner in ast.walk(node)
    )
