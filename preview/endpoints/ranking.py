"""Ranking of several applications: the one that a person would start comes first."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.model import Found, FoundApp
from preview.sources import Sources
from preview.sources.commands import StartCommand, start_commands

# Counting the endpoints of more candidates would take too long.
_MAX_COUNTED: Final = 8
# A folder with one of these files is a project of its own.
_MARKS: Final = (
    "requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "Dockerfile", "Procfile", "package.json",
    "alembic.ini", "docker-compose.yml", "docker-compose.yaml", "compose.yaml", ".env.example", "manage.py",
)  # fmt: skip
# Applications of other frameworks come first, as their projects started before these were read. An aiohttp or Tornado
# program beside them is often a tool of theirs.
LATER: Final = frozenset(
    {"quart", "litestar", "blacksheep", "falcon", "falcon-asgi", "bottle", "aiohttp", "sanic", "tornado"}
    | {"fastify", "koa", "hono", "elysia", "hapi", "restify", "next"}
)
_SCRIPT: Final = re.compile(
    r"(?:seed|populate|clean_?up|reset|fix|delete|drop|clear|check|debug|import_|migrate|backfill|create_(?!app)|add_|init_db"
    r"|inspect|query|dump|export_|make_admin)",
    re.IGNORECASE,
)
_SERVES: Final = re.compile(rb"\.run\(|\.route\(|@\w{1,40}\.(?:get|post|errorhandler|shell_context_processor)\b")
# Statements of the module itself, which run when it is imported.
_WORKS: Final = re.compile(
    rb"^with \w{1,40}\.app_context\(\):\n(?:[ \t][^\n]*\n|\n){0,60}?[ \t][^\n]{0,80}(?:\.commit\(|\bprint\()",
    re.MULTILINE,
)


def rank_apps(sources: Sources, apps: Sequence[FoundApp]) -> list[FoundApp]:
    """Return the applications, the one to run first.

    The files that start a project decide (Procfile, Dockerfile, scripts, README), then the manifests in the
    application's folder. The number of endpoints breaks ties. Applications among tests or examples come last. One
    without routes comes after one that has some, unless the project's files start it; its reason names both.
    """
    if len(apps) < 2:
        return list(apps)
    commands = start_commands(sources)

    def rank(app: FoundApp) -> tuple[bool, bool, int, bool, int]:
        is_later = app.target.framework in LATER
        return app.side, is_later, -_stated(app, commands, sources), not app.hinted, -_marks(app, sources)

    rough = sorted(apps, key=rank)
    tied = [app for app in rough if rank(app) == rank(rough[0])]
    if len(tied) > 1 and len({app.target.file for app in tied}) > 1:
        counts = {id(app): _count(app) for app in tied[:_MAX_COUNTED]}
        tied.sort(key=lambda app: (_is_script(app, sources), -counts.get(id(app), 0), app.target.file.count("/")))
        empty = next((app for app in tied if counts.get(id(app)) == 0 and not app.side), None)
        if empty is not None and (most := counts[id(tied[0])]) > 0:
            tied[0] = _with_reason(tied[0], _beside(empty, tied[0], most))
    return _routed_first(tied + rough[len(tied) :], commands, sources)


def _routed_first(apps: list[FoundApp], commands: Sequence[StartCommand], sources: Sources) -> list[FoundApp]:
    """Put an application with routes before one that certainly has none, and name both."""
    first, others = apps[0], [app for app in apps[1:_MAX_COUNTED] if not app.side]
    others = [app for app in others if app.target.file != apps[0].target.file]
    if first.side or first.target.framework == "django" or not others:
        return apps
    own = _count(first)
    counts = [(_count(app), app) for app in others] if own == 0 else []
    most, best = max(counts, key=lambda pair: pair[0], default=(0, first))
    if most <= 0:
        return apps
    sentence = _beside(first, best, most)
    if first.hinted or _stated(first, commands, sources):
        return [_with_reason(first, sentence), *apps[1:]]
    return [_with_reason(best, sentence), *(app for app in apps if app is not best)]


def _is_script(app: FoundApp, sources: Sources) -> bool:
    """Return whether a file makes the application to work on its data: ``cleanup.py``, and it does so on import."""
    stem = posixpath.basename(app.target.file).removesuffix(".py")
    text = sources.text(app.target.file)
    if _SERVES.search(text) or not app.target.file.endswith(".py"):
        return False
    return _SCRIPT.match(stem) is not None or _WORKS.search(text) is not None


def _beside(empty: FoundApp, app: FoundApp, count: int) -> str:
    many = "1 route" if count == 1 else f"{count} routes"
    return f"{empty.target.file} has no routes; {app.target.file} has {many}"


def _with_reason(app: FoundApp, sentence: str) -> FoundApp:
    return replace(app, target=replace(app.target, reason=f"{app.target.reason}; {sentence}"))


def commands_for(app: FoundApp, commands: Sequence[StartCommand], sources: Sources) -> list[StartCommand]:
    """Return the commands that start this application."""
    return [command for command in commands if _starts(command, app, sources)]


def _stated(app: FoundApp, commands: Sequence[StartCommand], sources: Sources) -> int:
    return max((command.weight for command in commands_for(app, commands, sources)), default=0)


def _starts(command: StartCommand, app: FoundApp, sources: Sources) -> bool:
    target = app.target
    if command.script is not None:
        return _runs(command, app, sources)
    if command.app is None:
        return False
    module, attribute = command.app
    if target.framework == "django":
        # `gunicorn shop.wsgi` starts the application with settings `shop.settings`.
        is_django = module.rpartition(".")[2] in {"wsgi", "asgi"}
        return is_django and _inside(command, target.file) and _is_of_project(app, module, sources)
    if attribute and attribute != target.attribute and not _named_in(sources, target.file, attribute):
        return False
    return _inside(command, target.file) and _is_module(target.file, module)


def _is_of_project(app: FoundApp, module: str, sources: Sources) -> bool:
    """Return whether a module is in the Django project's folder, and not in another project below it.

    Also if it is nowhere.
    """
    path = f"/{module.strip('.').replace('.', '/')}.py"
    found = [name for name in sources.names if f"/{name}".endswith(path)]
    folder = app.target.app_dir
    return not found or any(_django_folder(name, sources) in {folder, None} for name in found)


def _django_folder(file: str, sources: Sources) -> str | None:
    """Return the nearest folder above a file that has a ``manage.py``; None without one."""
    folder = posixpath.dirname(file)
    while not sources.has_file(posixpath.join(folder, "manage.py")):
        if not folder:
            return None
        folder = posixpath.dirname(folder)
    return folder or "."


def _runs(command: StartCommand, app: FoundApp, sources: Sources) -> bool:
    """Return whether ``python run.py`` starts the application: the file defines it or imports its module."""
    script = command.script or ""
    names = [
        posixpath.normpath(posixpath.join(folder, name))
        for folder in {command.folder, app.target.app_dir, "."}
        for name in (script, f"{script}.py", f"{script}/__main__.py")
    ]
    file = next((name for name in names if sources.has_file(name) and name.endswith(".py")), None)
    if file is None:
        return False
    module = app.target.module.encode()
    return (
        file == app.target.file
        or re.search(rb"\b(?:from|import)\s+" + re.escape(module) + rb"\b", sources.text(file)) is not None
        or (b'"' + module + b":" in sources.text(file))
    )


def _named_in(sources: Sources, file: str, attribute: str) -> bool:
    return re.search(rb"\b" + attribute.encode() + rb"\b", sources.text(file)) is not None


def _is_module(file: str, module: str) -> bool:
    path = module.strip(".").replace(".", "/")
    return any(f"/{file}".endswith(f"/{path}{end}") for end in (".py", "/__init__.py"))


def _inside(command: StartCommand, file: str) -> bool:
    """Return whether the command's folder covers a file; a ``docker`` or ``deploy`` folder covers its parent."""
    folder = command.folder
    aside = {"docker", "deploy", "deployment", "scripts", "bin", "infra", ".docker", "ops", "conf", "build"}
    while folder.rpartition("/")[2] in aside:
        folder = posixpath.dirname(folder) or "."
    return folder == "." or file.startswith(f"{folder}/")


def _marks(app: FoundApp, sources: Sources) -> int:
    """Count the manifests in the nearest folder that has any, at most two."""
    folder = posixpath.dirname(app.target.file)
    while True:
        prefix = f"{folder}/" if folder else ""
        marks = sum(sources.has_file(prefix + mark) for mark in _MARKS)
        if marks or not folder:
            return min(marks, 2)
        folder = posixpath.dirname(folder)


def _count(app: FoundApp) -> int:
    """Return the number of endpoints; -1 if there are none, but some could not be read."""
    found = Found()
    try:
        app.list_endpoints(found)
    except OutOfBudget:
        return len(found) or -1
    return len(found) or (-1 if found.unread else 0)
