"""What comments above routes and handlers say of them."""

from __future__ import annotations

import re
from typing import Final

from tree_sitter import Node

from preview.endpoints.javascript import text

_MAX_SUMMARY: Final = 120
_FRAME: Final = re.compile(r"^\s*(?:/\*+|\*+/|\*|//+)?\s?|\s*\*+/\s*$")
_TITLE: Final = re.compile(r"@(?:desc|description|summary|apiDescription|dev)\b:?\s*(.+)", re.IGNORECASE)
_API: Final = re.compile(r"@api\s+\{\w+\}\s+\S+\s+(.+)")
_YAML: Final = re.compile(r"(?:^|[\s*])summary:\s*(.+)")
_YAML_TEXT: Final = re.compile(r"(?:^|[\s*])description:\s*(.+)")
# What the line below says anyway.
_REPEATED: Final = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE|ALL)[\s:]+/\S*$", re.IGNORECASE)
_TAG: Final = re.compile(r"^\s*@")
# Statements whose comment is about the function within them.
_STATEMENTS: Final = frozenset(
    {"expression_statement", "lexical_declaration", "variable_declaration", "function_declaration", "export_statement",
     "method_definition", "pair", "public_field_definition", "field_definition", "class_declaration"}
)  # fmt: skip


def comment_above(node: Node | None) -> str:
    """The text of the comments that stand right above the statement that a node is in; empty for none."""
    while node is not None and node.type not in _STATEMENTS:
        node = node.parent
    if node is not None and node.parent is not None and node.parent.type == "export_statement":
        node = node.parent
    return _gather(node) if node is not None else ""


def is_heading(call: Node, comment: str) -> bool:
    """Whether a comment above a route is the heading of several: the next one follows at once, without its own."""
    node: Node | None = call
    while node is not None and node.type != "expression_statement":
        node = node.parent
    following = node.next_sibling if node is not None else None
    if node is None or following is None or following.type != "expression_statement" or "@" in comment:
        return False
    return following.start_point.row == node.end_point.row + 1


def comment_in_chain(call: Node) -> str:
    """The text of the comment within a chain, before ``.get(…)``."""
    function = call.child_by_field_name("function")
    parts = function.children if function is not None else []
    return "\n".join(text(part) for part in parts if part.type == "comment")


def _gather(node: Node) -> str:
    found: list[str] = []
    row = node.start_point.row
    previous = node.prev_sibling
    # A decorator stands between a comment and its method.
    while previous is not None and previous.type in {"comment", "decorator"} and previous.end_point.row >= row - 1:
        if previous.prev_sibling is not None and previous.prev_sibling.end_point.row == previous.start_point.row:
            break  # it ends the line of another statement
        if previous.type == "comment":
            found.append(text(previous))
        row = previous.start_point.row
        previous = previous.prev_sibling
    return "\n".join(reversed(found))


def read_comment(comment: str) -> tuple[str, str]:
    """A summary and a description; empty where the comment says neither."""
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
