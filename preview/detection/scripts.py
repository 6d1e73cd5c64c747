"""Plan projects without a known application: a command from their files, or a script with its own server."""

from __future__ import annotations

import ast
import posixpath
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from preview.detection.databases.database import choose_database
from preview.detection.databases.needs import find_needs
from preview.detection.databases.sql import find_engine
from preview.detection.facts import Facts, read_facts
from preview.detection.layout import find_layout, folders_between
from preview.detection.plan import Server, ServiceKind, StartPlan, Step, Toolchain
from preview.detection.project_imports import Nodes, is_aside, reachable
from preview.detection.settings import collect
from preview.detection.steps.main_block import is_main_block
from preview.detection.supplied.choose import choose_supplied
from preview.detection.supplied.python import supplied_variables, with_supplied_needs
from preview.detection.supplied.supply import find_supply
from preview.endpoints import AppTarget
from preview.sources import Sources
from preview.sources.commands import StartCommand

_LIBRARIES: Final = (
    ("aiohttp", rb"\brun_app\(|\bTCPSite\("),
    ("sanic", rb"\bSanic\("),
    ("tornado", rb"\btornado\b[\s\S]*\.(?:listen|bind|add_sockets)\("),
    ("bottle", rb"\bbottle\b[\s\S]*\brun\("),
    ("cherrypy", rb"\bcherrypy\.quickstart\("),
    ("http.server", rb"\b(?:Threading)?HTTPServer\("),
    ("socketserver", rb"\bsocketserver\.\w*TCPServer\("),
    ("wsgiref", rb"\bmake_server\("),
    ("uvicorn", rb"\buvicorn\.run\(|\buvicorn\.Server\(|^from uvicorn import [^\n]{0,80}\brun\b"),
    ("waitress", rb"\bserve\(\w+"),
    ("hypercorn", rb"\bserve\(\w+"),
    ("gevent", rb"\bWSGIServer\("),
    ("eventlet", rb"\bwsgi\.server\("),
    ("falcon", rb"\bfalcon\b[\s\S]*\brun"),
    ("dash", rb"^(?:from|import) dash\b[\s\S]*\.run(?:_server)?\("),
    ("gradio", rb"^(?:from|import) gradio\b[\s\S]*\.launch\("),
    ("nicegui", rb"^from nicegui import\b[\s\S]*\bui\.run\("),
)
_MAIN: Final = re.compile(rb"""^if\s*\(?\s*__name__\s*==\s*["']__main__["']""", re.MULTILINE)
_MAKES: Final = re.compile(
    rb"\b(?:Flask|APIFlask|FastAPI|Quart|Starlette|Litestar|Bottle)\(|\btornado\.web\.Application\b|"
    rb"\bfrom tornado\.web import [^\n]{0,120}\bApplication\b|\bfrom tornado import [^\n]{0,80}\bweb\b"
)
_RUNS: Final = re.compile(rb"\.run\(|\bserve\(|\.listen\(")
_MOST_PROGRAMS: Final = 50
_NAMES: Final = ("main.py", "app.py", "server.py", "run.py", "__main__.py", "index.py")
_FIXED_PORT: Final = re.compile(
    rb"""(?:\bport\s*=\s*|\.(?:listen|bind)\(\s*|\(\s*["'][\w.]*["']\s*,\s*|define\(\s*["']port["'][^)]{0,80}?default\s*=\s*)"""
    rb"""(\d{2,5})\b""",
    re.IGNORECASE,
)
# Ports of libraries whose call names none.
_DEFAULT_PORTS: Final = {
    "aiohttp": "8080", "sanic": "8000", "bottle": "8080", "cherrypy": "8080", "waitress": "8080", "dash": "8050",
    "gradio": "7860", "nicegui": "8080",
}  # fmt: skip
# Files that are looked at for one that starts another file's server.
_MAX_RUNNERS: Final = 50
# `Migrate(app, db, command="migrate")`: the name of its command.
_COMMAND: Final = re.compile(rb"\bMigrate\([^()\n]{0,200}\bcommand[ ]{0,4}=[ ]{0,4}[\"'](\w{1,40})[\"']")
_SECTION: Final = re.compile(r"\[([\w.-]{1,100})\]\s*$")
_LOCATION: Final = re.compile(r"script_location\s{0,8}=")
_IS_HERE: Final = re.compile(rb"^script_location\s{0,8}=\s{0,8}%\(here\)s\s{0,8}$", re.MULTILINE)
# Packages with the commands of steps. Aerich itself does not require its reader of TOML.
_TOOLS: Final = {"alembic": "alembic", "aerich": "aerich[toml]"}
_MOST_BYTES: Final = 200_000
_PREPENDS: Final = re.compile(rb"^prepend_sys_path[ \t]{0,8}=[ \t]{0,8}\.", re.MULTILINE)
_OWN_ENGINE: Final = re.compile(rb"\bimport engine\b|import async_engine|sync_engine")
_READS_PORT: Final = re.compile(rb"""["']PORT["']""")


def plan_script(sources: Sources, kinds: frozenset[ServiceKind] = frozenset()) -> StartPlan | None:
    """Return the plan of a script that opens its own socket at ``PORT``; None if there is none."""
    found = [(name, library) for name in sources.names if not is_aside(name) and (library := _library(sources, name))]
    if not found:
        return None
    names = [name for name, _ in found]
    server = min(names, key=lambda name: (name.count("/"), _rank(name), name))
    library = dict(found)[server]
    text = sources.text(server)
    warnings = []
    fixed = _FIXED_PORT.search(text)
    if not _READS_PORT.search(text):
        port = fixed[1].decode() if fixed else _DEFAULT_PORTS.get(library, "a port of its own")
        warnings.append(
            f"{server} does not read PORT and listens on {port}. This works only in a network of its own; elsewhere, "
            'make it read os.environ["PORT"]'
        )
    file = _runner(sources, server)
    folder, command = _invocation(file)
    reason = f"{server} runs its own server, with {library}" + (f"; {file} starts it" if file != server else "")
    return plan_file(sources, file, folder, command, reason, warnings, kinds)


def _invocation(file: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder and the command that run a Python file; a package's main module runs as ``python -m``."""
    folder = posixpath.dirname(file) or "."
    if posixpath.basename(file) == "__main__.py" and folder != ".":
        return posixpath.dirname(folder) or ".", ("python", "-m", posixpath.basename(folder))
    return folder, ("python", posixpath.relpath(file, folder))


def _runner(sources: Sources, server: str) -> str:
    """Return the file to run: the one with the server, or one that imports it, if that one only defines it."""
    if _acts(sources, server):
        return server
    nodes, own = Nodes(sources), posixpath.dirname(server)
    others = [name for name in sources.names if name != server and not is_aside(name) and _acts(sources, name)]
    order = sorted(others, key=lambda name: (posixpath.dirname(name) != own, name.count("/"), _rank(name), name))
    importers = (
        name
        for name in order[:_MAX_RUNNERS]
        if server in reachable(nodes, name, list(dict.fromkeys((posixpath.dirname(name) or ".", "."))))
    )
    return next(importers, server)


def _acts(sources: Sources, file: str) -> bool:
    """Return whether a Python file does anything besides defining names when it is run."""
    tree = sources.tree(file) if file.endswith(".py") else None
    calls = (node.value for node in tree.body if isinstance(node, ast.Expr)) if tree is not None else ()
    return tree is not None and (any(map(is_main_block, tree.body)) or any(isinstance(one, ast.Call) for one in calls))


def plan_program(sources: Sources, kinds: frozenset[ServiceKind] = frozenset()) -> StartPlan | None:
    """Return the plan of a program whose other modules make its application and run it; None if there is none."""
    nodes = Nodes(sources)
    programs = [name for name in sources.names if not is_aside(name) and _MAIN.search(sources.text(name))]
    for file in sorted(programs, key=lambda name: (name.count("/"), _rank(name), name))[:_MOST_PROGRAMS]:
        folder, command = _invocation(file)
        reached = [one for one in reachable(nodes, file, (folder,)) if one != file]
        made = next((one for one in reached if _MAKES.search(sources.text(one))), None)
        if made is not None and any(_RUNS.search(sources.text(one)) for one in (file, *reached)):
            why = f"{file} runs the application that {made} makes"
            warning = f"{file} chooses the port by itself. This works only in a network of its own"
            return plan_file(sources, file, folder, command, why, [warning], kinds)
    return None


def plan_command(
    sources: Sources, commands: Sequence[StartCommand], kinds: frozenset[ServiceKind] = frozenset()
) -> StartPlan | None:
    """Return the plan of a command in the project's files (``Procfile``) that runs an unknown application, or None."""
    for command in commands:
        script = command.script
        if command.weight < 3 or script is None:
            continue
        file = posixpath.normpath(posixpath.join(command.folder, script))
        if sources.has_file(file) and file.endswith(".py"):
            return plan_file(
                sources, file, command.folder, ("python", script), f"{command.file} starts {file}", [], kinds
            )
    return None


def plan_file(
    sources: Sources,
    file: str,
    folder: str,
    command: tuple[str, ...],
    reason: str,
    warnings: list[str],
    kinds: frozenset[ServiceKind],
) -> StartPlan:
    """Return the plan of a command that runs one Python file, with what this file and its imports need."""
    target = AppTarget(file.removesuffix(".py").replace("/", "."), "", folder, False, file, reason, framework="command")
    nodes = Nodes(sources)
    files = reachable(nodes, file, (folder,))
    layout = find_layout(nodes, target, files)
    facts = read_facts(sources, files)
    settings = collect(nodes, files, [folder, "."])
    engine = find_engine(facts, sources, files)
    supply = find_supply(sources, facts, layout.manifests, kinds)
    database = choose_supplied(engine, settings, facts, supply, sources) or choose_database(engine, settings, facts)
    steps = find_steps(sources, target, folder, facts, files, database.step_variables)
    given = any(step.variables and step.variables == database.step_variables for step in steps)
    variables = {**settings.variables(database.variables), **database.variables}
    variables = supplied_variables(settings, variables, database, facts, supply)
    services = find_needs(facts, settings, database, engine, variables)
    return StartPlan(
        framework="command",
        toolchain=Toolchain.PYTHON,
        server=Server.COMMAND,
        target=target,
        directory=folder,
        python_path=layout.python_path,
        command=command,
        manifests=layout.manifests,
        extra_requirements=tuple(
            dict.fromkeys(
                (
                    *database.requirements,
                    *(database.step_requirements if given else ()),
                    *step_tools(steps),
                )
            )
        ),
        steps=steps,
        variables=variables,
        defaulted=settings.defaulted,
        dispensable=settings.dispensable,
        services=with_supplied_needs(services, settings, variables, database, facts, supply),
        decisions=(reason, *database.decisions),
        warnings=tuple(warnings),
    )


def runs_server(sources: Sources, file: str) -> bool:
    """Return whether a file has a call that runs a server."""
    return _library(sources, file) is not None or _RUNS.search(sources.text(file)) is not None


def _library(sources: Sources, name: str) -> str | None:
    text = sources.text(name)
    found = (
        one for one, pattern in _LIBRARIES if one.encode() in text and re.search(pattern, text[:200_000], re.MULTILINE)
    )
    return next(found, None)


def _rank(name: str) -> int:
    last = name.rpartition("/")[2]
    return _NAMES.index(last) if last in _NAMES else len(_NAMES)


def find_steps(
    sources: Sources,
    target: AppTarget,
    directory: str,
    facts: Facts,
    files: Iterable[str],
    variables: Mapping[str, str] | None = None,
) -> tuple[Step, ...]:
    """Return the migration step of Alembic, Flask-Migrate or Aerich, if the project has migrations."""
    folders = folders_between(posixpath.dirname(target.file) or ".")
    if target.framework == "flask" and any(_is_migrate(call.name) for call in facts.calls):
        step = _flask_migrate(sources, target, files, directory, folders)
        return (step,) if step else ()
    for folder in folders:
        if (ini := _alembic_file(sources, folder)) is not None:
            return _alembic(sources, folder, ini, files, variables, target.app_dir)
    return next(filter(None, (_aerich(sources, folder) for folder in folders)), ())


def step_tools(steps: Iterable[Step]) -> tuple[str, ...]:
    """Return the packages with the steps' commands: they are often among those for development alone."""
    return tuple(dict.fromkeys(_TOOLS[step.argv[0]] for step in steps if step.argv[0] in _TOOLS))


def _aerich(sources: Sources, folder: str) -> tuple[Step, ...]:
    """Return the step of Tortoise's migrations, if some are there."""
    file = posixpath.normpath(f"{folder}/pyproject.toml")
    text = sources.text(file) if sources.has_file(file) else b""
    if b"aerich" not in text or len(text) > _MOST_BYTES:
        return ()
    try:
        tools = tomllib.loads(text.decode()).get("tool")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return ()
    table = tools.get("aerich") if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        return ()
    place = posixpath.normpath(f"{folder}/{table.get('location', 'migrations')}")
    if not any(name.startswith(f"{place}/") and b"def upgrade(" in sources.text(name) for name in sources.names):
        return ()
    return (Step("migrations", ("aerich", "upgrade"), folder, f"Aerich, with {file}"),)


def django_steps(sources: Sources, target: AppTarget) -> tuple[Step, ...]:
    """Return the step ``migrate``, which also creates the tables of Django's own applications."""
    manage = posixpath.basename(target.file) == "manage.py"
    first = ("python", "manage.py") if manage else ("python", "-m", "django")
    # Some read the name of the settings themselves: `config("DJANGO_SETTINGS_MODULE")`.
    named = rf"^[^#\n]*\b{re.escape(target.module)}\b".encode()
    names_settings = manage and re.search(named, sources.text(target.file), re.MULTILINE) is not None
    variables = None if names_settings else {"DJANGO_SETTINGS_MODULE": target.module}
    own = any("/migrations/" in f"/{name}" and not name.endswith("__init__.py") for name in sources.names)
    argv = (*first, "migrate", "--noinput") if own else (*first, "migrate", "--noinput", "--run-syncdb")
    why = "its applications have migrations" if own else "its tables are made from its models: it has no migrations"
    return (Step("migrations", argv, target.app_dir, why, variables=variables),)


def _is_migrate(name: str) -> bool:
    return name.startswith("flask_migrate.Migrate") or name in {"Migrate", ".Migrate"}


def _flask_migrate(
    sources: Sources, target: AppTarget, files: Iterable[str], directory: str, folders: Sequence[str]
) -> Step | None:
    candidates = dict.fromkeys([directory, posixpath.normpath(target.app_dir), *folders])
    folder = next(
        (name for name in candidates if sources.has_file(posixpath.normpath(f"{name}/migrations/env.py"))), None
    )
    if folder is None:
        return None
    path = posixpath.normpath(f"{folder}/migrations")
    if not any(_is_revision(sources, name) for name in sources.names if name.startswith(f"{path}/")):
        return None
    name = f"{target.module}:{target.attribute}" + ("()" if target.factory else "")
    renamed = next((match[1].decode() for file in files if (match := _COMMAND.search(sources.text(file)))), "db")
    return Step(
        "migrations",
        ("flask", renamed, "upgrade", "--directory", posixpath.relpath(path, directory)),
        directory,
        f"Flask-Migrate, with {path}",
        # Flask before 2.2 has no option `--app`.
        variables={"FLASK_APP": name},
    )


def _alembic_file(sources: Sources, folder: str) -> str | None:
    """Return the ``alembic.ini`` of a folder; else one beside its migrations that says so (``%(here)s``)."""
    own = posixpath.normpath(f"{folder}/alembic.ini")
    if sources.has_file(own):
        return own
    inside = (posixpath.normpath(f"{folder}/{name}/alembic.ini") for name in ("migrations", "alembic"))
    return next((name for name in inside if sources.has_file(name) and _IS_HERE.search(sources.text(name))), None)


def _alembic(
    sources: Sources, folder: str, ini: str, files: Iterable[str], variables: Mapping[str, str] | None, app_dir: str
) -> tuple[Step, ...]:
    if _runs_alembic_itself(sources, files):
        return ()
    above = posixpath.dirname(ini) or "."
    env = next((name for name in sources.names if name.endswith("/env.py") and _under(name, above)), None)
    if env is None:
        return ()
    versions = posixpath.dirname(env)
    if not any(_is_revision(sources, name) for name in sources.names if name.startswith(f"{versions}/")):
        return ()
    text = sources.text(env)
    asynchronous = b"async_engine_from_config" in text or b"create_async_engine" in text or b"run_sync" in text
    # A migration that imports the application's engine needs the URL that this engine accepts.
    own_engine = _OWN_ENGINE.search(text) is not None
    given = None if asynchronous or own_engine else variables
    # `alembic/__init__.py` would hide the package; alembic.ini puts the project onto the path later.
    if sources.has_file(posixpath.normpath(f"{folder}/alembic/__init__.py")) and _PREPENDS.search(sources.text(ini)):
        modules = posixpath.relpath(app_dir, folder)
        given = {**(given or {}), "PYTHONPATH": "" if modules == "." else modules}
    elsewhere = () if above == posixpath.normpath(folder) else ("--config", posixpath.relpath(ini, folder))
    argv = ("alembic", *elsewhere, *_alembic_section(sources.text(ini)), "upgrade", "head")
    return (Step("migrations", argv, folder, f"Alembic, with {ini}", variables=given),)


def _alembic_section(ini: bytes) -> tuple[str, ...]:
    """Return the option that names the first section with a ``script_location``; none for the usual one."""
    section = ""
    for line in ini.decode("utf-8", "replace").splitlines():
        match = _SECTION.match(line)
        if match is not None:
            section = match[1]
        elif _LOCATION.match(line):
            return () if section in {"", "alembic"} else ("--name", section)
    return ()


def _under(name: str, folder: str) -> bool:
    return folder == "." or name.startswith(f"{folder}/")


def _is_revision(sources: Sources, name: str) -> bool:
    return "version" in name and b"revision" in sources.text(name)[:4000]


def _runs_alembic_itself(sources: Sources, files: Iterable[str]) -> bool:
    """Return true if the application upgrades its database at startup (``alembic.command.upgrade``)."""
    trees = (sources.tree(file) for file in files if b"alembic" in sources.text(file))
    nodes = (node for tree in trees if tree for node in ast.walk(tree))
    return any(isinstance(node, ast.Attribute) and node.attr == "upgrade" for node in nodes)
