"""Find the commands that a Flask application adds to the program ``flask``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from preview.detection.expressions import last_name
from preview.detection.project_imports import is_aside
from preview.sources import Sources


def find_click_commands(sources: Sources) -> dict[tuple[str, ...], str]:
    """Return the commands as the words after ``flask``, such as ``("user", "create")``, with the file of each."""
    found: dict[tuple[str, ...], str] = {}
    for file in sources.names:
        text = sources.text(file)
        if is_aside(file) or not (b".command(" in text or b".cli.command" in text):
            continue
        tree = sources.tree(file)
        if tree is not None:
            for words in _commands(tree):
                found.setdefault(words, file)
    return found


def _commands(tree: ast.Module) -> Iterator[tuple[str, ...]]:
    groups = _groups(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            call = mark.func if isinstance(mark, ast.Call) else mark
            if isinstance(call, ast.Attribute) and call.attr == "command":
                name = _name(mark) or _default_name(node.name)
                owner = call.value
                # `@blueprint.cli.command` is `flask blueprint …`; `@app.cli.command` is not in a group.
                inner = owner.value if isinstance(owner, ast.Attribute) and owner.attr == "cli" else owner
                group = groups.get(last_name(inner))
                yield (group, name) if group else (name,)


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
