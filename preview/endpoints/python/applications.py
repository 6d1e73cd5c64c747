"""Search for a Python project's application, for frameworks with an application object in a module."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from preview.endpoints.budget import Budget, OutOfBudget
from preview.endpoints.model import AppTarget, Found, FoundApp
from preview.endpoints.names import UNKNOWN
from preview.endpoints.python.evaluator import PythonEvaluator
from preview.endpoints.python.imports import join
from preview.endpoints.python.truth import Framework, Native
from preview.endpoints.python.values import Function
from preview.sources import Sources
from preview.sources.commands import start_commands


def find_import_root(sources: Sources, file: str, tree: ast.Module, hinted: set[str]) -> tuple[str, str]:
    """Return the folder from which the file's imports work, and the module's name relative to that folder.

    The folder that resolves most imports wins. On a tie, a module that the project's own files start (``hinted``) wins.
    """
    parts = file.removesuffix(".py").split("/")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    tops, relative = _imported(tree)
    deepest = len(parts) - 1 - (relative if file.rpartition("/")[2] != "__init__.py" else max(relative - 1, 0))

    def score(depth: int) -> tuple[int, bool, int]:
        folder = "/".join(parts[:depth]) or "."
        resolved = sum(_exists(sources, folder, name) for name in tops)
        return resolved, ".".join(parts[depth:]) in hinted, -_penalty(sources, parts, depth)

    depth = max(range(max(deepest, 0) + 1), key=score)
    return "/".join(parts[:depth]) or ".", ".".join(parts[depth:])


def _penalty(sources: Sources, parts: list[str], depth: int) -> int:
    """Rate how unlikely a folder is to be the root when imports do not decide.

    The root is the parent of the topmost package. If no folder is a package, the root is the project's folder for
    ``app/main.py`` and the like. For all others (``backend/main.py``), the root is the first subfolder.
    """
    top = next((n for n in range(1, len(parts) + 1) if sources.has_file("/".join([*parts[:n], "__init__.py"]))), None)
    if top is not None:
        return abs(depth - (top - 1))
    usual = 1 if parts[0] not in {"app", "src", "api"} and len(parts) > 1 else 0
    return abs(depth - usual)


def _imported(tree: ast.Module) -> tuple[set[str], int]:
    """Return the absolute module names, and how many levels up relative imports go."""
    names: set[str] = set()
    relative = 0
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            relative = max(relative, node.level)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names, relative


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield all statements, including those within functions and conditions, but no expressions."""
    todo: list[ast.AST] = [*tree.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            yield node
        for name in ("body", "orelse", "finalbody", "handlers"):
            todo += getattr(node, name, ()) if not isinstance(node, ast.expr) else ()


def _exists(sources: Sources, folder: str, name: str) -> bool:
    path = join(folder, name.replace(".", "/"))
    return sources.has_file(f"{path}.py") or sources.has_folder(path)


_MAX_HINTS: Final = 50
# Read files that deploy or run the project, not its documentation.
_LEAST_WEIGHT: Final = 2
_IN_CODE: Final = re.compile(rb"""(?:uvicorn|hypercorn)\.run\(\s*f?["']([A-Za-z_][\w.]*):([A-Za-z_]\w*)["']""")


@dataclass(frozen=True, slots=True)
class Hint:
    """A module that the project's own files start.

    Attributes:
        module: The module's name, relative to an unknown folder.
        attribute: The application's name in the module; empty if only the module is named.
        file: The Python file that starts the module; empty for a hint from any other file.
    """

    module: str
    attribute: str
    file: str = ""


def read_hints(sources: Sources) -> list[Hint]:
    """Return the modules that the project's own files start, in the order in which they are found."""
    found: list[Hint] = []
    for command in start_commands(sources):
        if command.weight < _LEAST_WEIGHT:
            continue
        if command.app is not None and command.app[0]:
            found.append(Hint(*command.app))
        elif command.script:
            found.append(Hint(command.script.removesuffix(".py").removeprefix("./").replace("/", "."), ""))
    for name in sources.names:
        text = sources.text(name)
        if b".run(" in text:
            found += [Hint(match[1].decode(), match[2].decode(), name) for match in _IN_CODE.finditer(text)]
    return list(dict.fromkeys(found))[:_MAX_HINTS]


def is_module(file: str, module: str) -> bool:
    """Return whether a file may be the module of this name, relative to any folder."""
    path = module.replace(".", "/")
    return any(file == f"{path}{end}" or file.endswith(f"/{path}{end}") for end in (".py", "/__init__.py"))


# A project with more candidates does not have a single application.
_MAX_CANDIDATES: Final = 16

_FILE_NAMES: Final = (
    *("main.py", "app.py", "wsgi.py", "asgi.py", "server.py", "application.py", "api.py", "run.py", "index.py"),
    *("manage.py", "autoapp.py", "flask_app.py", "start.py", "__init__.py", "factory.py"),
)
_ATTRIBUTES: Final = ("app", "application", "api", "server", "asgi", "asgi_app", "main_app")
_FACTORIES: Final = (
    *("create_app", "get_app", "make_app", "build_app", "create_application", "get_application", "app_factory"),
    *("make_application", "build_application", "create_flask_app", "create_api", "create_server", "init_app"),
)
_SIDE_FOLDERS: Final = frozenset(
    {
        *("tests", "test", "testing", "examples", "example", "docs", "doc", "scripts", "benchmarks", "migrations"),
        *("alembic", "samples", "sample", "tools", "mock", "mocks", "stubs", "fake", "old", "legacy", "deprecated"),
        *("backup", "archive", "sandbox", "playground", "experiments", "notebooks", "templates", "deprecated"),
    }
)

# `app = register_app()`, `application = shop.create_app(config)`: unindented, with "app" or the like in the name. Or
# `app = build()`.
_ASSIGNED: Final = re.compile(
    rb"^\w+(?:\s*:\s*\w+)?\s*=\s*[\w.]*(?:app|application|server|api)\w*\("
    rb"|^(?:app|application)(?:\s*:\s*\w+)?\s*=\s*[\w.]+\(",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Facts that the search needs about a framework.

    Attributes:
        name: ``flask``, for the target.
        title: ``Flask``, for people.
        mentions: A file with an application contains one of these texts.
        plug: Creates the framework's plug-in for an evaluator.
        identify: Returns the name and title of one application, if frameworks share this kind.
    """

    name: str
    title: str
    mentions: tuple[bytes, ...]
    plug: Callable[[], Framework]
    is_app: Callable[[object], bool]
    list_endpoints: Callable[[Native, PythonEvaluator, Found], None]
    identify: Callable[[Native], tuple[str, str]] | None = None


def find_python_apps(sources: Sources, budget: Budget, kind: Kind) -> list[FoundApp]:
    """Return the project's applications of one framework, the likeliest first.

    A start command (Procfile, Dockerfile, ``uvicorn.run``) decides, then a usual name. If the budget runs out, the
    applications found so far are returned.
    """
    if not any(word in sources.text(name) for name in sources.names for word in kind.mentions):
        return []
    search = _Search(sources, budget, kind, read_hints(sources))
    found: list[FoundApp] = []
    try:
        for file in search.candidates()[:_MAX_CANDIDATES]:
            if any(not app.side for app in found) and not search.is_likely(file):
                break
            app = search.look_into(file, any_name=not found)
            if app is not None:
                found.append(app)
        for file in search.candidates()[:_MAX_CANDIDATES] if not found else ():
            app = search.look_into(file, any_name=True, wanting=True)
            if app is not None:
                return [app]
    except OutOfBudget:
        pass
    return found


@dataclass(frozen=True, slots=True)
class _Search:
    sources: Sources
    budget: Budget
    kind: Kind
    hints: Sequence[Hint]
    # One evaluator per import root: a module that several candidates import is read once.
    interpreters: dict[str, PythonEvaluator] = field(default_factory=dict)

    def candidates(self) -> list[str]:
        """Return the files that may have an application, the likeliest first."""
        words = (*self.kind.mentions, *(name.encode() for name in _FACTORIES))
        files = [
            name
            for name in self.sources.names
            if self._is_hinted(name)
            or (name.rpartition("/")[2] in _FILE_NAMES and not name.endswith("__init__.py"))
            or any(word in self.sources.text(name) for word in words)
            or (name.count("/") <= 1 and _ASSIGNED.search(self.sources.text(name)))
        ]
        return sorted(files, key=self._rank)

    def is_likely(self, file: str) -> bool:
        """Return whether the file is worth reading when another application is known already."""
        return not is_aside(file) and (self._is_hinted(file) or self._makes(file))

    def _is_hinted(self, file: str) -> bool:
        return any(is_module(file, hint.module) for hint in self.hints)

    def _makes(self, file: str) -> bool:
        """Return whether the file's text seems to make an application."""
        text = self.sources.text(file)
        return any(word + b"(" in text for word in self.kind.mentions) or _ASSIGNED.search(text) is not None

    def _rank(self, file: str) -> tuple[bool, bool, bool, int, int, str]:
        *folders, name = file.split("/")
        return (
            is_aside(file),
            not self._is_hinted(file),
            not self._makes(file),
            _FILE_NAMES.index(name) if name in _FILE_NAMES else len(_FILE_NAMES),
            len(folders),
            file,
        )

    def look_into(self, file: str, *, any_name: bool, wanting: bool = False) -> FoundApp | None:
        """Return the application that a file offers, or None.

        Args:
            file: Path relative to the project.
            any_name: Accept factories of any name, not only those with ``app`` in the name.
            wanting: Accept a usual factory that requires arguments.
        """
        tree = self.sources.tree(file)
        if tree is None:
            return None
        hints = [hint for hint in self.hints if is_module(file, hint.module)]
        app_dir, module = find_import_root(self.sources, file, tree, {hint.module for hint in hints})
        if app_dir not in self.interpreters:
            self.interpreters[app_dir] = PythonEvaluator(self.sources, app_dir, self.budget, self.kind.plug())
        evaluator = self.interpreters[app_dir]
        names = evaluator.load(file).scope.names
        hinted = [hint.attribute for hint in hints if hint.attribute]
        order = _factories(names, hinted, any_name=any_name)
        # An imported application of another name may be a part of the one that a function here makes.
        parts = _imported_names(tree) - {*hinted, *_ATTRIBUTES[:2]}
        own = {name: value for name, value in names.items() if name not in parts}
        picked = self._object(own, hinted) or self._factory(names, order, file, evaluator, wanting=wanting)
        picked = picked or self._object(names, hinted)
        if picked is None:
            return None
        app, attribute, factory = picked
        kind = "factory" if factory else "app"
        name, title = self.kind.identify(app) if self.kind.identify else (self.kind.name, self.kind.title)
        reason = f'{title} {kind} "{attribute}" found in {file}'
        target = AppTarget(module, attribute, app_dir, factory, file, reason, name)
        lister = partial(_list, self.kind, app, evaluator, file)
        # A hint within the file itself does not distinguish this file from others.
        return FoundApp(target, any(hint.file != file for hint in hints), is_aside(file), lister)

    def _object(self, names: dict[str, object], hinted: Sequence[str]) -> tuple[Native, str, bool] | None:
        wanted = [*hinted, *_ATTRIBUTES]
        apps = [(name, value) for name, value in names.items() if isinstance(value, Native) and self.kind.is_app(value)]
        order = sorted(apps, key=lambda pair: wanted.index(pair[0]) if pair[0] in wanted else len(wanted))
        return (order[0][1], order[0][0], False) if order else None

    def _factory(
        self, names: dict[str, object], order: Sequence[str], file: str, evaluator: PythonEvaluator, *, wanting: bool
    ) -> tuple[Native, str, bool] | None:
        for name in order:
            function = names.get(name)
            if not isinstance(function, Function) or function.scope.file != file:
                continue
            # A usual factory that requires arguments still shows its routes.
            if _needs_nothing(function) or (name in _FACTORIES and wanting):
                built = evaluator.call(function, [UNKNOWN] * _required(function))
                if isinstance(built, Native) and self.kind.is_app(built):
                    return (
                        self._around(names, (built, name), evaluator) if name not in _FACTORIES else (built, name, True)
                    )
        return None

    def _around(
        self, names: dict[str, object], inner: tuple[Native, str], evaluator: PythonEvaluator
    ) -> tuple[Native, str, bool]:
        """Return the application of a function that calls this factory, if it has more routes: it mounts the other."""
        counted = self._count(inner[0], evaluator)
        for name, function in names.items():
            if name == inner[1] or not isinstance(function, Function) or not _needs_nothing(function):
                continue
            if _calls(function.node, inner[1]):
                built = evaluator.call(function, [])
                if isinstance(built, Native) and self.kind.is_app(built) and self._count(built, evaluator) > counted:
                    return built, name, True
        return *inner, True

    def _count(self, app: Native, evaluator: PythonEvaluator) -> int:
        found = Found()
        self.kind.list_endpoints(app, evaluator, found)
        return len(found)


def _imported_names(tree: ast.Module) -> set[str]:
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def _factories(names: dict[str, object], hinted: Sequence[str], *, any_name: bool) -> list[str]:
    """Return the names of functions that may make an application, the likeliest first."""
    usual = [name for name in _FACTORIES if name in names]
    others = [name for name, value in names.items() if isinstance(value, Function) and "app" in name.lower()]
    return list(dict.fromkeys([*hinted, *usual, *others, *(names if any_name else ())]))


def _list(kind: Kind, app: Native, evaluator: PythonEvaluator, file: str, found: Found) -> None:
    before = len(found)
    kind.list_endpoints(app, evaluator, found)
    if len(found) == before:
        # The file may register all routes under ``if __name__ == "__main__"``.
        evaluator.run_as_program(file)
        kind.list_endpoints(app, evaluator, found)


def is_aside(file: str) -> bool:
    """Return whether a file belongs to tests, examples or unused code."""
    *folders, name = file.split("/")
    return any(folder.lower() in _SIDE_FOLDERS for folder in folders) or name.startswith(("test_", "conftest"))


def _required(function: Function) -> int:
    arguments = function.node.args
    return len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)


def _calls(node: ast.AST, name: str) -> bool:
    called = (one.func for one in ast.walk(node) if isinstance(one, ast.Call))
    return any(isinstance(one, ast.Name) and one.id == name for one in called)


def _needs_nothing(function: Function) -> bool:
    return _required(function) == 0 and all(default is not None for default in function.node.args.kw_defaults)
