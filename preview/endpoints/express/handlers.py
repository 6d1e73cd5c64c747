"""Facts about a route from its handlers: names, comments, and fields of the request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tree_sitter import Node

from preview.endpoints.express.requests import Requests, Validated, read_validator
from preview.endpoints.express.schemas import read_schema
from preview.endpoints.javascript import Function, JavaScriptEvaluator, JSObject, Made, Scope, argument_nodes, text
from preview.endpoints.node.router import Route

_MAX_SUMMARY: Final = 120
_FRAME: Final = re.compile(r"^\s*(?:/\*+|\*+/|\*|//+)?\s?|\s*\*+/\s*$")
_TITLE: Final = re.compile(r"@(?:desc|description|summary|apiDescription|dev)\b:?\s*(.+)", re.IGNORECASE)
_API: Final = re.compile(r"@api\s+\{\w+\}\s+\S+\s+(.+)")
_YAML: Final = re.compile(r"(?:^|[\s*])summary:\s*(.+)")
_YAML_TEXT: Final = re.compile(r"(?:^|[\s*])description:\s*(.+)")
# Comments that only repeat the method and the path of the route.
_REPEATED: Final = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE|ALL)[\s:]+/\S*$", re.IGNORECASE)
_TAG: Final = re.compile(r"^\s*@")
# Statements whose comment describes the function inside.
_STATEMENTS: Final = frozenset(
    {"expression_statement", "lexical_declaration", "variable_declaration", "function_declaration", "export_statement",
     "method_definition", "pair", "public_field_definition", "field_definition", "class_declaration"}
)  # fmt: skip


def comment_above(node: Node | None) -> str:
    """Return the text of the comments directly above the statement that contains a node; empty for none."""
    while node is not None and node.type not in _STATEMENTS:
        node = node.parent
    if node is not None and node.parent is not None and node.parent.type == "export_statement":
        node = node.parent
    return _gather(node) if node is not None else ""


def is_heading(call: Node, comment: str) -> bool:
    """Return whether a comment is the heading of several routes: the next line is a statement without a comment."""
    node: Node | None = call
    while node is not None and node.type != "expression_statement":
        node = node.parent
    following = node.next_sibling if node is not None else None
    if node is None or following is None or following.type != "expression_statement" or "@" in comment:
        return False
    return following.start_point.row == node.end_point.row + 1


def comment_in_chain(call: Node) -> str:
    """Return the text of the comment within a chain, before ``.get(…)``."""
    function = call.child_by_field_name("function")
    parts = function.children if function is not None else []
    return "\n".join(text(part) for part in parts if part.type == "comment")


def _gather(node: Node) -> str:
    found: list[str] = []
    row = node.start_point.row
    previous = node.prev_sibling
    # A decorator may stand between a comment and its method.
    while previous is not None and previous.type in {"comment", "decorator"} and previous.end_point.row >= row - 1:
        if previous.prev_sibling is not None and previous.prev_sibling.end_point.row == previous.start_point.row:
            break  # this comment ends the line of another statement
        if previous.type == "comment":
            found.append(text(previous))
        row = previous.start_point.row
        previous = previous.prev_sibling
    return "\n".join(reversed(found))


def read_comment(comment: str) -> tuple[str, str]:
    """Return a summary and a description; both are empty if the comment has neither."""
    for pattern in (_TITLE, _API, _YAML):
        match = pattern.search(comment)
        if match is not None:
            more = _YAML_TEXT.search(comment) if pattern is _YAML else None
            return _clean(match[1])[:_MAX_SUMMARY], _clean(more[1]) if more is not None else ""
    if "@swagger" in comment or "@openapi" in comment:
        match = _YAML_TEXT.search(comment)
        return (_clean(match[1])[:_MAX_SUMMARY], "") if match is not None else ("", "")
    lines = []
    for line in comment.splitlines():
        if _TAG.match(_clean(line)):
            break
        lines.append(_clean(line))
    words = [line for line in lines if re.search(r"\w", line) and not _REPEATED.match(line)]
    if not words or len(words[0]) > _MAX_SUMMARY:
        return "", "\n".join(words)
    return words[0], "\n".join(words[1:])


def _clean(line: str) -> str:
    return _FRAME.sub("", _FRAME.sub("", line, count=1)).strip().strip("'\"")


_FUNCTIONS: Final = frozenset({"arrow_function", "function_expression", "function"})
_BINDERS: Final = frozenset({"bind", "call", "apply"})
# Depth limit for handlers in nested wrappers.
_MAX_DEPTH: Final = 4
_MAX_HANDLERS: Final = 12


@dataclass(slots=True)
class Known:
    """Facts about a route from the source."""

    summary: str = ""
    description: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)


def read_handlers(route: Route, evaluator: JavaScriptEvaluator, requests: Requests) -> Known:
    """Return name and comments of the last handler, and the request's fields that any handler reads or checks."""
    known = Known()
    validated = Validated()
    functions: list[Function] = []
    for node in route.handlers[:_MAX_HANDLERS]:
        functions += _functions(node, route.scope, evaluator, 0)
        _validate(node, route.scope, evaluator, validated)
    functions += [value for value in route.values if isinstance(value, Function)]
    for function in functions:
        requests.read(function, known.query, known.body)
    if route.schema is not None:
        read_schema(route.schema, validated, evaluator)
        known.summary, known.description = (_declared(route.schema, name) for name in ("summary", "description"))
    known.query |= validated.query
    known.body |= validated.body
    if not known.summary:
        _describe(known, route, functions)
    return known


def _declared(schema: JSObject, name: str) -> str:
    value = schema.names.get(name)
    return value[:_MAX_SUMMARY] if isinstance(value, str) else ""


def _describe(known: Known, route: Route, functions: list[Function]) -> None:
    comments = []
    if route.node is not None:
        comments.append(comment_in_chain(route.node))
        if not comments[0] and _begins_statement(route.node):
            above = comment_above(route.node)
            comments.append("" if is_heading(route.node, above) else above)
    if functions:
        comments.append(comment_above(functions[-1].node))
    for comment in comments:
        summary, description = read_comment(comment) if comment else ("", "")
        if summary or description:
            known.summary, known.description = summary, known.description or description
            break
    named = _name(route.handlers[-1], 0) if route.handlers else functions[-1].name if functions else ""
    known.summary = known.summary or named


def _begins_statement(call: Node) -> bool:
    """Return whether a call begins its statement; later parts of a chain have no comment above them."""
    function = call.child_by_field_name("function")
    owner = function.child_by_field_name("object") if function is not None else None
    return owner is None or owner.type != "call_expression"


def _name(node: Node, depth: int) -> str:
    """Return ``list`` for ``users.list``, ``wrap(users.list)`` and ``users.list.bind(users)``."""
    if node.type == "identifier":
        return text(node)
    if node.type == "member_expression":
        return text(node.child_by_field_name("property"))
    if node.type in _FUNCTIONS:
        return text(node.child_by_field_name("name"))
    if node.type == "array" and node.named_children:
        return _name(node.named_children[-1], depth + 1)
    if node.type != "call_expression" or depth > _MAX_DEPTH:
        return ""
    function = node.child_by_field_name("function")
    arguments = argument_nodes(node)
    if function is not None and text(function.child_by_field_name("property")) in _BINDERS:
        owner = function.child_by_field_name("object")
        return _name(owner, depth + 1) if owner is not None else ""
    inner = _name(arguments[-1], depth + 1) if arguments else ""
    return inner or (_name(function, depth + 1) if function is not None else "")


def _functions(node: Node, scope: Scope, evaluator: JavaScriptEvaluator, depth: int) -> Iterator[Function]:
    """Yield the project's functions in a handler's expression, wrapped ones first."""
    if depth > _MAX_DEPTH:
        return
    if node.type == "call_expression":
        for argument in argument_nodes(node):
            yield from _functions(argument, scope, evaluator, depth + 1)
    if node.type in {"string", "template_string", "object", "number"}:
        return
    yield from _unwrapped(evaluator.settle(evaluator.evaluate(node, scope)), evaluator, depth)


def _unwrapped(value: object, evaluator: JavaScriptEvaluator, depth: int) -> Iterator[Function]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, (Made, list)):
        for item in value.arguments if isinstance(value, Made) else value:
            yield from _unwrapped(evaluator.settle(item), evaluator, depth + 1)
    elif isinstance(value, Function):
        if value.scope.parent is not None:  # the result of a wrapper: `const wrap = fn => (req, res) => fn(req, res)`
            inner = [item for name, item in value.scope.names.items() if name != "this"]
            for item in inner:
                if isinstance(item, Function) and item is not value and item.scope is not value.scope:
                    yield from _unwrapped(item, evaluator, depth + 1)
        yield value


def _validate(node: Node, scope: Scope, evaluator: JavaScriptEvaluator, found: Validated) -> None:
    """Read the schemas that a middleware gets (``validate(schema)``), and validators used as middleware."""
    if node.type in _FUNCTIONS:
        return
    value = evaluator.settle(evaluator.evaluate(node, scope))
    if isinstance(value, (Made, list)):
        read_validator(value, found)
    if node.type == "call_expression":
        for argument in argument_nodes(node):
            if argument.type not in _FUNCTIONS:
                read_validator(evaluator.settle(evaluator.evaluate(argument, scope)), found)
