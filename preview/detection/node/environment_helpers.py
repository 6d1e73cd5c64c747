"""A project's own functions around ``process.env[name]``, and the variables that their calls name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tree_sitter import Node

from preview.detection.settings.model import Need, SettingRead
from preview.sources.javascript import JavaScriptTrees, all_nodes, source_of

_FUNCTIONS: Final = frozenset(
    {"arrow_function", "function_expression", "function_declaration", "method_definition", "function"}
)
ENDS: Final = re.compile(r"\bthrow\b|process\.exit|\bassert")
"""What ends a program."""

# `process.env.X ?? requireDefined(defaults.x)`, `|| throwError("X")`, `?? (() => { throw … })()`
_REFUSAL: Final = re.compile(
    r"(?:\w{1,60}\.)?(?:require[A-Z_]|assert|must(?![a-z])|throw|raise|panic|missing)\w{0,60}\s{0,4}\("
    r"|\(\(\) =>[^;]{0,20}\bthrow\b"
)
# `key as string`, `key!`
_KEY_TYPE: Final = re.compile(r"(?: as .*|!)$", re.DOTALL)
_READS: Final = b"process.env["
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*[A-Z0-9]")
# Where a function without a name of its own has one; the last two are fields of classes (TypeScript, JavaScript).
_NAME_FIELDS: Final = {
    "variable_declarator": "name",
    "assignment_expression": "left",
    "pair": "key",
    "public_field_definition": "name",
    "field_definition": "property",
}
_MAX_HELPERS: Final = 20
_MAX_FILES: Final = 400


@dataclass(frozen=True, slots=True)
class _Helper:
    """One function.

    Attributes:
        index: Number of the parameter that is the variable's name.
        need: Required if it ends the program without a value.
    """

    index: int
    need: Need


def is_refusal(text: str) -> bool:
    """Return whether what stands in for a missing value is a call that ends the program."""
    return _REFUSAL.match(text) is not None


def helper_reads(trees: JavaScriptTrees, files: Iterable[str]) -> list[SettingRead]:
    """Return the variables that calls of such functions name: ``requireEnv("SITE_KEY")``, in all files."""
    names, helpers = list(files)[:_MAX_FILES], dict[str, _Helper]()
    for file in names:
        tree = trees.tree(file) if _READS in trees.sources.text(file) else None
        for name, helper in _helpers(tree) if tree is not None else ():
            if len(helpers) < _MAX_HELPERS:
                helpers.setdefault(name, helper)
    if not helpers:
        return []
    called = re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in helpers) + rb")\s{0,4}\(")
    found: list[SettingRead] = []
    for file in names:
        tree = trees.tree(file) if called.search(trees.sources.text(file)) else None
        found += _calls(file, tree, helpers) if tree is not None else ()
    return found


def _helpers(root: Node) -> Iterator[tuple[str, _Helper]]:
    for node in all_nodes(root):
        if node.type != "subscript_expression" or source_of(node.child_by_field_name("object")) != "process.env":
            continue
        function = _function_of(node)
        name = "" if function is None else _name_of(function)
        parameters = [] if function is None else _parameters(function)
        key = _KEY_TYPE.sub("", source_of(node.child_by_field_name("index")))
        if function is not None and name and key in parameters:
            need = Need.REQUIRED if ENDS.search(source_of(function.child_by_field_name("body"))) else Need.OPTIONAL
            yield name, _Helper(parameters.index(key), need)


def _calls(file: str, root: Node, helpers: Mapping[str, _Helper]) -> Iterator[SettingRead]:
    for node in all_nodes(root):
        if node.type != "call_expression":
            continue
        called = source_of(node.child_by_field_name("function")).rpartition(".")[2]
        helper = helpers.get(called)
        values = node.child_by_field_name("arguments")
        arguments = [] if values is None else [one for one in values.named_children if one.type != "comment"]
        if helper is None or helper.index >= len(arguments):
            continue
        name = _literal(arguments[helper.index])
        if _NAME.fullmatch(name):
            rest = arguments[helper.index + 1 :]
            default = _literal(rest[0]) if rest else ""
            need = Need.DEFAULTED if rest else helper.need
            yield SettingRead(
                name, file, node.start_point.row + 1, need, default=default or None, has_default=bool(default)
            )


def _function_of(node: Node) -> Node | None:
    parent = node.parent
    while parent is not None and parent.type not in _FUNCTIONS:
        parent = parent.parent
    return parent


def _name_of(function: Node) -> str:
    """Return the name under which a function is called; empty if it has none."""
    if named := function.child_by_field_name("name"):
        return source_of(named)
    parent = function.parent
    if parent is None:
        return ""
    field = _NAME_FIELDS.get(parent.type)
    return source_of(parent.child_by_field_name(field)).rpartition(".")[2] if field is not None else ""


def _parameters(function: Node) -> list[str]:
    """Return the names of the parameters, without types and defaults."""
    single = function.child_by_field_name("parameter")
    if single is not None:
        return [source_of(single)]
    listed = function.child_by_field_name("parameters")
    found = []
    for item in listed.named_children if listed is not None else ():
        inner = item.child_by_field_name("pattern") or item.child_by_field_name("left") or item
        found.append(source_of(inner))
    return found


def _literal(node: Node) -> str:
    text = source_of(node)
    if node.type in {"string", "template_string"}:
        return "" if "${" in text else text[1:-1]
    return text if node.type in {"number", "true", "false"} else ""
