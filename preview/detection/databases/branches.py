"""Find which statements of a module decide a variable in a preview, as far as static reading can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from preview.detection.expressions import holds_in_preview, keyword, last_name

UNKNOWN: Final = object()
"""Value of an expression that static reading cannot tell."""

RETURN: Final = "return"
"""Name of the values that a function returns, which no variable can have."""

Setting = ast.Assign | ast.AnnAssign | ast.Expr | ast.Return
"""A statement with a value that sets a variable, or a part of it, or is returned."""

# `os.environ.get("X")`, `os.getenv("X")`, and the calls of django-environ, decouple and environs.
_READERS: Final = frozenset({"get", "getenv", "env", "config", "bool", "str", "int", "__call__", "get_env", "env_bool"})
_OWNERS: Final = frozenset({"environ", "os", "env", "config", "decouple", "environs"})
_TRUE: Final = frozenset({"true", "1", "yes", "on", "y", "t", "ok"})
# A variable of such a name is given the value that chooses SQLite.
_CHOOSES: Final = re.compile(r"SQLITE|DB_TYPE|DATABASE_TYPE|ENGINE", re.IGNORECASE)
_URL_CALLS: Final = re.compile(r"dj_database_url|db_url|\.db\b|\bdatabase_url", re.IGNORECASE)
_MOST_DEEP: Final = 20


class Branches:
    """Evaluates the conditions of one settings module.

    Args:
        tree: The module.
        values: Values of environment variables in the preview; a name that is missing is not set.
        choose: Conditions between SQLite and a server cannot be told, because the preview chooses.
    """

    def __init__(self, tree: ast.Module, values: Mapping[str, str], *, choose: bool = True) -> None:
        self._tree = tree
        self._choose = choose
        self._values = values
        self._constants: dict[str, ast.expr | None] = {}
        for node in ast.walk(tree):
            for target in _targets(node):
                # A name that is assigned twice has no known value.
                self._constants[target] = None if target in self._constants else getattr(node, "value", None)

    def statements(self, name: str, body: Iterable[ast.stmt] | None = None) -> list[Setting]:
        """Return the statements that set or update a variable, in order; of a decided condition, one branch's.

        A whole assignment replaces those before it. A condition that cannot be told keeps all its branches; without
        an ``else``, the default before it is taken.

        Args:
            name: The variable: ``DATABASES``, or ``return`` for the values that a function may return.
            body: Of a function; else the module's.
        """
        found: list[Setting] = []
        self._collect(self._tree.body if body is None else body, name, found, sure=True)
        return found

    def _collect(self, body: Iterable[ast.stmt], name: str, found: list[Setting], *, sure: bool) -> bool:
        """Add the statements; return True if the body surely ends in ``return`` or ``raise``."""
        for node in body:
            ends = False
            if isinstance(node, ast.If):
                ends = self._collect_if(node, name, found, sure=sure)
            elif isinstance(node, ast.Try):
                ends = self._collect([*node.body, *node.orelse, *node.finalbody], name, found, sure=sure)
            elif isinstance(node, ast.With):
                ends = self._collect(node.body, name, found, sure=sure)
            elif isinstance(node, ast.Return | ast.Raise):
                ends = True
                if isinstance(node, ast.Return) and name == RETURN:
                    found.append(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) and _names(node, name):
                if sure and _replaces(node):
                    found.clear()
                found.append(node)
            if ends:
                return True
        return False

    def _collect_if(self, node: ast.If, name: str, found: list[Setting], *, sure: bool) -> bool:
        all_end = True
        while True:
            told = self.is_true(node.test)
            if told is None:
                # It may be another branch: nothing before it is replaced.
                if node.orelse or not found or self._chooses(node.test) or name == RETURN:
                    all_end = self._collect(node.body, name, found, sure=False) and all_end
                else:
                    all_end = False
                sure = False
            elif told:
                return self._collect(node.body, name, found, sure=sure) and all_end
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                return self._collect(node.orelse, name, found, sure=sure) and all_end
            node = node.orelse[0]

    def is_true(self, test: ast.expr) -> bool | None:
        """Return whether the condition holds; None if it is not known, or chooses between databases."""
        if self._chooses(test):
            return None
        if (told := holds_in_preview(test)) is not None:
            return told
        try:
            value = self.value(test)
        except (RecursionError, TypeError, ValueError):
            return None
        return None if value is UNKNOWN else bool(value)

    def _chooses(self, test: ast.expr) -> bool:
        return self._choose and _chooses(test)

    def value(self, node: ast.expr | None, deep: int = 0) -> object:
        """Return the expression's value, or ``UNKNOWN``."""
        if node is None or deep > _MOST_DEEP:
            return UNKNOWN
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self.value(self._constants.get(node.id), deep + 1)
            case ast.UnaryOp(op=ast.Not()):
                value = self.value(node.operand, deep + 1)
                return UNKNOWN if value is UNKNOWN else not value
            case ast.BoolOp():
                return self._joined(node, deep)
            case ast.Compare():
                return self._compared(node, deep)
            case ast.List() | ast.Tuple() | ast.Set():
                values = [self.value(item, deep + 1) for item in node.elts]
                return UNKNOWN if UNKNOWN in values else values
            case ast.IfExp():
                test = self.value(node.test, deep + 1)
                return UNKNOWN if test is UNKNOWN else self.value(node.body if test else node.orelse, deep + 1)
            case ast.Subscript():
                is_environment, name = last_name(node.value) == "environ", _text(node.slice)
                return self._values.get(name, UNKNOWN) if is_environment and name else UNKNOWN
            case ast.Call():
                return self._called(node, deep)
        return UNKNOWN

    def _joined(self, node: ast.BoolOp, deep: int) -> object:
        ends_at = isinstance(node.op, ast.Or)
        value: object = UNKNOWN
        is_known = True
        for item in node.values:
            value = self.value(item, deep + 1)
            if value is UNKNOWN:
                is_known = False
            elif bool(value) is ends_at:
                # `X or True` is true whatever X is; its value is not known, but its truth is.
                return value
        return value if is_known else UNKNOWN

    def _compared(self, node: ast.Compare, deep: int) -> object:
        if len(node.ops) != 1:
            return UNKNOWN
        operator, right = node.ops[0], node.comparators[0]
        if isinstance(operator, ast.In | ast.NotIn) and last_name(right) in {"argv", "modules", "environ"}:
            # A preview runs no tests: `"test" in sys.argv`.
            name = _text(node.left)
            if name is None:
                return UNKNOWN
            is_in = last_name(right) == "environ" and name in self._values
            return is_in is isinstance(operator, ast.In)
        left, other = self.value(node.left, deep + 1), self.value(right, deep + 1)
        if left is UNKNOWN or other is UNKNOWN:
            return UNKNOWN
        match operator:
            case ast.Eq() | ast.Is():
                return left == other
            case ast.NotEq() | ast.IsNot():
                return left != other
            case ast.In() if isinstance(other, list | str):
                return str(left) in other if isinstance(other, str) else left in other
            case ast.NotIn() if isinstance(other, list | str):
                return str(left) not in other if isinstance(other, str) else left not in other
        return UNKNOWN

    def _called(self, node: ast.Call, deep: int) -> object:
        name = last_name(node.func)
        if isinstance(node.func, ast.Attribute) and name in {"lower", "upper", "strip"} and not node.args:
            value = self.value(node.func.value, deep + 1)
            return getattr(value, name)() if isinstance(value, str) else UNKNOWN
        if name in {"bool", "str", "int", "strtobool"} and isinstance(node.func, ast.Name) and len(node.args) == 1:
            value = self.value(node.args[0], deep + 1)
            return UNKNOWN if value is UNKNOWN else _cast(name, value)
        return self._read(node, name, deep)

    def _read(self, node: ast.Call, name: str, deep: int) -> object:
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        variable = _text(node.args[0]) if node.args else None
        if variable is None or name not in _READERS or (owner is not None and last_name(owner) not in _OWNERS):
            return UNKNOWN
        given = keyword(node, "default") or (node.args[1] if len(node.args) > 1 else None)
        cast = "bool" if name in {"bool", "env_bool"} else last_name(keyword(node, "cast"))
        if variable in self._values:
            return _cast(cast, self._values[variable])
        if given is not None:
            value = self.value(given, deep + 1)
            return UNKNOWN if value is UNKNOWN else _cast(cast, value)
        # `config("X")` without a default raises.
        return None if name in {"get", "getenv"} else UNKNOWN


def _cast(cast: str, value: object) -> object:
    if cast == "strtobool" or (cast == "bool" and isinstance(value, str)):
        return str(value).strip().lower() in _TRUE
    if cast == "int" and isinstance(value, str):
        return int(value) if re.fullmatch(r"-?\d{1,9}", value) else UNKNOWN
    return value


def has_url(node: ast.AST) -> bool:
    """Return whether a statement takes a database's address from a URL: ``env.db()``, ``dj_database_url.config()``."""
    return any(isinstance(inner, ast.Call) and _URL_CALLS.search(ast.unparse(inner.func)) for inner in ast.walk(node))


def _targets(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AugAssign | ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _names(node: ast.Assign | ast.AnnAssign | ast.Expr, name: str) -> bool:
    nodes: list[ast.expr]
    if isinstance(node, ast.Assign):
        nodes = node.targets
    elif isinstance(node, ast.AnnAssign):
        nodes = [node.target] if node.value is not None else []
    else:
        nodes = [node.value.func] if isinstance(node.value, ast.Call) else []
    return any(isinstance(inner, ast.Name) and inner.id == name for one in nodes for inner in ast.walk(one))


def _replaces(node: ast.Assign | ast.AnnAssign | ast.Expr) -> bool:
    """Return whether the statement sets ``DATABASES`` or ``DATABASES["default"]`` as a whole."""
    if isinstance(node, ast.Expr):
        return False
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return isinstance(target, ast.Name) or (
        isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and _text(target.slice) == "default"
    )


def _chooses(test: ast.expr) -> bool:
    names = (inner.id for inner in ast.walk(test) if isinstance(inner, ast.Name))
    texts = (text for inner in ast.walk(test) if (text := _text(inner)))
    return any(_CHOOSES.search(one) for one in (*names, *texts))


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
