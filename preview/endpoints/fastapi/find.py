"""Which application a project is, and from where its imports count."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial

from preview.endpoints.fastapi.extract import list_endpoints
from preview.endpoints.fastapi.registration import FastAPIFramework
from preview.endpoints.fastapi.routes import Router
from preview.endpoints.model import AppTarget, FoundApp
from preview.endpoints.python import Budget, Function, Interpreter, join
from preview.sources import Sources

__all__ = ["find_fastapi_apps"]

# Beyond these, a project is no project with one application in it, and each candidate may cost its whole reading.
_MAX_CANDIDATES = 12

_FILE_NAMES = ("main.py", "app.py", "server.py", "asgi.py", "application.py", "api.py", "run.py", "index.py")
_ATTRIBUTES = ("app", "application", "api", "server", "asgi", "asgi_app", "fastapi_app", "main_app")
_FACTORIES = ("create_app", "get_app", "make_app", "build_app", "create_application", "get_application", "app_factory")
_SIDE_FOLDERS = frozenset(
    {
        "tests",
        "test",
        "examples",
        "example",
        "docs",
        "scripts",
        "benchmarks",
        "migrations",
        "alembic",
        "samples",
        "tools",
    }
)
_HINT_FILES = ("Procfile", "Dockerfile", "docker-compose.yml", "docker-compose.yaml", "compose.yaml", "Makefile")
_MAX_HINT_BYTES = 64 * 1024
_HINT = re.compile(r"(?:uvicorn|gunicorn|hypercorn)\b[^\n]*?\b([A-Za-z_]\w*(?:\.\w+)*):([A-Za-z_]\w*)")
_HINT_IN_CODE = re.compile(rb"""uvicorn\.run\(\s*f?["']([A-Za-z_][\w.]*):([A-Za-z_]\w*)["']""")
_MENTIONS = (b"FastAPI", b"Starlette")


def find_fastapi_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """The project's applications, the likeliest first.

    What starts them decides (Procfile, Dockerfile, ``uvicorn.run``), then usual names.

    Raises:
        OutOfBudget: Too much was read.
    """
    hints = list(_hints(sources))
    found: list[FoundApp] = []
    for file in _candidates(sources, hints)[:_MAX_CANDIDATES]:
        hinted = [hint for hint in hints if _is_module(file, hint[0])]
        app = _look_into(sources, file, hinted, budget)
        if app is not None:
            found.append(app)
    return found


def _hints(sources: Sources) -> Iterator[tuple[str, str]]:
    """Module and attribute that the project's own files start."""
    for name in _HINT_FILES:
        path = sources.root / name
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                text = file.read(_MAX_HINT_BYTES).decode("utf-8", "replace")
            yield from (match.groups() for match in _HINT.finditer(text))  # type: ignore[misc]  # two groups each
    for name in sources.names:
        for match in _HINT_IN_CODE.finditer(sources.text(name)):
            yield match[1].decode(), match[2].decode()


def _is_module(file: str, module: str) -> bool:
    path = module.replace(".", "/")
    return any(file == f"{path}{end}" or file.endswith(f"/{path}{end}") for end in (".py", "/__init__.py"))


def _candidates(sources: Sources, hints: list[tuple[str, str]]) -> list[str]:
    files = [
        name
        for name in sources.names
        if any(_is_module(name, module) for module, _ in hints)
        or name.rpartition("/")[2] in _FILE_NAMES
        or any(word in sources.text(name) for word in _MENTIONS)
    ]
    return sorted(files, key=lambda name: _rank(sources, name, hints))


def _rank(sources: Sources, file: str, hints: list[tuple[str, str]]) -> tuple[bool, bool, bool, int, int, str]:
    *folders, name = file.split("/")
    return (
        _is_aside(file),
        not any(_is_module(file, module) for module, _ in hints),
        not any(word in sources.text(file) for word in _MENTIONS),
        _FILE_NAMES.index(name) if name in _FILE_NAMES else len(_FILE_NAMES),
        len(folders),
        file,
    )


def _look_into(sources: Sources, file: str, hints: list[tuple[str, str]], budget: Budget) -> FoundApp | None:
    tree = sources.tree(file)
    if tree is None:
        return None
    app_dir, module = _import_root(sources, file, tree, {module for module, _ in hints})
    interpreter = Interpreter(sources, app_dir, budget, FastAPIFramework())
    names = interpreter.load(file).scope.names
    hinted = [attribute for _, attribute in hints]
    wanted = [*hinted, *_ATTRIBUTES]

    def found(router: Router, attribute: str, kind: str) -> FoundApp:
        target = AppTarget(
            module, attribute, app_dir, kind == "factory", file, f'FastAPI {kind} "{attribute}" found in {file}'
        )
        return FoundApp(target, bool(hints), _is_aside(file), partial(list_endpoints, router, interpreter))

    apps = [name for name, value in names.items() if isinstance(value, Router) and value.is_app]
    for name in sorted(apps, key=lambda name: wanted.index(name) if name in wanted else len(wanted)):
        router = names[name]
        if isinstance(router, Router):
            return found(router, name, "app")
    for name in [*hinted, *_FACTORIES, *(name for name in names if name not in _FACTORIES)]:
        function = names.get(name)
        if isinstance(function, Function) and function.scope.file == file and _needs_nothing(function):
            built = interpreter.call(function)
            if isinstance(built, Router) and built.is_app:
                return found(built, name, "factory")
    return None


def _is_aside(file: str) -> bool:
    *folders, name = file.split("/")
    return any(folder in _SIDE_FOLDERS for folder in folders) or name.startswith(("test_", "conftest"))


def _needs_nothing(function: Function) -> bool:
    arguments = function.node.args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return required == 0 and all(default is not None for default in arguments.kw_defaults)


def _import_root(sources: Sources, file: str, tree: ast.Module, hinted: set[str]) -> tuple[str, str]:
    """From which folder the file's imports work, and the module's name from there.

    Imports decide; where several folders serve them as well, what the project's own files start (``hinted``).
    """
    parts = file.removesuffix(".py").split("/")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    tops, relative = _imported(tree)
    best: tuple[tuple[int, bool, int], int] | None = None
    deepest = len(parts) - 1 - (relative if file.rpartition("/")[2] != "__init__.py" else max(relative - 1, 0))
    for depth in range(max(deepest, 0) + 1):
        folder = "/".join(parts[:depth]) or "."
        resolved = sum(_exists(sources, folder, name) for name in tops)
        score = (resolved, ".".join(parts[depth:]) in hinted, -_penalty(sources, parts, depth))
        if best is None or score > best[0]:
            best = (score, depth)
    depth = best[1] if best else 0
    return "/".join(parts[:depth]) or ".", ".".join(parts[depth:])


def _penalty(sources: Sources, parts: list[str], depth: int) -> int:
    """How unlikely a folder is to be the root when imports do not tell.

    The root is above the topmost package; where no folder is a package, a project's own folder beats what is below it
    for ``app/main.py``, and a backend's subfolder beats the project's folder.
    """
    top = next((n for n in range(1, len(parts)) if sources.has_file("/".join([*parts[:n], "__init__.py"]))), None)
    if top is not None:
        return abs(depth - (top - 1))
    usual = 1 if parts[0] not in {"app", "src", "api"} and len(parts) > 1 else 0
    return abs(depth - usual)


def _imported(tree: ast.Module) -> tuple[set[str], int]:
    """Absolute module names, and how many levels up relative imports go."""
    names: set[str] = set()
    relative = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            relative = max(relative, node.level)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names, relative


def _exists(sources: Sources, folder: str, name: str) -> bool:
    path = join(folder, name.replace(".", "/"))
    return sources.has_file(f"{path}.py") or sources.has_folder(path)
