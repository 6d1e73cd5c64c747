"""Read the facts of an application, and find the functions that run at startup."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from preview.detection.expressions import holds_in_preview, last_name
from preview.detection.facts.model import Address, Call, Facts
from preview.sources import Sources
from preview.sources.repair import FIELDS

_URL: Final = re.compile(
    r"(postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|sqlite|oracle|mssql|cockroachdb|asyncpg)(\+\w+)?:/?/"
)
_PARTS: Final = re.compile(r"(?:\{(\w+)\}|[\w.-]+)(?::(?:\{(\w+)\}|\d+))?")
# Classes of pydantic that build a URL of their kind.
_BUILDERS: Final = {"PostgresDsn.build": "postgresql", "MySQLDsn.build": "mysql", "RedisDsn.build": "redis"}
_ADDRESS_BUILDERS: Final = (*_BUILDERS, "URL.create", "MultiHostUrl.build", "AnyUrl.build")
_STARTS: Final = frozenset({"startup", "on_startup", "lifespan", "before_serving", "before_first_request"})


def note_facts(file: str, tree: ast.Module, facts: Facts) -> None:
    """Add the facts of one file; stops if the nesting exceeds Python's recursion limit."""
    try:
        _Visitor(file, facts).visit(tree)
    except RecursionError:
        return


class _Visitor(ast.NodeVisitor):
    def __init__(self, file: str, facts: Facts) -> None:
        self._file = file
        self._facts = facts
        self._names: dict[str, str] = {}
        self._functions: list[str] = []
        self._guards = 0

    def visit(self, node: ast.AST) -> None:
        """Visit like the base class, without looking up a method by name each time."""
        method = _METHODS.get(type(node))
        if method is None:
            self.generic_visit(node)
        else:
            method(self, node)

    def generic_visit(self, node: ast.AST) -> None:
        """Visit like the base class, but without its generators, which took most of the time."""
        for name in FIELDS[type(node)]:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                self.visit(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, ast.AST):
                        self.visit(item)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self._names[alias.asname or top] = alias.name if alias.asname else top
            self._facts.imports.setdefault(alias.name, f"{self._file}:{node.lineno}")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            return
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            self._names[alias.asname or alias.name] = name
            self._facts.imports.setdefault(name, f"{self._file}:{node.lineno}")

    def visit_If(self, node: ast.If) -> None:
        test = node.test
        if isinstance(test, ast.Compare) and last_name(test.left) == "__name__":
            self._visit_each(node.orelse)
        elif (told := holds_in_preview(test)) is not None:
            self._visit_each(node.body if told else node.orelse)
        else:
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        told = holds_in_preview(node.test)
        if told is None:
            self.generic_visit(node)
        else:
            self.visit(node.body if told else node.orelse)

    def _visit_each(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        goes_on = bool(node.handlers) and not any(
            isinstance(inner, ast.Raise) or (isinstance(inner, ast.Call) and last_name(inner.func) in {"exit", "_exit"})
            for handler in node.handlers
            for inner in ast.walk(handler)
        )
        self._guards += goes_on
        self._visit_each(node.body)
        self._guards -= goes_on
        self._visit_each((*node.handlers, *node.orelse, *node.finalbody))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_each((*node.decorator_list, *node.args.defaults))
        decorated = {text for item in node.decorator_list for text in _mentions(item)}
        if decorated & _STARTS or node.name in {"lifespan", "startup", "on_startup", "startup_event"}:
            self._facts.started.add(node.name)
        self._facts.defined[node.name] += 1
        guards, self._guards = self._guards, 0
        self._functions.append(node.name)
        self._facts.called_by.setdefault(self._functions[0], set())
        self._visit_each(node.body)
        self._functions.pop()
        self._guards = guards

    def visit_Name(self, node: ast.Name) -> None:
        self._mention(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._mention(node.attr)
        self.visit(node.value)

    def _mention(self, name: str) -> None:
        if self._functions and name != self._functions[0]:
            self._facts.called_by[self._functions[0]].add(name)

    def visit_Call(self, node: ast.Call) -> None:
        function = self._functions[0] if self._functions else ""
        name = self._full_name(node.func)
        self._facts.calls.append(Call(name, node, self._file, node.lineno, function, self._guards > 0))
        if not self._functions:
            # The module runs what it calls, or passes as `lifespan=` or to `add_event_handler("startup", …)`.
            self._facts.started |= {last_name(node.func)}
        for item in node.keywords:
            if item.arg in _STARTS:
                self._facts.started |= set(_mentions(item.value))
        self._built(name, node)
        if last_name(node.func) == "add_event_handler":
            self._facts.started |= {text for item in node.args for text in _mentions(item)}
        self.generic_visit(node)

    def _built(self, name: str, node: ast.Call) -> None:
        """Match ``URL.create("postgresql+asyncpg", …)`` and ``PostgresDsn.build(scheme=settings.db_scheme, …)``."""
        given = {item.arg: item.value for item in node.keywords if item.arg}
        first = node.args[0] if name.endswith("URL.create") and node.args else None
        told = given.get("scheme") or given.get("drivername") or first
        text = told.value if isinstance(told, ast.Constant) else None
        scheme = text if isinstance(text, str) and _URL.match(f"{text}://") else None
        scheme = scheme or next((one for end, one in _BUILDERS.items() if name.endswith(end) and told), None)
        named = _name_of(told) if told is not None and text is None and name.endswith(_ADDRESS_BUILDERS) else ""
        if scheme is not None or named:
            host, port = (_name_of(given[key]) if key in given else "" for key in ("host", "port"))
            found = Address(f"{scheme or '*'}://*", self._file, node.lineno, host, port, named)
            self._facts.addresses.append(found)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _URL.match(node.value):
            self._facts.addresses.append(Address(node.value, self._file, node.lineno))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        text, named = "", ""
        for item in node.values:
            text += str(item.value) if isinstance(item, ast.Constant) else "*"
            named += str(item.value) if isinstance(item, ast.Constant) else f"{{{_name_of(item)}}}"
        if _URL.match(text) or text.startswith("*://"):
            found = _PARTS.match(named.partition("://")[2].rpartition("@")[2])
            host, port = (found[1] or "", found[2] or "") if found else ("", "")
            scheme = _name_of(node.values[0]) if text.startswith("*://") else ""
            self._facts.addresses.append(Address(text, self._file, node.lineno, host, port, scheme))
        for item in node.values:
            if isinstance(item, ast.FormattedValue):
                self.visit(item.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = (node.left, *node.comparators)
        texts = {side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)}
        for side in sides:
            if name := last_name(side):
                self._facts.compared.setdefault(name, set()).update(texts)
        self.generic_visit(node)

    def _full_name(self, node: ast.expr) -> str:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self._names:
            return ".".join([self._names[node.id], *reversed(parts)])
        if isinstance(node, ast.Name) and not parts:
            return node.id
        return f".{parts[0]}" if parts else ""


_METHODS: Final[Mapping[type[ast.AST], Callable[[_Visitor, Any], None]]] = MappingProxyType(
    {
        getattr(ast, name.removeprefix("visit_")): method
        for name, method in vars(_Visitor).items()
        if name.startswith("visit_")
    }
    | {ast.AsyncFunctionDef: _Visitor.visit_FunctionDef}
)


def _name_of(node: ast.expr) -> str:
    """Return the name in ``{settings.db_host}``, or the variable in ``{os.getenv("DB_HOST")}``."""
    value = node.value if isinstance(node, ast.FormattedValue) else node
    if isinstance(value, ast.Call | ast.Subscript):
        given = [*value.args[:1]] if isinstance(value, ast.Call) else [value.slice]
        texts = [item.value for item in given if isinstance(item, ast.Constant)]
        return str(texts[0]) if texts else ""
    return last_name(value)


def _mentions(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value in _STARTS:
            yield inner.value


_MAX_CLOSURE: Final = 400


def read_facts(sources: Sources, files: Iterable[str], factory: str | None = None) -> Facts:
    """Read the facts of the files; a ``factory`` counts as run at startup."""
    facts = Facts()
    for file in files:
        tree = sources.tree(file)
        if tree is not None:
            note_facts(file, tree, facts)
    todo = [*facts.started, *([factory] if factory else [])]
    facts.started.clear()
    while todo and len(facts.started) < _MAX_CLOSURE:
        name = todo.pop()
        # A name of several functions (`get`, `connect`) does not identify one of them.
        if name not in facts.started and facts.defined[name] == 1:
            facts.started.add(name)
            todo += facts.called_by.get(name, ())
    return facts
