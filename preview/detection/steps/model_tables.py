"""Make the tables of an application's models, where the preview supplies the database and nothing else does."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Final

from preview.detection.plan import Step
from preview.endpoints import AppTarget
from preview.sources import Sources

# Flask-SQLAlchemy 3 keeps itself under that name, 2 an object with it.
_MAKE: Final = (
    "import importlib,sys;a=getattr(importlib.import_module(sys.argv[1]),sys.argv[2]);a=a() if sys.argv[3:] else a;"
    "c=a.app_context();c.push();e=a.extensions['sqlalchemy'];getattr(e,'db',e).create_all();c.pop()"
)
# The application first: its import declares the models.
_CALL: Final = (
    "import asyncio,importlib,inspect,sys;importlib.import_module(sys.argv[1]);"
    "r=getattr(importlib.import_module(sys.argv[2]),sys.argv[3])();inspect.isawaitable(r) and "
    "asyncio.new_event_loop().run_until_complete(r)"
)
# All tables that the application's modules declare, in the one database to which they connect. An asynchronous engine
# has a synchronous one inside, which cannot be used alone.
_DECLARED: Final = """import asyncio, gc, importlib, sys
importlib.import_module(sys.argv[1])
from sqlalchemy import MetaData
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
there = gc.get_objects()
tables = [one for one in there if isinstance(one, MetaData) and one.tables]
engines = [one for one in there if isinstance(one, AsyncEngine)]
inside = [one.sync_engine for one in engines]
engines = [one for one in there if isinstance(one, Engine) and one not in inside] or engines
async def make(engine, one):
    async with engine.begin() as connection:
        await connection.run_sync(one.create_all)
    await engine.dispose()
if len({str(one.url) for one in engines}) != 1:
    sys.exit(print('no tables are made:', len(engines), 'database engines are there'))
for one in tables:
    isasync = isinstance(engines[0], AsyncEngine)
    asyncio.run(make(engines[0], one)) if isasync else one.create_all(engines[0])
print('tables:', ', '.join(name for one in tables for name in one.tables)[:500])
"""
_NAMED: Final = re.compile(r"(?:init|create|setup|make|prepare|build)_?\w*(?:db|database|tables?|models|schema)\w*")
_USED: Final = b"flask_sqlalchemy"
_ASGI: Final = frozenset({"fastapi", "starlette"})
_MADE: Final = b"create_all("
# A file such as `tables.sql`, and not the module `sqlalchemy.sql`.
_MAKES: Final = re.compile(
    rb"\.create_all\s*[(),]|\bCREATE\s+TABLE\b|(?<!sqlalchemy)(?<!sqlmodel)\.sql\b", re.IGNORECASE
)
_UPGRADES: Final = re.compile(rb"\bcommand\.upgrade\b")
_DECLARES: Final = re.compile(
    rb"^class\s[^)]{1,200}\bDeclarativeBase\b|\bdeclarative_base\(|^@as_declarative\b|\btable\s*=\s*True\s*\)\s*:",
    re.MULTILINE,
)
_ENGINE: Final = re.compile(rb"\bcreate_(?:async_)?engine\(")


def find_model_tables_step(
    sources: Sources, target: AppTarget, files: Iterable[str], directory: str
) -> tuple[Step, ...]:
    """Return the step; empty if the project makes its tables itself, or has no models of Flask-SQLAlchemy.

    Args:
        sources: The project's files.
        target: The application.
        files: The files that it loads.
        directory: Where it is started.
    """
    files = list(files)
    texts = [sources.text(file) for file in files]
    if target.framework in _ASGI:
        return _uncalled(sources, target, files, directory) or _declared(sources, target, texts, directory)
    if target.framework != "flask" or not any(_USED in text for text in texts):
        return ()
    if any(_MADE in text and not _is_for_commands(sources, file) for file, text in zip(files, texts, strict=True)):
        return ()
    factory = ("factory",) if target.factory else ()
    argv = ("python", "-c", _MAKE, target.module, target.attribute, *factory)
    return (Step("tables", argv, directory, "nothing in the project makes the tables of its models"),)


def _is_for_commands(sources: Sources, file: str) -> bool:
    """Return whether only commands of the command line (``flask recreate_db``) make a module's tables.

    Such a command may drop tables, so it is not run.
    """
    tree = sources.tree(file)
    nodes = list(ast.walk(tree)) if tree is not None else []
    commands = [one for one in nodes if isinstance(one, ast.FunctionDef) and any(map(_is_command, one.decorator_list))]
    inside = {id(node) for command in commands for node in ast.walk(command)}
    makes = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "create_all"]
    return bool(makes) and all(id(node) in inside for node in makes)


def _is_command(decorator: ast.expr) -> bool:
    found = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(found, ast.Attribute) and found.attr == "command"


def _declared(sources: Sources, target: AppTarget, texts: Sequence[bytes], directory: str) -> tuple[Step, ...]:
    """Return the step that makes the tables of an application's declared models, if its files make none."""
    code = [text for text in texts if b"sqlalchemy" in text or b"sqlmodel" in text]
    is_complete = any(_DECLARES.search(text) for text in code) and any(_ENGINE.search(text) for text in code)
    if not is_complete or any(_MAKES.search(text) for text in texts):
        return ()
    # Without revisions, an upgrade makes nothing.
    revises = any("versions/" in name and not name.endswith("__init__.py") for name in sources.with_suffix(".py"))
    if revises and any(_UPGRADES.search(text) for text in texts):
        return ()
    argv = ("python", "-c", _DECLARED, target.module)
    return (Step("tables", argv, directory, "nothing in the project makes the tables of its models"),)


def _uncalled(sources: Sources, target: AppTarget, files: Sequence[str], directory: str) -> tuple[Step, ...]:
    """Return the step that calls the project's own function for its tables, such as ``init_db``, if nothing does."""
    texts = {file: sources.text(file) for file in files}
    makers = [(file, one) for file in files if b".create_all" in texts[file] for one in _makers(sources, file)]
    others = sum(text.count(b".create_all") for text in texts.values())
    if len(makers) != 1 or others != 1:
        return ()
    file, name = makers[0]
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    if sum(len(word.findall(text)) for text in texts.values()) != 1:
        return ()
    prefix = "" if target.app_dir == "." else f"{posixpath.normpath(target.app_dir)}/"
    if not file.startswith(prefix):
        return ()
    module = file.removeprefix(prefix).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    why = f"{name} in {file} makes the tables, and nothing calls it"
    return (Step("tables", ("python", "-c", _CALL, target.module, module, name), directory, why),)


def _makers(sources: Sources, file: str) -> list[str]:
    """Return the functions of a module, without arguments and with a usual name, that call ``create_all``."""
    tree = sources.tree(file)
    return [
        node.name
        for node in (tree.body if tree is not None else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _NAMED.fullmatch(node.name)
        and not (node.args.args or node.args.posonlyargs or node.args.kwonlyargs)
        and any(isinstance(inner, ast.Attribute) and inner.attr == "create_all" for inner in ast.walk(node))
    ]
