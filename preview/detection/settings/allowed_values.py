"""Values that the source allows a variable: it compares it with literals, or looks a dictionary up with it.

A list of values counts only if the program cannot go on with none of them: it raises, has no other key, or leaves a
name without a value.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from preview.detection.expressions import is_none, last_name
from preview.detection.project_imports import Nodes
from preview.detection.settings.model import raises

_MOST_VALUES: Final = 20
_MOST_ARGUMENTS: Final = 100
_MOST_CHAINS: Final = 50
# The first one is used, if none names an environment.
_HARMLESS: Final = ("no", "false", "0", "off", "local", "none")

_Branch = tuple[str, tuple[str, ...], Sequence[ast.stmt]]
_Parents = Mapping[ast.AST, ast.AST]


def harmless_first(values: Iterable[str]) -> tuple[str, ...]:
    """Return the values, those that turn something off first."""
    return tuple(sorted(dict.fromkeys(values), key=lambda one: one.lower() not in _HARMLESS))


def compared_values(
    nodes: Sequence[ast.AST],
    subject: Callable[[ast.expr], str],
    fails: Callable[[Sequence[ast.stmt]], bool] = raises,
) -> dict[str, tuple[str, ...]]:
    """Return the literals of conditions of which one must be true, by the subject that they compare.

    Args:
        nodes: All nodes of one file.
        subject: Returns what an expression stands for; empty for whatever is not of interest.
        fails: Whether the program cannot go on after statements.
    """
    found: dict[str, tuple[str, ...]] = {}
    followers = {node.orelse[0] for node in nodes if isinstance(node, ast.If) and len(node.orelse) == 1}
    left = _MOST_CHAINS
    for node in nodes:
        if isinstance(node, ast.Assert) and (branch := _branch(node.test, (), subject)) and branch[0][:1] != "!":
            found.setdefault(branch[0], branch[1])
        body = node.body if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) else ()
        chains: dict[str, list[_Branch]] = {}
        statements: dict[str, list[ast.stmt]] = {}
        for one in body:
            branches, rest = _chain(one, subject) if isinstance(one, ast.If) and one not in followers else ([], [])
            name = branches[0][0] if branches else ""
            if not name or any(branch[0] != name for branch in branches):
                continue
            if name.startswith("!"):
                if len(branches) == 1 and raises(branches[0][2]):
                    found.setdefault(name[1:], branches[0][1])
            elif rest and fails(rest):
                found.setdefault(name, _all_of(branches))
            elif not rest:
                chains.setdefault(name, []).extend(branches)
                statements.setdefault(name, []).append(one)
        # Once for all chains: a file may have many, and long ones.
        bound = _count_bound(body) if chains and left > 0 else Counter()
        for name, branches in chains.items():
            if len(branches) > 1 and left > 0 and _leaves_unbound(bound, statements[name], branches):
                found.setdefault(name, _all_of(branches))
            left -= 1
    return {name: values[:_MOST_VALUES] for name, values in found.items() if values}


def _configured_values(nodes: Nodes, files: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the literals of which ``app.config["X"]`` has to be one, by ``X``: no other value sets what they all set.

    A chain ``if app.config["X"] == "a": store = … elif app.config["X"] == "b": store = …`` has no ``else``.
    """
    found: dict[str, tuple[str, ...]] = {}
    left = _MOST_CHAINS
    for file in files:
        text = nodes.sources.text(file)
        inner = nodes.all(file) if b"config" in text and b"elif" in text else ()
        ifs = [node for node in inner if isinstance(node, ast.If)]
        followers = {node.orelse[0] for node in ifs if len(node.orelse) == 1}
        everywhere: Counter[str] | None = None
        for node in ifs:
            branches, rest = _chain(node, _configured) if node not in followers and left > 0 else ([], [])
            names = {name for name, _, _ in branches}
            if len(branches) < 2 or rest or len(names) > 1:
                continue
            left -= 1
            stored = [_stored(body) for _, _, body in branches]
            everywhere = _stored(inner) if everywhere is None else everywhere
            common = [name for name in stored[0] if all(name in one for one in stored)]
            is_one = any(sum(one[name] for one in stored) == everywhere[name] for name in common)
            if branches[0][0][:1] != "!" and is_one:
                found.setdefault(branches[0][0], _all_of(branches)[:_MOST_VALUES])
    return found


def _configured(node: ast.expr) -> str:
    """Return ``X`` for ``app.config["X"]`` and ``app.config.get("X")``."""
    key: ast.expr | None = None
    if isinstance(node, ast.Subscript) and last_name(node.value) == "config":
        key = node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
        is_get = node.func.attr == "get" and last_name(node.func.value) == "config"
        key = node.args[0] if is_get else None
    return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""


def _stored(nodes: Iterable[ast.AST]) -> Counter[str]:
    """Count the statements that set names and attributes to something: ``store``, ``repo.store``."""
    assigned = [one for one in nodes if isinstance(one, ast.Assign) and not is_none(one.value)]
    targets = [target for one in assigned for target in one.targets]
    return Counter(ast.unparse(one) for one in targets if isinstance(one, ast.Name | ast.Attribute))


def _all_of(branches: Iterable[_Branch]) -> tuple[str, ...]:
    return tuple(value for _, values, _ in branches for value in values)


def _chain(node: ast.If, subject: Callable[[ast.expr], str]) -> tuple[list[_Branch], list[ast.stmt]]:
    """Return the branches of ``if … elif …``, and what stands under ``else``; no branches if a test is another one."""
    found: list[_Branch] = []
    while True:
        branch = _branch(node.test, node.body, subject)
        if branch is None:
            return [], []
        found.append(branch)
        if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
            return found, node.orelse
        node = node.orelse[0]


def _branch(test: ast.expr, body: Sequence[ast.stmt], subject: Callable[[ast.expr], str]) -> _Branch | None:
    """Match ``x == "a"``, ``x in ("a", "b")`` and their opposites, which begin with ``!``."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    name = subject(test.left)
    other, operator = test.comparators[0], test.ops[0]
    members = other.elts if isinstance(other, ast.Tuple | ast.List | ast.Set) else [other]
    values = tuple(one.value for one in members if isinstance(one, ast.Constant) and isinstance(one.value, str))
    if (
        not name
        or not values
        or len(values) != len(members)
        or not isinstance(operator, ast.Eq | ast.In | ast.NotEq | ast.NotIn)
    ):
        return None
    return (f"!{name}" if isinstance(operator, ast.NotEq | ast.NotIn) else name), values, body


def _leaves_unbound(bound: Counter[str], chain: Sequence[ast.stmt], branches: Sequence[_Branch]) -> bool:
    """Return whether all branches bind a name that no other statement binds.

    Args:
        bound: The names that all statements there bind, each with the number of statements.
        chain: Those that have the branches.
        branches: The branches.
    """
    ours = _count_bound(chain)
    common = set.intersection(*(set(_bound(statements)) for _, _, statements in branches))
    return any(bound[name] == ours[name] for name in common) and bound["*"] == ours["*"]


def _count_bound(statements: Iterable[ast.stmt]) -> Counter[str]:
    return Counter(name for one in statements for name in set(_bound([one])))


def _bound(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for one in statements:
        for node in ast.walk(one):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from (alias.asname or alias.name for alias in node.names)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name


class Tables:
    """Dictionaries of the project with texts as keys, and functions that look one up with an argument."""

    def __init__(self, nodes: Nodes, files: Iterable[str]) -> None:
        self._nodes, self._files = nodes, tuple(files)
        self._keys: dict[str, tuple[str, ...]] = {}
        self._arguments: dict[tuple[str, int | str], str] = {}
        for file in self._files:
            for node in nodes.all(file):
                if isinstance(node, ast.Assign | ast.AnnAssign) and (keys := _keys(node.value)):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    # Of two dictionaries of one name, only the common keys are certain.
                    for name in filter(None, map(last_name, targets)):
                        before = self._keys.get(name, keys)
                        self._keys[name] = tuple(one for one in keys if one in before)
                elif isinstance(node, ast.FunctionDef) and b"[" in nodes.sources.text(file):
                    self._add_arguments(node)

    def configured(self, name: str) -> tuple[str, ...]:
        """Return the literals of which a setting of Flask, a name in capitals, has to be one."""
        return self._configured.get(name, ()) if name.isupper() else ()

    @cached_property
    def _configured(self) -> Mapping[str, tuple[str, ...]]:
        return _configured_values(self._nodes, self._files)

    def _add_arguments(self, node: ast.FunctionDef) -> None:
        names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
        inner = list(ast.walk(node)) if names else []
        parents = {child: one for one in inner for child in ast.iter_child_nodes(one)}
        tables = lookups(inner, parents)
        for at, name in enumerate(names):
            if table := tables.get(name):
                self._arguments[node.name, at] = self._arguments[node.name, name] = table

    def keys_for(self, node: ast.AST, parents: _Parents) -> tuple[str, ...]:
        """Return the keys of the dictionary that is looked up with this expression, itself or in a function."""
        parent = parents.get(node)
        table = _table(node, parent)
        if isinstance(parent, ast.keyword) and parent.arg:
            call = parents.get(parent)
            table = self._arguments.get((last_name(call), parent.arg), "") if isinstance(call, ast.Call) else ""
        elif not table and isinstance(parent, ast.Call):
            at = next((at for at, one in enumerate(parent.args[:_MOST_ARGUMENTS]) if one is node), -1)
            table = self._arguments.get((last_name(parent), at), "")
        return self._keys.get(table, ())[:_MOST_VALUES]

    def keys(self, table: str) -> tuple[str, ...]:
        """Return the keys of the dictionary of a name."""
        return self._keys.get(table, ())[:_MOST_VALUES]


def _keys(value: ast.expr | None) -> tuple[str, ...]:
    """Return the keys of ``{"dev": …}`` or ``dict(dev=…)``; empty if there is another kind of key."""
    if isinstance(value, ast.Call) and last_name(value) == "dict" and not value.args:
        names = [one.arg for one in value.keywords]
        return tuple(one for one in names if one) if all(names) else ()
    keys = value.keys if isinstance(value, ast.Dict) else []
    texts = [one.value for one in keys if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return tuple(texts) if len(texts) == len(keys) else ()


def lookups(nodes: Sequence[ast.AST], parents: _Parents) -> dict[str, str]:
    """Return the names with which a dictionary is looked up, each with that dictionary's name.

    A name of which something else is done (``name or "dev"``) is left out.
    """
    found: dict[str, str] = {}
    others: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            parent = parents.get(node)
            is_tested = isinstance(parent, ast.BoolOp | ast.Compare | ast.If | ast.IfExp | ast.UnaryOp)
            if is_tested or (isinstance(node.ctx, ast.Store) and not isinstance(parent, ast.Assign | ast.AnnAssign)):
                others.add(node.id)
            elif table := _table(node, parent):
                found.setdefault(node.id, table)
    return {name: table for name, table in found.items() if name not in others}


def _table(node: ast.AST, parent: ast.AST | None) -> str:
    is_key = isinstance(parent, ast.Subscript) and parent.slice is node and isinstance(parent.ctx, ast.Load)
    return last_name(parent.value) if is_key and isinstance(parent, ast.Subscript) else ""


def stored_once(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names that a file binds once only."""
    count = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store)
    )
    return frozenset(name for name, times in count.items() if times == 1)
