"""Search for applications of frameworks whose programs often open their own socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from preview.endpoints.budget import Budget, OutOfBudget
from preview.endpoints.model import AppTarget, Found, FoundApp
from preview.endpoints.more_python.tables import Mount, Table
from preview.endpoints.python import (
    UNKNOWN,
    Call,
    External,
    Function,
    Kind,
    Native,
    PythonEvaluator,
    find_import_root,
    find_python_apps,
    is_aside,
)
from preview.sources import Sources

_DEFAULT_READERS: Final = frozenset({"getenv", "get", "config", "env"})
_MAX_FILES: Final = 8
# Functions that a program calls to serve, the likeliest first.
_MAINS: Final = ("main", "run", "start", "serve", "server", "start_server", "run_server", "init", "init_app", "amain")


class Program:
    """A framework, with the applications that the read modules make.

    Attributes:
        made: Every application, in the order in which they are made.
        default: The application that module-level functions register on (Bottle's ``route``), if there is one.
    """

    def __init__(self) -> None:
        self.made: list[Table] = []
        self.default: Table | None = None

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application or a group of routes."""
        raise NotImplementedError

    def construct(self, callee: External, call: Call) -> object:
        """Return the result of an external call; ``UNKNOWN`` if it does not matter."""
        raise NotImplementedError

    def starred(self, module: str) -> Sequence[str]:  # noqa: ARG002
        """Return the names that star imports bind."""
        return ()

    def keep(self, table: Table) -> Table:
        """Note an application that was made."""
        if table.is_app:
            self.made.append(table)
        return table

    def serve(self, app: object) -> object:
        """Note that the project gives an application to a server."""
        if isinstance(app, Table):
            app.is_served = True
        return UNKNOWN

    def environment(self, callee: External, call: Call) -> object:
        """Evaluate ``os.getenv("PREFIX", "/api")``, or a middleware around an application."""
        if callee.last in _DEFAULT_READERS:
            return call.argument(1, "default")
        given = (*call.arguments, *call.named.values())
        return next((item for item in given if isinstance(item, Table) and item.is_app), UNKNOWN)

    def root(self) -> Table | None:
        """Return the application that the program serves, or else one that is in no other application."""
        inner = {id(item.child) for table in self.made for item in table.items if isinstance(item, Mount)}
        apps = [*self.made, *([self.default] if self.default is not None and self.default.items else [])]
        order = sorted(apps, key=lambda app: (not app.is_served, id(app) in inner, not app.items))
        return order[0] if order and (order[0].items or order[0].is_served) else None


@dataclass(frozen=True, slots=True)
class Reader:
    """A framework to read.

    Attributes:
        package: A file that uses the framework contains this text.
        needs: A file that uses the framework as a server also contains one of these texts.
        program: Creates the framework for an evaluator.
        list_endpoints: Adds the endpoints of an application.
    """

    name: str
    title: str
    package: bytes
    needs: tuple[bytes, ...]
    program: Callable[[], Program]
    list_endpoints: Callable[[Table, PythonEvaluator, Found], None]
    identify: Callable[[Native], tuple[str, str]] | None = None

    def find(self, sources: Sources, budget: Budget) -> list[FoundApp]:
        """Return the project's applications of this framework, the likeliest first."""
        kind = Kind(self.name, self.title, self.needs, self.program, _is_app, self._list, self.identify)
        return find_python_apps(sources, budget, kind) or self._find_programs(sources, budget)

    def _list(self, app: object, evaluator: PythonEvaluator, found: Found) -> None:
        if isinstance(app, Table):
            self.list_endpoints(app, evaluator, found)

    def _find_programs(self, sources: Sources, budget: Budget) -> list[FoundApp]:
        """Return the application of the first file that serves one without keeping it under a name."""
        files = [name for name in sources.names if self.package in (text := sources.text(name)) and self._serves(text)]
        files.sort(key=lambda name: (is_aside(name), name.count("/")))
        for file in files[:_MAX_FILES]:
            tree = sources.tree(file)
            if tree is None:
                continue
            app_dir, module = find_import_root(sources, file, tree, set())
            program = self.program()
            evaluator = PythonEvaluator(sources, app_dir, budget, program)
            try:
                app = _run(file, evaluator, program)
            except OutOfBudget:
                return []
            if app is not None:
                target = AppTarget(
                    module, "", app_dir, False, file, f"{self.title} app found in {file}", framework=self.name
                )
                return [FoundApp(target, False, is_aside(file), partial(self.list_endpoints, app, evaluator))]
        return []

    def _serves(self, text: bytes) -> bool:
        return any(word in text for word in self.needs)


def _is_app(value: object) -> bool:
    return isinstance(value, Table) and value.is_app


def _run(file: str, evaluator: PythonEvaluator, program: Program) -> Table | None:
    """Evaluate a file as the main program, then its main functions until one of them makes an application."""
    evaluator.load(file)
    evaluator.run_as_program(file)
    for function in _mains(file, evaluator):
        root = program.root()
        if root is not None:
            return root
        evaluator.call(function, [UNKNOWN] * len(function.node.args.args))
    return program.root()


def _mains(file: str, evaluator: PythonEvaluator) -> Iterator[Function]:
    names = evaluator.load(file).scope.names
    order = sorted(names, key=lambda name: _MAINS.index(name) if name in _MAINS else len(_MAINS))
    for name in order:
        value = names[name]
        if isinstance(value, Function) and value.scope.file == file:
            yield value
