"""Find applications that any ASGI or WSGI server starts (Quart, Litestar, Falcon), or that a command names."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Sequence
from typing import Final

from preview.detection.plan import Server
from preview.detection.project_imports import is_aside
from preview.endpoints import NODE_NAMES, AppTarget, FoundApp
from preview.sources import Sources
from preview.sources.commands import StartCommand

# Constructor, module that exports it, framework.
_CONSTRUCTORS: Final = (
    ("Quart", "quart", "quart"),
    ("QuartTrio", "quart_trio", "quart"),
    ("Litestar", "litestar", "litestar"),
    ("Starlite", "starlite", "litestar"),
    ("Application", "blacksheep", "blacksheep"),
    ("App", "falcon.asgi", "falcon-asgi"),
    ("App", "falcon", "falcon"),
    ("API", "falcon", "falcon"),
    ("Bottle", "bottle", "bottle"),
    ("ASGIApp", "socketio", "socketio"),
    ("AsyncApp", "connexion", "connexion"),
)
_WSGI: Final = frozenset({"falcon", "bottle", "wsgi"})
PLAIN_SERVERS: Final = {
    name: Server.WSGI if name in _WSGI else Server.ASGI
    for name in (*(framework for _, _, framework in _CONSTRUCTORS), "asgi", "wsgi")
}
"""Server of each of these frameworks."""

LISTED: Final = frozenset({*PLAIN_SERVERS, "aiohttp", "sanic", "tornado", "next"})
"""Frameworks whose applications do not decide how the project starts; their routes are listed."""

FRAMEWORKS: Final = tuple(
    dict.fromkeys(("fastapi", "starlette", "flask", "django", *sorted(LISTED), *NODE_NAMES, "node", "command"))
)
"""Names that a project or a launch request may give as its framework."""

_PROGRAMS: Final = {
    "uvicorn": "asgi",
    "hypercorn": "asgi",
    "daphne": "asgi",
    "granian": "asgi",
    "gunicorn": "wsgi",
    "waitress-serve": "wsgi",
    "uwsgi": "wsgi",
}
_FACTORIES: Final = ("create_app", "make_app", "get_app", "build_app")


def find_stated_app(sources: Sources, commands: Sequence[StartCommand]) -> FoundApp | None:
    """Return the application that a command names, or None."""
    return next((found for command in commands if (found := _stated(sources, command)) is not None), None)


def find_made_app(sources: Sources) -> FoundApp | None:
    """Return the first application of a known library that a file makes, or None."""
    files = [name for name in sources.names if not is_aside(name)]
    return next((found for name in files if (found := _made_in(sources, name)) is not None), None)


def _stated(sources: Sources, command: StartCommand) -> FoundApp | None:
    if command.app is None or not command.app[1] or command.program not in _PROGRAMS:
        return None
    path = command.app[0].replace(".", "/")
    for folder in dict.fromkeys(
        (posixpath.normpath(f"{command.folder}/{command.app_dir or '.'}"), command.folder, ".")
    ):
        base = posixpath.normpath(f"{folder}/{path}")
        file = next((name for name in (f"{base}.py", f"{base}/__init__.py") if sources.has_file(name)), None)
        if file is not None:
            worker = any("uvicorn" in word.lower() for word in command.words)
            framework = "asgi" if worker else _PROGRAMS[command.program]
            factory = "--factory" in command.words or f"{command.app[1]}()" in " ".join(command.words)
            reason = f'{command.file} starts "{command.app[0]}:{command.app[1]}"'
            return without_routes(AppTarget(command.app[0], command.app[1], folder, factory, file, reason, framework))
    return None


def _made_in(sources: Sources, file: str) -> FoundApp | None:
    text = sources.text(file)
    if not any(module.partition(".")[0].encode() in text for _, module, _ in _CONSTRUCTORS):
        return None
    tree = sources.tree(file)
    if tree is None:
        return None
    folder = posixpath.dirname(file) or "."
    module = posixpath.basename(file).removesuffix(".py")
    if module == "__init__":
        folder, module = posixpath.dirname(folder) or ".", posixpath.basename(folder)
    for node in tree.body:
        framework = _constructed(node.value, tree) if isinstance(node, ast.Assign) else None
        if framework and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            reason = f'{framework} app "{name}" found in {file}'
            return without_routes(AppTarget(module, name, folder, False, file, reason, framework))
        if isinstance(node, ast.FunctionDef) and node.name in _FACTORIES and not node.args.args:
            made = [_constructed(item, tree) for item in ast.walk(node) if isinstance(item, ast.Call)]
            framework = next((one for one in made if one), None)
            if framework:
                reason = f'{framework} factory "{node.name}" found in {file}'
                return without_routes(AppTarget(module, node.name, folder, True, file, reason, framework))
    return None


def _constructed(node: ast.expr, tree: ast.Module) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    full = ast.unparse(node.func)
    imported = {
        alias.asname or alias.name: f"{item.module}.{alias.name}"
        for item in tree.body
        if isinstance(item, ast.ImportFrom)
        for alias in item.names
    }
    full = imported.get(full, full)
    return next((name for call, module, name in _CONSTRUCTORS if full == f"{module}.{call}"), None)


def without_routes(target: AppTarget) -> FoundApp:
    """Return an application without known routes."""
    sentence = f"{target.file}: the routes of this application cannot be read from the source"
    return FoundApp(target, True, False, lambda found: found.say(sentence))
