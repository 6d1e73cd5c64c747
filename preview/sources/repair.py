"""Parsing of Python source with newer syntax than this Python's, or with broken parts."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Each removed part costs another parsing of the file.
_MAX_PARTS: Final = 12
_TYPE_PARAMETERS: Final = re.compile(rb"^(\s*(?:async\s+)?(?:def|class)\s+\w+)\[[^\n()]*?\]\s*(?=[(:])", re.MULTILINE)
_TYPE_ALIAS: Final = re.compile(rb"^(\s*)type\s+(\w+)(?:\[[^\n=]*\])?\s*=(?!=)", re.MULTILINE)
_BARE_EXCEPT: Final = re.compile(rb"^(\s*except)\s+([\w.]+(?:\s*,\s*[\w.]+)+)\s*:", re.MULTILINE)

# Python 3.12 allows f"{row["name"]}". Quotes of the other kind mean the same in every version.
_NESTED_QUOTES: Final = re.compile(rb"""(\{[^{}"'\n]*)"([^"'\n{}]*)"([^{}"'\n]*\})""")
_HEADS: Final = (
    b"def ",
    b"async ",
    b"class ",
    b"@",
    b"if ",
    b"else",
    b"elif ",
    b"for ",
    b"while ",
    b"with ",
    b"try",
    b"except",
)


def parse_what_can_be(text: bytes) -> ast.Module:
    """Parse a file; rewrite type parameters (3.12) and bare exception lists (3.14), and leave out broken parts.

    Line numbers stay the same. At most 12 parts are left out: whole statements of the module, or lines in functions.

    Raises:
        SyntaxError: Too many parts are broken.
        ValueError: Python cannot read the text at all.
    """
    text = _TYPE_PARAMETERS.sub(rb"\1", text)
    text = _TYPE_ALIAS.sub(rb"\1\2 =", text)
    text = _BARE_EXCEPT.sub(rb"\1 (\2):", text)
    text = b"\n".join(_NESTED_QUOTES.sub(rb"\1'\2'\3", line) if b'f"' in line else line for line in text.split(b"\n"))
    tried: set[int] = set()
    for _ in range(_MAX_PARTS):
        try:
            return ast.parse(text)
        except SyntaxError as error:
            number = error.lineno or 0
            shorter = None if number in tried else _without_line(text, number)
            shorter = shorter or _without(text, number)
            tried.add(number)
            if shorter is None:
                raise
            text = shorter
    return ast.parse(text)


def _without_line(text: bytes, number: int) -> bytes | None:
    """Return the text with one line of a function replaced by ``pass``; None if the line cannot be replaced."""
    lines = text.split(b"\n")
    line = lines[number - 1] if 0 < number <= len(lines) else b""
    inside = line.lstrip()
    if inside == line or not inside or inside.startswith(_HEADS):
        return None
    lines[number - 1] = line[: len(line) - len(inside)] + b"pass"
    return b"\n".join(lines)


def _without(text: bytes, number: int) -> bytes | None:
    """Return the text without the module-level statement at a line; None if there is no such statement."""
    lines = text.split(b"\n")
    at = min(max(number - 1, 0), len(lines) - 1)
    while at > 0 and not _begins(lines[at]):
        at -= 1
    end = at + 1
    while end < len(lines) and not _begins(lines[end]):
        end += 1
    # Remove a decorator together with the function or class that it decorates.
    while end < len(lines) and lines[end - 1].startswith(b"@"):
        end += 1
        while end < len(lines) and not _begins(lines[end]):
            end += 1
    while at > 0 and lines[at - 1].startswith(b"@"):
        at -= 1
    if not any(line.strip() for line in lines[at:end]):
        return None
    lines[at:end] = [b""] * (end - at)
    return b"\n".join(lines) if any(line.strip() for line in lines) else None


def _begins(line: bytes) -> bool:
    """Return whether a line begins a module-level statement, rather than continuing one."""
    return bool(line[:1].strip()) and not line.startswith(
        (b")", b"]", b"}", b"#", b"else", b"elif", b"except", b"finally")
    )


# Constants and operators: they have no child nodes that matter.
_PLAIN: Final = frozenset(
    {"id", "ctx", "attr", "arg", "name", "asname", "module", "level", "kind", "op", "ops", "type_comment",
     "type_ignores"}
)  # fmt: skip
_KINDS = [kind for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)]

FIELDS: Final[Mapping[type[ast.AST], tuple[str, ...]]] = MappingProxyType(
    {
        kind: () if kind is ast.Constant else tuple(name for name in kind._fields if name not in _PLAIN)
        for kind in _KINDS
    }
)
"""Maps a node's type to the fields that contain nodes or lists of nodes."""


def below(tree: ast.AST) -> list[ast.AST]:
    """Return the tree and all nodes below it, unordered, except operators and expression contexts."""
    found = [tree]
    for node in found:  # the list grows during the loop
        for name in FIELDS[type(node)]:
            value = getattr(node, name, None)
            if isinstance(value, list):
                found += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found
