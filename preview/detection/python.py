"""Make the start plan of a Python application."""

from __future__ import annotations

import ast
import contextlib
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from preview.detection.databases.database import DatabaseChoice, choose_database
from preview.detection.databases.dialect import find_postgresql_sql
from preview.detection.databases.django_database import choose_django_database
from preview.detection.databases.needs import find_needs
from preview.detection.databases.services import SQL_KINDS, kind_of_scheme
from preview.detection.databases.sql import Engine, find_engine
from preview.detection.facts import Facts, read_facts
from preview.detection.layout import Layout, find_layout, folders_between
from preview.detection.plain import PLAIN_SERVERS
from preview.detection.plan import (
    Origin,
    Server,
    ServiceKind,
    ServiceNeed,
    StartPlan,
    Step,
    Toolchain,
    Variable,
)
from preview.detection.project_imports import Nodes, is_aside, reachable
from preview.detection.python_2 import refuse_python_2
from preview.detection.scripts import django_steps, find_steps, step_tools
from preview.detection.settings import ProjectSettings, collect, with_config_classes
from preview.detection.steps import (
    SEED,
    PythonPlace,
    find_env_file_step,
    find_folders_step,
    find_model_tables_step,
    find_python_work,
)
from preview.detection.supplied.choose import DATABASE_URL, choose_supplied
from preview.detection.supplied.django import choose_supplied_django
from preview.detection.supplied.parts import named_ports
from preview.detection.supplied.ports import with_ports
from preview.detection.supplied.python import supplied_variables, with_supplied_needs
from preview.detection.supplied.supply import find_supply
from preview.detection.supplied.tell import Obstacles, find_obstacles
from preview.endpoints import AppTarget, Found, FoundApp, find_health_path
from preview.endpoints.budget import OutOfBudget
from preview.sources import Sources
from preview.sources.commands import StartCommand

_SERVERS: Final = {"flask": Server.WSGI, "django": Server.DJANGO, **PLAIN_SERVERS}
_ASGI_APPLICATION: Final = re.compile(
    rb"^ASGI_APPLICATION\b(?:[ \t]{0,8}=[ \t]{0,8}[\"'](?P<module>[A-Za-z_][\w.]{0,200})\.\w{1,80}[\"'])?", re.MULTILINE
)
# Routes are listed only if a file contains such a name: listing them takes longer than everything else.
_HEALTH: Final = re.compile(rb"""["'/](?:health|ready|readyz|livez|ping|status)[\w-]*/?["']""")
_MAX_ROUTES: Final = 5_000
_DATABASES: Final = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.MONGODB})


def plan_python(
    sources: Sources,
    app: FoundApp,
    commands: Sequence[StartCommand],
    kinds: frozenset[ServiceKind] = frozenset(),
) -> StartPlan:
    """Make the plan of one application.

    Args:
        sources: The project's files.
        app: The application.
        commands: Its start commands, by descending weight.
        kinds: Kinds of servers that the preview gets.
    """
    nodes = Nodes(sources)
    target = _as_stated(nodes, app.target, commands)
    files = _loaded(nodes, target)
    entry = _settings_file(sources, target) if target.framework == "django" else target.file
    refuse_python_2(sources, entry, target.app_dir)
    layout = find_layout(nodes, target, files, commands)
    facts = read_facts(sources, files, target.attribute if target.factory else None)
    settings = collect(nodes, files, _folders(target, layout))
    supply = find_supply(sources, facts, layout.manifests, kinds)
    if target.framework == "django":
        engine = None
        database = choose_supplied_django(sources, files, settings, supply) or choose_django_database(
            sources, files, settings
        )
        migrations = django_steps(sources, target)
    else:
        engine = find_engine(facts, sources, files)
        database = choose_supplied(engine, settings, facts, supply, sources) or choose_database(engine, settings, facts)
        migrations = find_steps(sources, target, layout.directory, facts, files, database.step_variables)
    variables = {**settings.variables(database.variables), **database.variables}
    variables = supplied_variables(settings, variables, database, facts, supply)
    variables = with_config_classes(variables, settings.reads, sources, target.app_dir)
    variables = _with_other_address(variables, settings)
    services = find_needs(facts, settings, database, engine, variables)
    services = with_supplied_needs(services, settings, variables, database, facts, supply)
    if supply:
        raw = (sources.text(file) for file in files)
        texts = [one.decode("utf-8", "replace") for one in raw if b"://" in one or b"port=" in one]
        numbers = named_ports(settings, variables, database.supplied, supply.kinds)
        services = with_ports(services, (*texts, *(one.value for one in variables.values())), facts, numbers)
    obstacles = find_obstacles(sources, files, facts, settings, supply.kinds) if supply else Obstacles()
    server = _database_server(target, database, engine, services, kinds)
    place = PythonPlace(layout.directory, layout.python_path, files, server, database.supplied is not None)
    work = find_python_work(sources, target, place, migrations)
    # A file that the project names may be there; then its tables are.
    is_own = database.sqlite and not database.variables and bool(sources.with_suffix(".db", ".sqlite", ".sqlite3"))
    is_empty = database.supplied is not None or (database.sqlite and not is_own)
    # A command of Flask that only adds data needs the tables before it.
    is_empty = is_empty and all(step.name == SEED and step.argv[0] == "flask" for step in work.steps)
    tables = find_model_tables_step(sources, target, files, layout.directory) if is_empty else ()
    return StartPlan(
        framework=target.framework,
        toolchain=Toolchain.PYTHON,
        server=_server(sources, target, facts, commands),
        target=target,
        directory=layout.directory,
        python_path=layout.python_path,
        manifests=layout.manifests,
        extra_requirements=_requirements(database, migrations),
        steps=(
            *obstacles.steps,
            *find_env_file_step(sources, files, layout.directory, Toolchain.PYTHON, variables),
            *find_folders_step(sources, files, layout.directory),
            *tables,
            *work.steps,
        ),
        variables=variables,
        defaulted=settings.defaulted,
        dispensable=settings.dispensable,
        services=obstacles.applied(services),
        health_path=_health_path(sources, app, files),
        decisions=(*_decisions(target, layout, database, commands), *work.decisions),
        warnings=(
            *database.warnings,
            *_sockets(facts),
            *(find_postgresql_sql(sources, files, facts) if database.sqlite else ()),
            *work.warnings,
            *obstacles.sentences,
        ),
    )


def _with_other_address(variables: dict[str, Variable], settings: ProjectSettings) -> dict[str, Variable]:
    """Return the variables with a ``DATABASE_URL`` of MongoDB, for example: every preview else gets SQLite's."""
    own, chosen = settings.own.get(DATABASE_URL), variables.get(DATABASE_URL)
    text = own.value if own is not None else chosen.value if chosen is not None else ""
    if kind_of_scheme(text) in {None, *SQL_KINDS}:
        return variables
    place = own.file if own is not None else chosen.where if chosen is not None else ""
    return {**variables, DATABASE_URL: Variable(DATABASE_URL, text, Origin.SUPPLIED, place)}


def _database_server(
    target: AppTarget,
    database: DatabaseChoice,
    engine: Engine | None,
    services: Iterable[ServiceNeed],
    kinds: frozenset[ServiceKind],
) -> str:
    """Return the kind of server that holds the application's data; empty for a file and a supplied server."""
    if database.server is not None or engine is not None or target.framework == "django":
        return str(database.server) if database.server is not None and database.server not in kinds else ""
    return next((str(need.kind) for need in services if need.kind in _DATABASES and need.kind not in kinds), "")


def _requirements(database: DatabaseChoice, migrations: Iterable[Step]) -> tuple[str, ...]:
    """Return the drivers to add, that of a synchronous migration only if a step needs it, and the steps' tools."""
    steps = tuple(migrations)
    needed = any(step.variables and step.variables == database.step_variables for step in steps)
    drivers = (*database.requirements, *(database.step_requirements if needed else ()))
    return tuple(dict.fromkeys((*drivers, *step_tools(steps))))


def _as_stated(nodes: Nodes, target: AppTarget, commands: Iterable[StartCommand]) -> AppTarget:
    """Return the target under the module name of the start command, if its files are loaded under that name.

    Either its imports also work from the command's folder, or its files name each other as the command does: under two
    names, a file would be loaded twice.
    """
    for command in commands:
        module, attribute = command.app or ("", "")
        path = module.replace(".", "/")
        end = next((end for end in (".py", "/__init__.py") if f"/{target.file}".endswith(f"/{path}{end}")), None)
        if not module or end is None or target.framework == "django" or command.weight < 2:
            continue
        folder = posixpath.normpath(target.file.removesuffix(path + end) or ".")
        is_other = folder != posixpath.normpath(target.app_dir)
        if is_other and (
            _imports_work(nodes, target.file, target.app_dir, folder) or _names_itself(nodes, target, module, folder)
        ):
            return replace(target, module=module, attribute=attribute or target.attribute, app_dir=folder)
        return target
    return target


def _imports_work(nodes: Nodes, file: str, now: str, then: str) -> bool:
    """Return true if all files that the file imports from ``now`` can also be imported from ``then``."""
    before = set(reachable(nodes, file, (now,)))
    return before <= set(reachable(nodes, file, (then,)))


def _names_itself(nodes: Nodes, target: AppTarget, module: str, folder: str) -> bool:
    """Return whether the files that the target loads import something below the first part of the module's name."""
    start = f"{module.partition('.')[0]}."
    files = reachable(nodes, target.file, (target.app_dir, folder))
    froms = (node for file in files for node in nodes.imports(file) if isinstance(node, ast.ImportFrom))
    return any(not node.level and (node.module or "").startswith(start) for node in froms)


def _loaded(nodes: Nodes, target: AppTarget) -> list[str]:
    """Return the files that the application loads; for Django, all of the project's, because settings name modules."""
    sources = nodes.sources
    if target.framework == "django":
        prefix = "" if target.app_dir == "." else f"{target.app_dir}/"
        settings = reachable(nodes, _settings_file(sources, target), (target.app_dir,))
        others = [name for name in sources.names if name.startswith(prefix) and not is_aside(name)]
        # Of several settings modules, only the used one and its imports count.
        unused = {name for name in others if "settings" in name and name not in settings}
        return list(dict.fromkeys((*settings, *(name for name in others if name not in unused))))
    roots = list(dict.fromkeys((target.app_dir, *folders_between(posixpath.dirname(target.file) or "."))))
    return reachable(nodes, target.file, roots)


def _settings_file(sources: Sources, target: AppTarget) -> str:
    path = posixpath.normpath(f"{target.app_dir}/{target.module.replace('.', '/')}")
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if sources.has_file(name)), target.file)


def _folders(target: AppTarget, layout: Layout) -> list[str]:
    """Return folders that may contain ``.env`` files, the most likely first."""
    file_folder = posixpath.dirname(target.file) or "."
    return list(dict.fromkeys((layout.directory, target.app_dir, layout.manifests, *folders_between(file_folder))))


def _server(sources: Sources, target: AppTarget, facts: Facts, commands: Iterable[StartCommand]) -> Server:
    if target.framework == "django":
        programs = {command.program for command in commands}
        channels = facts.imported("channels") is not None or "daphne" in programs
        text = sources.text(_settings_file(sources, target))
        named = _ASGI_APPLICATION.search(text)
        is_there = named is not None and _has_module(sources, target.app_dir, (named["module"] or b"").decode())
        return Server.ASGI if channels and is_there else Server.DJANGO
    return _SERVERS.get(target.framework, Server.ASGI)


def _has_module(sources: Sources, folder: str, module: str) -> bool:
    """Return false only if the project has the module's package, but not the module."""
    path = posixpath.normpath(f"{folder}/{module.replace('.', '/')}")
    has_package = bool(module) and sources.has_file(f"{posixpath.dirname(path)}/__init__.py")
    return not has_package or sources.has_file(f"{path}.py") or sources.has_file(f"{path}/__init__.py")


def _health_path(sources: Sources, app: FoundApp, files: Iterable[str]) -> str | None:
    if not any(_HEALTH.search(sources.text(file)) for file in files):
        return None
    found = Found()
    # Of a project that is too large, those that were found so far.
    with contextlib.suppress(OutOfBudget):
        app.list_endpoints(found)
    return find_health_path(tuple(found.values())[:_MAX_ROUTES])


def _decisions(
    target: AppTarget, layout: Layout, database: DatabaseChoice, commands: Sequence[StartCommand]
) -> Iterable[str]:
    yield target.reason
    if commands:
        words = " ".join(commands[0].words[:4]) + (" …" if len(commands[0].words) > 4 else "")
        yield f'start command found in {commands[0].file}: "{words}"'
    if layout.directory != ".":
        yield f"runs in {layout.directory}: {layout.why}"
    elif layout.why:
        yield f"runs in the project's own folder: {layout.why}"
    if layout.manifests not in {".", layout.directory}:
        yield f"requirements are taken from {layout.manifests}"
    yield from database.decisions


def _sockets(facts: Facts) -> tuple[str, ...]:
    where = facts.imported("flask_socketio")
    if where is None:
        return ()
    sentence = "requests are served; its sockets fall back to long polling, because a WSGI server has no WebSocket"
    return (f"It uses Flask-SocketIO ({where}): {sentence}",)
