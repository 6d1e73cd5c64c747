"""Find the commands that a Flask application adds to the program ``flask``."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from preview.detection.expressions import last_name
from preview.detection.project_imports import is_aside
from preview.detection.steps.purpose import INIT, purpose
from preview.sources import Sources

_SCRIPT: Final = re.compile(rb"^\s*(?:from flask_script import|import flask_script)\b", re.MULTILINE)
_MAKES: Final = frozenset({"create_all", "executescript", "create_tables"})
_ADDS: Final = frozenset({"add", "add_all", "bulk_save_objects"})
_ASKS: Final = frozenset({"input", "prompt", "confirm", "prompt_bool", "prompt_pass", "getpass"})


@dataclass(frozen=True, slots=True)
class CliCommand:
    """A command of the application.

    Attributes:
        file: Where it is.
        makes_tables: Its function makes tables, and needs neither arguments nor answers.
        script: The script of Flask-Script that has it; empty for a command of ``flask``.
        adds_only: Its function stores data, and calls nothing that makes tables.
    """

    file: str
    makes_tables: bool
    script: str = ""
    adds_only: bool = False


def find_click_commands(sources: Sources) -> dict[tuple[str, ...], CliCommand]:
    """Return the commands as the words after ``flask`` or the script, such as ``("user", "create")``."""
    found: dict[tuple[str, ...], CliCommand] = {}
    for file in sources.names:
        text = sources.text(file)
        if is_aside(file) or b".command" not in text:
            continue
        tree = sources.tree(file)
        if tree is not None:
            script = file if _SCRIPT.search(text) else ""
            for words, makes_tables, adds_only in _commands(tree, is_script=bool(script)):
                found.setdefault(words, CliCommand(file, makes_tables, script, adds_only))
    return found


def _commands(tree: ast.Module, *, is_script: bool) -> Iterator[tuple[tuple[str, ...], bool, bool]]:
    groups = _groups(tree)
    makers = {one.name for one in tree.body if isinstance(one, ast.FunctionDef) and _makes_tables(one, frozenset())}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            call = mark.func if isinstance(mark, ast.Call) else mark
            if isinstance(call, ast.Attribute) and call.attr == "command":
                name = node.name if is_script else _name(mark) or _default_name(node.name)
                owner = call.value
                # `@blueprint.cli.command` is `flask blueprint …`; `@app.cli.command` is not in a group.
                inner = owner.value if isinstance(owner, ast.Attribute) and owner.attr == "cli" else owner
                group = groups.get(last_name(inner))
                words = (group, name) if group else (name,)
                yield words, _makes_tables(node, makers), _adds_only(node, makers)


def _makes_tables(node: ast.FunctionDef | ast.AsyncFunctionDef, makers: Container[str]) -> bool:
    """Return whether a function's own body makes tables, or calls one of ``makers``, and asks for nothing."""
    if node.args.args or node.args.kwonlyargs:
        return False
    calls = {last_name(one) for one in ast.walk(node) if isinstance(one, ast.Call)}
    makes = bool(calls & _MAKES) or any(one in makers for one in calls)
    return makes and not calls & _ASKS


def _adds_only(node: ast.FunctionDef | ast.AsyncFunctionDef, makers: Container[str]) -> bool:
    calls = {last_name(one) for one in ast.walk(node) if isinstance(one, ast.Call)}
    makes = any(one in _MAKES or one in makers or purpose(one) == INIT for one in calls)
    return not makes and "commit" in calls and bool(calls & _ADDS)


def _groups(tree: ast.Module) -> dict[str, str]:
    """Return the variables of blueprints and groups, with their names on the command line."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            kind = last_name(node.value)
            name = _name(node.value)
            if kind in {"Blueprint", "APIBlueprint", "AppGroup", "Group"} and name:
                alias = next((item.value for item in node.value.keywords if item.arg == "cli_group"), None)
                given = alias.value if isinstance(alias, ast.Constant) else name
                if isinstance(given, str):
                    found.update({target.id: given for target in node.targets if isinstance(target, ast.Name)})
    return found


def _name(mark: ast.expr) -> str | None:
    if not isinstance(mark, ast.Call):
        return None
    named = next((item.value for item in mark.keywords if item.arg == "name"), None)
    value = mark.args[0] if mark.args else named
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _default_name(function: str) -> str:
    """Return the name that click makes of a function's name (click 8.2 also drops these endings)."""
    return function.lower().replace("_", "-")
