"""Projects without a known application: the command that their own files state, or a script that serves by itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Final

from preview.detection.databases.database import choose_database
from preview.detection.databases.needs import find_needs
from preview.detection.databases.sql import find_engine
from preview.detection.facts import read_facts
from preview.detection.layout import find_layout
from preview.detection.nodes import Nodes
from preview.detection.plan import Server, StartPlan, Toolchain
from preview.detection.reach import is_aside, reachable
from preview.detection.settings import collect
from preview.endpoints import AppTarget
from preview.sources import Sources
from preview.sources.commands import StartCommand

_LIBRARIES: Final = (
    ("aiohttp", rb"\bweb\.run_app\("),
    ("sanic", rb"\bSanic\("),
    ("tornado", rb"\btornado\b[\s\S]*\.listen\("),
    ("bottle", rb"\bbottle\b[\s\S]*\brun\("),
    ("cherrypy", rb"\bcherrypy\.quickstart\("),
    ("http.server", rb"\b(?:Threading)?HTTPServer\("),
    ("socketserver", rb"\bsocketserver\.\w*TCPServer\("),
    ("wsgiref", rb"\bmake_server\("),
    ("uvicorn", rb"\buvicorn\.run\("),
    ("waitress", rb"\bserve\(\w+"),
    ("falcon", rb"\bfalcon\b[\s\S]*\brun"),
)
_NAMES: Final = ("main.py", "app.py", "server.py", "run.py", "__main__.py", "index.py")
_FIXED_PORT: Final = re.compile(
    rb"""(?:port\s*=\s*|\.listen\(\s*|\(\s*["'][\w.]*["']\s*,\s*)(\d{2,5})\b""", re.IGNORECASE
)
_READS_PORT: Final = re.compile(rb"""["']PORT["']""")


def plan_script(sources: Sources) -> StartPlan | None:
    """The plan of a script that opens its own socket at ``PORT``; None where there is none."""
    found = [(name, library) for name in sources.names if not is_aside(name) and (library := _library(sources, name))]
    if not found:
        return None
    names = [name for name, _ in found]
    file = min(names, key=lambda name: (name.count("/"), _rank(name), name))
    library = dict(found)[file]
    text = sources.text(file)
    warnings = []
    fixed = _FIXED_PORT.search(text)
    if not _READS_PORT.search(text):
        port = f"{fixed[1].decode()}" if fixed else "a port of its own"
        warnings.append(
            f'{file} does not read PORT and listens at {port}: let it read os.environ["PORT"], or give a command in '
            "preview.toml"
        )
    folder = posixpath.dirname(file) or "."
    command: tuple[str, ...] = ("python", posixpath.relpath(file, folder))
    if posixpath.basename(file) == "__main__.py" and folder != ".":
        folder, package = posixpath.dirname(folder) or ".", posixpath.basename(folder)
        command = ("python", "-m", package)
    return _plan(sources, file, folder, command, f"{file} serves by itself, with {library}", warnings)


def plan_command(sources: Sources, commands: Sequence[StartCommand]) -> StartPlan | None:
    """The plan of a stated command (``Procfile``) whose application is not known; None where none is stated."""
    for command in commands:
        script = command.script
        if command.weight < 3 or script is None:
            continue
        file = posixpath.normpath(posixpath.join(command.folder, script))
        if sources.has_file(file) and file.endswith(".py"):
            return _plan(sources, file, command.folder, ("python", script), f"{command.file} starts {file}", [])
    return None


def _plan(
    sources: Sources, file: str, folder: str, command: tuple[str, ...], reason: str, warnings: list[str]
) -> StartPlan:
    target = AppTarget(file.removesuffix(".py").replace("/", "."), "", folder, False, file, reason, framework="command")
    nodes = Nodes(sources)
    files = reachable(nodes, file, (folder,))
    layout = find_layout(nodes, target, files)
    facts = read_facts(sources, files)
    settings = collect(nodes, files, [folder, "."])
    engine = find_engine(facts, sources, files)
    database = choose_database(engine, settings, facts)
    variables = {**settings.variables(database.variables), **database.variables}
    return StartPlan(
        framework="command",
        toolchain=Toolchain.PYTHON,
        server=Server.COMMAND,
        target=target,
        directory=folder,
        python_path=layout.python_path,
        command=command,
        manifests=layout.manifests,
        extra_requirements=database.requirements,
        variables=variables,
        services=find_needs(facts, settings, database, engine, variables),
        decisions=(reason, *database.decisions),
        warnings=tuple(warnings),
    )


def _library(sources: Sources, name: str) -> str | None:
    text = sources.text(name)
    for library, pattern in _LIBRARIES:
        if library.encode() in text and re.search(pattern, text[:200_000]):
            return library
    return None


def _rank(name: str) -> int:
    last = name.rpartition("/")[2]
    return _NAMES.index(last) if last in _NAMES else len(_NAMES)
