"""Access to tree-sitter's nodes."""

from __future__ import annotations

import re

from tree_sitter import Node

_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r\n|[\s\S]))")
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": ""}
_TELLING = re.compile(
    rb"\b(?:app|server|routers?|routes?|express|require|import|controllers?|paths?|prefix|urls?|fastify|hono|koa|elysia|api)\b|Router"
    rb"|\.(?:use|push|register)\("
)
_LAST_CODE_POINT = 0x10FFFF


def may_register(node: Node) -> bool:
    """Return whether source may mention applications, routes or modules; other source is skipped."""
    return bool(_TELLING.search(node.text or b""))


def text(node: Node | None) -> str:
    """Return the source of a node; empty for none."""
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


def children(node: Node | None) -> list[Node]:
    """Return the named parts of a node without comments; empty for none."""
    return [child for child in node.named_children if child.type != "comment"] if node is not None else []


def first_child(node: Node | None) -> Node | None:
    """Return the first named part of a node, without comments; None if it has none."""
    return next(iter(children(node)), None)


def fields(node: Node, name: str) -> list[Node]:
    """Return all parts with a field's name, without comments."""
    return [child for child in node.children_by_field_name(name) if child.type != "comment"]


def argument_nodes(call: Node) -> list[Node]:
    """Return the arguments of a call or of ``new``."""
    arguments = call.child_by_field_name("arguments")
    return children(arguments) if arguments is not None and arguments.type == "arguments" else []


def string_value(node: Node) -> str:
    """Return the value of a string literal."""
    return unescape(text(node)[1:-1])


def unescape(source: str) -> str:
    """Replace escapes by the characters that they stand for."""
    return _ESCAPE.sub(_character, source) if "\\" in source else source


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _NAMED.get(match[4], match[4])
    number = int(code, 16)
    # UTF-8 cannot encode half of a surrogate pair.
    return chr(number) if number <= _LAST_CODE_POINT and not 0xD800 <= number <= 0xDFFF else "\N{REPLACEMENT CHARACTER}"
