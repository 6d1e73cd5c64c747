"""What an application's files call, at start-up and later, and the addresses that are written in them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.sources import Sources

__all__ = ["Address", "Call", "Facts", "read_facts"]

_URL: Final = re.compile(
    r"(postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|sqlite|oracle|mssql|cockroachdb|asyncpg)(\+\w+)?:/?/"
)
_PARTS: Final = re.compile(r"@(?:\{(\w+)\}|[\w.-]+)(?::(?:\{(\w+)\}|\d+))?")
_STARTS: Final = frozenset({"startup", "on_startup", "lifespan", "before_serving", "before_first_request"})
_MAX_CLOSURE: Final = 400


@dataclass(frozen=True, slots=True)
class Call:
    """One call of something from outside.

    Attributes:
        name: Full, as far as imports tell: ``asyncpg.create_pool``; else ``.create_all``.
        node: The expression.
        file: Where, relative to the project.
        line: Likewise.
        function: The outermost function it stands in; empty for the module's own level.
        guarded: A ``try`` around it goes on after an error.
    """

    name: str
    node: ast.Call = field(repr=False)
    file: str
    line: int
    function: str
    guarded: bool

    @property
    def where(self) -> str:
        """``app/db.py:7``."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of a server, as it is written in the source.

    Attributes:
        text: With ``*`` for what is not written down.
        file: Where, relative to the project.
        line: Likewise.
        host: The name that its host is taken from; empty where that is written down.
        port: Likewise.
    """

    text: str
    file: str
    line: int
    host: str = ""
    port: str = ""

    @property
    def scheme(self) -> str:
        """``postgresql``, without the driver."""
        return self.text.partition(":")[0].partition("+")[0].lower()

    @property
    def where(self) -> str:
        """``app/db.py:7``."""
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Facts:
    """All of it.

    Attributes:
        calls: In the files' order.
        addresses: Likewise.
        imports: Full names of all that is imported from outside.
        compared: Texts that a name or attribute is compared with, by that name.
        called_by: Functions' names to the names that they call or mention.
        started: Names of functions that run when the application comes up.
        defined: How many functions have a name.
    """

    calls: list[Call] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    compared: dict[str, set[str]] = field(default_factory=dict)
    called_by: dict[str, set[str]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    defined: Counter[str] = field(default_factory=Counter)

    def imported(self, *modules: str) -> str | None:
        """Where one of these modules, or something of it, is imported; None where it is not."""
        for name, where in self.imports.items():
            if any(name == module or name.startswith(f"{module}.") for module in modules):
                return where
        return None

    def at_startup(self, call: Call) -> bool:
        """Whether the call is made while the application comes up, and its failure ends that."""
        return not call.guarded and (not call.function or call.function in self.started)


def read_facts(sources: Sources, files: Iterable[str], factory: str | None = None) -> Facts:
    """Read the files once.

    Args:
        sources: The project's files.
        files: Those that the application loads.
        factory: The function that makes the application.
    """
    facts = Facts()
    for file in files:
        tree = sources.tree(file)
        if tree is not None:
            _Visitor(file, facts).visit_all(tree)
    todo = [*facts.started, *([factory] if factory else [])]
    facts.started.clear()
    while todo and len(facts.started) < _MAX_CLOSURE:
        name = todo.pop()
        # A name that several functions have (`get`, `connect`) says little about which of them is meant.
        if name not in facts.started and facts.defined[name] == 1:
            facts.started.add(name)
            todo += facts.called_by.get(name, ())
    return facts


class _Visitor(ast.NodeVisitor):
    def __init__(self, file: str, facts: Facts) -> None:
        self._file = file
        self._facts = facts
        self._names: dict[str, str] = {}
        self._functions: list[str] = []
        self._guards = 0

    def visit_all(self, tree: ast.Module) -> None:
        try:
            self.visit(tree)
        except RecursionError:
            return

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._names[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else (alias.name.partition(".")[0])
            )
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
        if isinstance(test, ast.Compare) and _last(test.left) == "__name__":
            self._visit_each(node.orelse)
            return
        self.generic_visit(node)

    def _visit_each(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        goes_on = bool(node.handlers) and not any(
            isinstance(inner, ast.Raise) or (isinstance(inner, ast.Call) and _last(inner.func) in {"exit", "_exit"})
            for handler in node.handlers
            for inner in ast.walk(handler)
        )
        self._guards += goes_on
        self._visit_each(node.body)
        self._guards -= goes_on
        self._visit_each((*node.handlers, *node.orelse, *node.finalbody))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
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
            # What the module calls itself, or hands over as `lifespan=` or `add_event_handler("startup", …)`, runs.
            self._facts.started |= {_last(node.func)}
        for item in node.keywords:
            if item.arg in {"scheme", "drivername"}:
                self._scheme(item.value)
            if item.arg in _STARTS:
                self._facts.started |= set(_mentions(item.value))
        if name.endswith("URL.create") and node.args:
            self._scheme(node.args[0])
        if _last(node.func) == "add_event_handler":
            self._facts.started |= {text for item in node.args for text in _mentions(item)}
        self.generic_visit(node)

    def _scheme(self, node: ast.expr) -> None:
        """``URL.create("postgresql+asyncpg", …)``, ``PostgresDsn.build(scheme="postgresql", …)``."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _URL.match(f"{node.value}://"):
            self._facts.addresses.append(Address(f"{node.value}://*", self._file, node.lineno))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _URL.match(node.value):
            self._facts.addresses.append(Address(node.value, self._file, node.lineno))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        text, named = "", ""
        for item in node.values:
            text += str(item.value) if isinstance(item, ast.Constant) else "*"
            named += str(item.value) if isinstance(item, ast.Constant) else f"{{{_name_of(item)}}}"
        if _URL.match(text) or text.startswith("*://"):
            found = _PARTS.search(named)
            host, port = (found[1] or "", found[2] or "") if found else ("", "")
            self._facts.addresses.append(Address(text, self._file, node.lineno, host, port))
        for item in node.values:
            if isinstance(item, ast.FormattedValue):
                self.visit(item.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = (node.left, *node.comparators)
        texts = {side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)}
        for side in sides:
            if name := _last(side):
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


def _name_of(node: ast.expr) -> str:
    """The name in ``{settings.db_host}``, or the variable in ``{os.getenv("DB_HOST")}``."""
    value = node.value if isinstance(node, ast.FormattedValue) else node
    if isinstance(value, ast.Call | ast.Subscript):
        given = [*value.args[:1]] if isinstance(value, ast.Call) else [value.slice]
        texts = [item.value for item in given if isinstance(item, ast.Constant)]
        return str(texts[0]) if texts else ""
    return _last(value)


def _mentions(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value in _STARTS:
            yield inner.value


def _last(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
