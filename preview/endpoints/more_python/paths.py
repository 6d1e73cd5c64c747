"""Path syntaxes of several frameworks, converted to ``/users/{name}`` with the parameters' JSON types."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from preview.endpoints.django.registrations import read_regex

Path = tuple[str, dict[str, str]]
"""A path, and its parameters' JSON types by name."""

ReadPath = Callable[[str], Path]

# Longer paths are cut: each conversion takes time in proportion to the length.
_MAX_LENGTH: Final = 2_000
_TYPES: Final = {"int": "integer", "float": "number", "decimal": "number", "number": "number", "bool": "boolean"}
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
# A group without a number that is one of several texts: as variable as one with a number.
_ALTERNATIVES: Final = re.compile(r"\(\?:([^()|]*\|[^()]*)\)(?![?*])")


def read_braces(path: str) -> Path:
    r"""Convert ``{id}``, ``{id:int}``, ``{id:int(min=1)}`` and ``{id:\d{3}}``."""
    return _read(path, "{", "}", _name_first)


def read_braces_type_first(path: str) -> Path:
    """Convert BlackSheep's ``{int:id}``, ``<int:id>``, ``:id`` and a ``*`` for the rest of the path."""
    path, types = _read(path.replace("<", "{").replace(">", "}"), "{", "}", _type_first)
    path = re.sub(r"(?<=/):(\w+)", lambda match: _noted(match[1], types), path)
    return (path.replace("*", _noted("tail", types), 1) if "*" in path else path), types


def read_angles(path: str) -> Path:
    """Convert Sanic's and Bottle's ``<id>``, ``<id:int>`` and ``<id:re:[a-z]+>``."""
    return _read(path, "<", ">", _name_first)


def read_angles_or_colons(path: str) -> Path:
    """Convert Bottle's paths: ``<id:int>``, and ``:id`` of its older syntax."""
    path, types = read_angles(path)
    return re.sub(r"(?<=/):([A-Za-z_]\w*)(?:#[^#]*#)?", lambda match: _noted(match[1], types), path), types


def read_expression(path: str) -> Path:
    """Convert a regular expression of Tornado."""
    return read_regex(_ALTERNATIVES.sub(r"(\1)", path[:_MAX_LENGTH]))


def _noted(name: str, types: dict[str, str]) -> str:
    types[name] = "string"
    return f"{{{name}}}"


def _name_first(inside: str) -> tuple[str, str]:
    name, _, kind = inside.partition(":")
    return name, kind


def _type_first(inside: str) -> tuple[str, str]:
    kind, colon, name = inside.rpartition(":")
    return (name, kind) if colon else (inside, "")


def _read(path: str, start: str, end: str, parts: Callable[[str], tuple[str, str]]) -> Path:
    """Replace each bracketed part; brackets within the part count."""
    path = path[:_MAX_LENGTH]
    types: dict[str, str] = {}
    found: list[str] = []
    position = 0
    while position < len(path):
        if path[position] != start:
            found.append(path[position])
            position += 1
            continue
        close = _closing(path, position, start, end)
        name, kind = parts(path[position + 1 : close])
        known = _NAME.match(name.strip())
        key = known[0] if known else f"var{len(types) + 1}"
        types[key] = _TYPES.get(kind.partition("(")[0].strip(), "string")
        found.append(f"{{{key}}}")
        position = close + 1
    return "".join(found), types


def _closing(path: str, position: int, start: str, end: str) -> int:
    """Return the position of the bracket that closes the one at ``position``, else the end of the path."""
    depth = 0
    while position < len(path):
        if path[position] == "\\":
            position += 2
            continue
        depth += {start: 1, end: -1}.get(path[position], 0)
        if depth == 0:
            return position
        position += 1
    return len(path)
