"""Endpoints from a running application's own route table. No part of the report is trusted.

A line of the report has fields between tabs: a method and the parts of a path. ``?`` instead of a method stands for an
application that the launcher cannot read: there may be more routes below this path. The first character of a part is
its notation (``Notation``); the rest is the text as the framework has it. The readers of the source convert it too, so
the same route has the same path from both. See ``preview_routes.py`` and ``routes.cjs`` for the other end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from preview.endpoints.django.registrations import Path, read_regex, read_route
from preview.endpoints.model import Endpoint, Origin
from preview.endpoints.node.router import join_paths, readable

_METHOD: Final = re.compile(r"\*|[A-Z][A-Z-]{0,19}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FLASK: Final = re.compile(r"<(?:([A-Za-z_]\w*)(?:\([^<>]*\))?:)?([^<>:]+)>")
_STARLETTE: Final = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_TYPES: Final[Mapping[str, str]] = {"int": "integer", "float": "number"}
_MAX_ENDPOINTS: Final = 5_000
_MAX_PARTS: Final = 50
_MAX_PATH: Final = 2_048
_MAX_UNKNOWN: Final = 100
_UNKNOWN: Final = "?"


class Notation(StrEnum):
    """Notation of a part of a path: the first character of its field."""

    STARLETTE = "s"
    FLASK = "f"
    DJANGO = "d"
    DJANGO_REGEX = "x"
    EXPRESS = "e"


_NOTATIONS: Final = frozenset(Notation)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Routes of a running application.

    Attributes:
        endpoints: One for each method and path, in the application's order.
        unknown: Paths below which there may be more; ``/`` if the application is not known at all, or there are many.
    """

    endpoints: tuple[Endpoint, ...] = ()
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bound the work of ``covers``, which the service does for each endpoint."""
        if len(self.unknown) > _MAX_UNKNOWN:
            object.__setattr__(self, "unknown", ("/",))

    def covers(self, path: str) -> bool:
        """Return whether the table would have a route with this path."""
        return not any(f"{path}/".startswith(f"{below.rstrip('/')}/") for below in self.unknown)


def read_route_table(report: bytes) -> RouteTable:
    """Return the routes of a report. Malformed lines are left out; nothing raises."""
    found: dict[tuple[str, str], Endpoint] = {}
    unknown: dict[str, None] = {}
    for line in report.decode("utf-8", "replace").split("\n"):
        if len(found) + len(unknown) >= _MAX_ENDPOINTS:
            unknown["/"] = None
            break
        method, *parts = line.split("\t", _MAX_PARTS)
        converted = _convert(parts)
        if converted is None:
            continue
        path, parameters = converted
        if method == _UNKNOWN:
            unknown[path] = None
        elif _METHOD.fullmatch(method):
            one = Endpoint(method, path, path_parameters=parameters, source=Origin.APPLICATION)
            found.setdefault((method, path), one)
    return RouteTable(tuple(found.values()), tuple(unknown))


def _convert(parts: list[str]) -> Path | None:
    """Return the path that the parts make; None if it is none."""
    if not parts or any(_CONTROL.search(part) or part[:1] not in _NOTATIONS for part in parts):
        return None
    if parts[0].startswith(Notation.EXPRESS):
        path = ""
        for part in parts:
            path = join_paths(path, part[1:])
        path, parameters = readable(path[:_MAX_PATH]), {}
    else:
        pieces = [_CONVERTERS.get(part[0], _read_starlette)(part[1:]) for part in parts]
        path = "".join(piece for piece, _ in pieces)
        parameters = {name: kind for _, piece in pieces for name, kind in piece.items()}
    path = path if path.startswith("/") else f"/{path}"
    return None if len(path) > _MAX_PATH else (path, parameters)


def _read_flask(rule: str) -> Path:
    types = {name: _TYPES.get(kind, "string") for kind, name in _FLASK.findall(rule)}
    return _FLASK.sub(r"{\2}", rule), types


def _read_starlette(path: str) -> Path:
    types = {name: _TYPES.get(kind, "string") for name, kind in _STARLETTE.findall(path)}
    return _STARLETTE.sub(r"{\1}", path), types


_CONVERTERS: Final[Mapping[str, Callable[[str], Path]]] = {
    Notation.STARLETTE: _read_starlette,
    Notation.FLASK: _read_flask,
    Notation.DJANGO: read_route,
    Notation.DJANGO_REGEX: read_regex,
}
