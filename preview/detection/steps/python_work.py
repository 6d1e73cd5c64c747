"""Find the commands of a Python project that make its tables and fill them: Flask's commands, scripts, main blocks."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.plan import Step
from preview.detection.steps.click_commands import CliCommand, find_click_commands
from preview.detection.steps.django_work import find_django_work
from preview.detection.steps.main_block import ends_by_itself, main_block_step
from preview.detection.steps.purpose import INIT, SEED, StepWork, in_order, is_literal, is_other, left_out, purpose
from preview.endpoints import AppTarget
from preview.sources import Sources
from preview.sources.written_commands import WrittenCommand, written_commands

_PYTHON: Final = re.compile(r"(?:.*/)?python(?:3(?:\.\d+)?)?|py|\$[({]?PY(?:THON3?)?[)}]?", re.IGNORECASE)
_SERVER: Final = re.compile(rb"\b(?:uvicorn|app|socketio|application)\.run\(|\bserve_forever\(|\.run_app\(")
_DOWNLOADS: Final = re.compile(rb"\b(?:requests|httpx)\.get\(|\burlopen\(|\burlretrieve\(")
_ASIDE: Final = re.compile(r"(?:^|/)(?:tests?|testing|examples?|samples|docs?|benchmarks|e2e)/")
_IN_MEMORY: Final = re.compile(rb"""[\"']sqlite(?:\+\w+)?://[\"']|:memory:""")
# Of a command of this name, only the source tells what it makes.
_CREATE: Final = "create"
_MAKES_TABLES: Final = b".create_all("
_PREPARES: Final = re.compile(r"(?:init|create|build)[-_](?:db|database|tables|schema|(?:search[-_])?index(?:es)?)")
_APPLICATIONS: Final = frozenset({"app", "create_app", "application"})
_OWN_SCRIPTS: Final = (
    "init_db.py", "initdb.py", "create_db.py", "create_tables.py", "init_database.py", "create_database.py",
    "setup_db.py", "setup_database.py", "database_setup.py", "db_init.py", "db_setup.py",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PythonPlace:
    """Place of the application's commands.

    Attributes:
        directory: Working folder of the application, relative to the project.
        python_path: Folders that modules are imported from.
        files: Files that the application loads.
        server: Name of the database server that the project needs; empty if its database is a file.
        is_supplied: The preview gets the database server that the project wants.
    """

    directory: str
    python_path: Sequence[str]
    files: Sequence[str]
    server: str = ""
    is_supplied: bool = False


def find_python_work(
    sources: Sources, target: AppTarget, place: PythonPlace, migrations: Sequence[Step] = ()
) -> StepWork:
    """Return the steps that make tables and data, ``migrations`` among them."""
    if target.framework == "django":
        return find_django_work(sources, target, place.files, place.server, migrations)
    commands = written_commands(sources)
    clicks = find_click_commands(sources) if target.framework in {"flask", "quart"} else {}
    main = main_block_step(sources, target, place.directory, place.files)
    found = list(_named(sources, target, place, commands, clicks))
    if main is None and not migrations:
        found += _unnamed(sources, target, place, clicks, found)
    if place.server:
        others = [*([main] if main else []), *found]
        return StepWork(tuple(migrations), tuple(left_out(step, place.server) for step in others))
    warnings: tuple[str, ...] = ()
    if (
        main is not None
        and not place.is_supplied
        and any(_IN_MEMORY.search(sources.text(file)) for file in place.files)
    ):
        warnings = (f"{main.why}, and the database is in memory: call it when the module is imported",)
        main = None
    steps = in_order(found)
    before = [step for step in steps if step.name == INIT]
    after = [step for step in steps if step.name == SEED]
    return StepWork((*migrations, *before, *([main] if main else []), *after), warnings=warnings)


def _named(
    sources: Sources,
    target: AppTarget,
    place: PythonPlace,
    commands: Sequence[WrittenCommand],
    clicks: dict[tuple[str, ...], CliCommand],
) -> Iterator[Step]:
    """Yield the steps of commands that the project's files name, if what they name exists."""
    for command in commands:
        if not is_literal(command.words[1:]) and not is_literal(command.words[2:]):
            continue
        for position, word in enumerate(command.words[:8]):
            rest = command.words[position + 1 :]
            step = None
            if word == "flask":
                step = _flask(sources, target, place, rest, command.file, clicks)
            elif _PYTHON.fullmatch(word):
                step = _python(sources, target, place, rest, command, clicks)
            elif word.endswith(".py") and word.startswith("./"):
                step = _script(sources, target, place, word, rest, command)
            if step is not None:
                yield step
                break


def _flask(
    sources: Sources,
    target: AppTarget,
    place: PythonPlace,
    words: Sequence[str],
    file: str,
    clicks: dict[tuple[str, ...], CliCommand],
) -> Step | None:
    words = _without_options(words)
    for size in (2, 1):
        name = tuple(words[:size])
        if size == 2 and name not in clicks and _is_of_a_package(sources, place, name) and is_literal(words):
            return _click_step(target, place, tuple(words), INIT, f"{file} mentions it")
        # A command of the application that a README names as `flask init` makes its tables.
        kind = INIT if name in {("init",), ("setup",)} else purpose("_".join(name))
        found = clicks.get(name)
        if found is None or found.script:
            continue
        if found.adds_only and kind == INIT and purpose("_".join(name)) is None:
            kind = SEED
        if kind is None and (found.makes_tables or (name == (_CREATE,) and _MAKES_TABLES in sources.text(found.file))):
            kind = None if is_other("_".join(name)) else INIT
        if len(name) == size and kind and is_literal(words):
            return _click_step(target, place, tuple(words), kind, f"{file} mentions it, and it is in {found.file}")
    return None


def _is_of_a_package(sources: Sources, place: PythonPlace, name: tuple[str, ...]) -> bool:
    """Match ``("flask_wiki", "init-index")``: a package's own command that prepares what the package needs."""
    if len(name) != 2 or not _PREPARES.fullmatch(name[1]):
        return False
    imported = re.compile(rf"^\s*(?:from|import)\s+{re.escape(name[0].replace('-', '_'))}\b".encode(), re.MULTILINE)
    return any(imported.search(sources.text(file)) for file in place.files)


def _without_options(words: Sequence[str]) -> Sequence[str]:
    """Return the words after the options of ``flask`` itself."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        takes = rest[0] in {"--app", "-A", "-e", "--env-file"}
        rest = rest[2:] if takes else rest[1:]
    return rest


def _click_step(
    target: AppTarget, place: PythonPlace, words: tuple[str, ...], kind: str, why: str, script: str = ""
) -> Step:
    if script:
        return Step(kind, ("python", posixpath.relpath(script, place.directory), *words), place.directory, why)
    name = str(target) + ("()" if target.factory else "")
    return Step(kind, ("flask", *words), place.directory, why, variables={"FLASK_APP": name})


def _python(
    sources: Sources,
    target: AppTarget,
    place: PythonPlace,
    words: Sequence[str],
    command: WrittenCommand,
    clicks: dict[tuple[str, ...], CliCommand],
) -> Step | None:
    while words and words[0] in {"-u", "-B", "-O"}:
        words = words[1:]
    if list(words[:2]) == ["-m", "flask"]:
        return _flask(sources, target, place, words[2:], command.file, clicks)
    if words and words[0] == "-m" and len(words) > 1:
        return _module(sources, target, place, words[1], words[2:], command)
    if words and words[0].endswith(".py"):
        return _script(sources, target, place, words[0], words[1:], command)
    return None


def _module(
    sources: Sources,
    target: AppTarget,
    place: PythonPlace,
    module: str,
    arguments: Sequence[str],
    command: WrittenCommand,
) -> Step | None:
    path = module.replace(".", "/")
    kind = purpose(module.rpartition(".")[2]) or purpose(module)
    for folder in dict.fromkeys((place.directory, *place.python_path)):
        for end in (".py", "/__main__.py"):
            file = posixpath.normpath(f"{folder}/{path}{end}")
            if kind and sources.has_file(file) and _is_runnable(sources, target, file) and is_literal(arguments):
                argv = ("python", "-m", module, *arguments)
                return Step(kind, argv, place.directory, f"{command.file} mentions it")
    return None


def _script(
    sources: Sources,
    target: AppTarget,
    place: PythonPlace,
    name: str,
    arguments: Sequence[str],
    command: WrittenCommand,
) -> Step | None:
    """Return the step of a script; of ``manage.py create_db``, the argument tells the purpose."""
    above = posixpath.dirname(command.file)
    for folder in dict.fromkeys((above, place.directory, *place.python_path)):
        file = posixpath.normpath(posixpath.join(folder, name))
        if not sources.has_file(file) or not is_literal(arguments) or _is_of_another(sources, place, file):
            continue
        kind = purpose(posixpath.basename(file).removesuffix(".py"))
        if kind is None and arguments and posixpath.basename(file) in {"manage.py", "cli.py", "commands.py"}:
            said = sources.text(file)
            names = (arguments[0].encode(), arguments[0].replace("-", "_").encode())
            kind = purpose(arguments[0]) if any(one in said for one in names) else None
        if kind is not None and _is_runnable(sources, target, file):
            argv = ("python", posixpath.relpath(file, place.directory), *arguments)
            return Step(kind, argv, place.directory, f"{command.file} mentions it")
    return None


def _is_of_another(sources: Sources, place: PythonPlace, file: str) -> bool:
    """Return whether a script imports an application of the project that is not the started one."""
    tree = sources.tree(file)
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, ast.ImportFrom) or _APPLICATIONS.isdisjoint(alias.name for alias in node.names):
            continue
        path = (node.module or "").replace(".", "/")
        for folder in dict.fromkeys((place.directory, *place.python_path)):
            names = (posixpath.normpath(f"{folder}/{path}{end}") for end in (".py", "/__init__.py"))
            if (found := next(filter(sources.has_file, names), None)) is not None and not node.level:
                return found not in place.files
    return False


def _is_runnable(sources: Sources, target: AppTarget, file: str) -> bool:
    text = sources.text(file)
    if file == target.file or _ASIDE.search(file) or _SERVER.search(text) or _DOWNLOADS.search(text):
        return False
    tree = sources.tree(file)
    return tree is None or ends_by_itself(tree)


def _unnamed(
    sources: Sources,
    target: AppTarget,
    place: PythonPlace,
    clicks: dict[tuple[str, ...], CliCommand],
    named: Sequence[Step],
) -> Iterator[Step]:
    """Yield a command that makes the tables though no file names it; never one that adds data."""
    if any(step.name == INIT for step in named):
        return
    # Those with a usual name first.
    for words, found in sorted(clicks.items(), key=lambda one: purpose("_".join(one[0])) != INIT):
        is_named = len(words) == 1 and purpose(words[0]) == INIT and not found.script
        if is_named or (found.makes_tables and not is_other("_".join(words))):
            yield _click_step(
                target, place, words, INIT, f"{found.file} has this command to make the tables", found.script
            )
            return
    for folder in dict.fromkeys((place.directory, posixpath.normpath(target.app_dir))):
        for name in _OWN_SCRIPTS:
            file = posixpath.normpath(posixpath.join(folder, name))
            if sources.has_file(file) and file not in place.files and _is_runnable(sources, target, file):
                argv = ("python", posixpath.relpath(file, place.directory))
                yield Step(INIT, argv, place.directory, f"{file} makes the tables")
                return
