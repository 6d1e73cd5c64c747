"""The command with which a project's own files start it, if that names another entry than the detected one.

It is for a second attempt, after the detected application has failed to load. Only commands of a known form count, and
nothing of them is run: the application or the file that one names is started by the service's own launchers.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.overrides.given import Overrides
from preview.detection.plan import StartPlan, Toolchain
from preview.detection.scripts import runs_server
from preview.endpoints import FoundApp, is_shadowed
from preview.endpoints.ranking import commands_for
from preview.sources import Sources
from preview.sources.commands import MAX_BYTES, StartCommand, read_command, start_commands
from preview.sources.node_files import resolve_script_file
from preview.sources.node_package import read_node_packages
from preview.sources.node_scripts import managed_script, split_commands
from preview.sources.written_commands import commands_in_folders

_PYTHON: Final = re.compile(
    r"\b(?:uvicorn|gunicorn|hypercorn|daphne|waitress-serve|granian|flask|fastapi|python3?)\b", re.IGNORECASE
)
_NODE: Final = re.compile(r"\b(?:node|nodemon|ts-node|tsx|npm|yarn|pnpm)\b", re.IGNORECASE)
# What stands before the command in a Procfile, a Dockerfile, a compose file and a shell's line.
_LEADING: Final = re.compile(r"(?:web:|CMD|ENTRYPOINT|command:|entrypoint:|exec|sudo|[A-Za-z_]\w{0,60}=\S{0,200})")
_RUNNERS: Final = frozenset({"poetry", "uv", "pipenv", "pdm", "rye", "hatch"})
_NODE_PROGRAMS: Final = frozenset({"node", "nodemon", "ts-node", "ts-node-dev", "tsx"})
_MANAGERS: Final = frozenset({"npm", "yarn", "pnpm"})
# What a script of Click, Typer or Flask-Script does.
_SUBCOMMANDS: Final = frozenset(
    {"runserver", "run_server", "run-server", "serve", "server", "run", "start", "web", "api"}
)
_BARE: Final = re.compile(r"[a-z][\w:-]{0,60}")
# Scripts of `package.json` that start a server, by the usual names.
_SCRIPTS: Final = ("start", "serve", "server", "dev", "start:dev", "start:prod")
_NODE_FILE: Final = re.compile(r"\.(?:js|mjs|cjs|ts|mts|cts)$")
# A script of `package.json` has chosen the planned entry.
_BY_SCRIPT: Final = re.compile(r'package\.json "[^"]{1,100}"\)$')
_DEPLOYS: Final = re.compile(r"Procfile|ockerfile")
OWN_START: Final = "started by the project's own command"
"""Beginning of the decision that names the command."""
OWN_BUILD: Final = "started from the output of its own build"
"""Beginning of the decision that names the output."""
_MOST_TRIED: Final = 50
_MOST_WORDS: Final = 20
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class OwnStart:
    """One command of the project's files, in the forms of the service's launchers.

    Attributes:
        entry: The application or the file that it names.
        why: The command, the file that has it, and its line.
        start: The application, or the command, and its working folder.
    """

    entry: str
    why: str
    start: Overrides


def find_own_start(sources: Sources, plan: StartPlan, apps: Sequence[FoundApp]) -> OwnStart | None:
    """Return the first command of the project's files that starts another entry than the plan.

    None without one, and if any command starts the planned entry: then that entry is the right one, and its failure
    is the project's own.

    Args:
        sources: The project's files.
        plan: The detected plan.
        apps: Applications that were found in the sources.
    """
    if (own := _shadowed(sources, plan)) is not None:
        return own
    if plan.toolchain is Toolchain.NODE:
        found = _node_starts(sources)
    elif plan.toolchain is Toolchain.PYTHON:
        found = _python_starts(sources, {app.target.file for app in apps})
    else:
        return None
    if any(_BY_SCRIPT.search(one) for one in plan.decisions):
        return None
    app = next((app for app in apps if app.target == plan.target), None)
    if app is not None and any(_names(command, app) for command in commands_for(app, start_commands(sources), sources)):
        return None
    first: OwnStart | None = None
    for one in found:
        if not _is_other(one, plan):
            return None
        first = first or one
    return first


def _shadowed(sources: Sources, plan: StartPlan) -> OwnStart | None:
    """Return the start of ``app.py`` as a program, if Python imports the package ``app`` beside it instead."""
    if plan.target is None or not is_shadowed(sources, plan.target):
        return None
    folder, name = posixpath.split(plan.target.file)
    why = f'"python {name}" (a package of the same name stands beside it)'
    return OwnStart(plan.target.file, why, Overrides(command=("python", name), directory=folder or "."))


def _names(command: StartCommand, app: FoundApp) -> bool:
    """Return whether a command that starts the application names it, and not another file that imports it."""
    if command.script is None:
        return True
    folders = {command.folder, app.target.app_dir, "."}
    return app.target.file in {posixpath.normpath(posixpath.join(folder, command.script)) for folder in folders}


def _is_other(found: OwnStart, plan: StartPlan) -> bool:
    """Return whether the command starts another application, or another file, than the plan."""
    file, _, attribute = found.entry.partition(":")
    if plan.target is not None and plan.target.file == file:
        return bool(attribute) and attribute != plan.target.attribute
    words = (posixpath.normpath(posixpath.join(plan.directory, word)) for word in plan.command if "." in word)
    return file not in words


def _python_starts(sources: Sources, app_files: set[str]) -> Iterator[OwnStart]:
    for words, file, folder in _commands(sources, _PYTHON):
        command = read_command(words, file)
        if command is None:
            continue
        why = _why(sources, words, file)
        folders = list(dict.fromkeys((folder, command.folder)))
        if command.program == "fastapi" and command.script is not None:
            module = command.script.removesuffix(".py").replace("/", ".")
            yield from _application(sources, (module, ""), ".", folders, why)
        elif command.app is not None:
            yield from _application(sources, command.app, command.app_dir or ".", folders, why)
        elif command.script is not None:
            if words[1:2] == ("-m",):
                for one in _module(sources, words[2], [*folders, "."], why):
                    if (
                        one.entry in app_files
                        or _is_main_of(one.entry, app_files)
                        or runs_server(sources, one.entry)
                        or _DEPLOYS.search(file)
                    ):
                        yield one
                continue
            for place in folders:
                script = _inside(place, command.script)
                if script is None or not script.endswith(".py") or not sources.has_file(script):
                    continue
                more = _subcommand(words, command.script)
                if more is not None and (script in app_files or runs_server(sources, script) or _DEPLOYS.search(file)):
                    argv = ("python", posixpath.relpath(script, place), *more)
                    yield OwnStart(script, why, Overrides(command=argv, directory=place))
                break


def _is_main_of(script: str, app_files: Iterable[str]) -> bool:
    """Return whether ``shop/__main__.py`` may call what ``shop/app.py`` has."""
    folder, _, name = script.rpartition("/")
    return name == "__main__.py" and any(file.rpartition("/")[0] == folder for file in app_files)


def _module(sources: Sources, name: str, folders: Sequence[str], why: str) -> Iterator[OwnStart]:
    """Yield the start of ``python -m shop``, from the first folder with a file for it."""
    path = name.replace(".", "/")
    for place in dict.fromkeys(folders):
        for end in ("/__main__.py", ".py"):
            script = _inside(place, f"{path}{end}")
            if script is not None and sources.has_file(script):
                yield OwnStart(script, why, Overrides(command=("python", "-m", name), directory=place))
                return


def _subcommand(words: Sequence[str], script: str) -> tuple[str, ...] | None:
    """Return the word after the script if it is a usual name of what starts a server; None for another such word."""
    after = words[words.index(script) + 1 :][:1] if script in words else ()
    if not after or not _BARE.fullmatch(after[0]):
        return ()
    return tuple(after) if after[0] in _SUBCOMMANDS else None


def _application(
    sources: Sources, app: tuple[str, str], app_dir: str, folders: Sequence[str], why: str
) -> Iterator[OwnStart]:
    """Yield the start of ``module:attribute``, from the first folder with a file of that module."""
    module, attribute = app
    path = module.replace(".", "/")
    for folder in folders:
        for end in (".py", "/__init__.py"):
            file = _inside(posixpath.join(folder, app_dir), f"{path}{end}")
            if file is not None and sources.has_file(file):
                entry = f"{file}:{attribute}" if attribute else file
                place = posixpath.normpath(file.removesuffix(f"{path}{end}") or ".")
                yield OwnStart(
                    entry, why, Overrides(app=f"{module}:{attribute}" if attribute else module, directory=place)
                )
                return


def _node_starts(sources: Sources) -> Iterator[OwnStart]:
    packages = {item.folder: item.scripts for item in read_node_packages(sources)}
    for words, file, folder in _commands(sources, _NODE):
        why = _why(sources, words, file)
        for place in dict.fromkeys((folder, posixpath.dirname(file) or ".")):
            yield from _node_file(sources, words, place, why, packages.get(place, {}))
    for folder, scripts in packages.items():
        manifest = posixpath.normpath(f"{folder}/package.json")
        for name in _SCRIPTS:
            if name in scripts:
                line = _line(sources, manifest, [f'"{name}"'])
                why = f'"npm run {name}" ({manifest}, line {line})'
                yield from _node_file(sources, ("npm", "run", name), folder, why, scripts)


def _node_file(
    sources: Sources, words: Sequence[str], folder: str, why: str, scripts: Mapping[str, str]
) -> Iterator[OwnStart]:
    """Yield the start of the file that ``node x.js`` names, or the script that ``npm run x`` does."""
    if words[0] in _MANAGERS:
        name, _ = managed_script(list(words)) or ("", "")
        for command in split_commands(scripts.get(name, "")):
            if command and command[0] in _NODE_PROGRAMS:
                yield from _node_file(sources, tuple(command), folder, why, {})
        return
    if words[0] not in _NODE_PROGRAMS:
        return
    name = next((word for word in words[1:] if not word.startswith("-")), "")
    if name and _inside(folder, name) is not None:
        found = resolve_script_file(sources, folder, name)
        if found is not None and _NODE_FILE.search(found):
            yield OwnStart(found, why, Overrides(app=found))


def _commands(sources: Sources, program: re.Pattern[str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield the words of each command from its program on, its file, and the folder that it runs in."""
    tried = 0
    for command, folder in commands_in_folders(sources, program):
        words = command.words[:_MOST_WORDS]
        while words and (_LEADING.fullmatch(words[0]) or (words[0] in _RUNNERS and words[1:2] == ("run",))):
            words = words[2:] if words[0] in _RUNNERS else words[1:]
        if words and program.fullmatch(words[0]):
            tried += 1
            yield words, command.file, folder
        if tried >= _MOST_TRIED:
            return


def _inside(folder: str, name: str) -> str | None:
    """Return the path of a file relative to the project; None if it is outside."""
    path = posixpath.normpath(posixpath.join(folder, name))
    return None if path.startswith(("..", "/")) else path


def _why(sources: Sources, words: Sequence[str], file: str) -> str:
    text = "".join(one if one.isprintable() else " " for one in shlex.join(words))
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
    return f'"{shown}" ({file}, line {_line(sources, file, words[:2])})'


def _line(sources: Sources, file: str, words: Sequence[str]) -> int:
    """Return the number of the first line with all the words; 1 if they stand on several lines."""
    lines = sources.text(file)[:MAX_BYTES].decode("utf-8", "replace").splitlines()
    found = (number for number, line in enumerate(lines, 1) if all(word in line for word in words))
    return next(found, 1)
