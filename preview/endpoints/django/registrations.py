"""Objects for names of Django and the REST framework: patterns, includes, views."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.python import UNKNOWN, Call, Class, External, Function, Instance, Native


@dataclass(eq=False, slots=True)
class Pattern(Native):
    """``path("books/", view)``.

    Attributes:
        is_regex: Whether the route is a regular expression, as in ``re_path`` and ``url``.
        target: A view, an ``Include`` or a list; ``UNKNOWN`` if it cannot be known.
        opaque: Whether ``target`` is unknown and may be a list of patterns instead of a view (``something.urls``).
    """

    route: str
    is_regex: bool
    target: object
    opaque: bool
    file: str
    line: int


@dataclass(eq=False, slots=True)
class Include(Native):
    """``include(…)``: ``what`` is a module's name, a module or a list; ``prefix`` precedes all its paths."""

    what: object
    prefix: str = ""


@dataclass(eq=False, slots=True)
class Site(Native):
    """An administration site: its pages belong to Django."""

    def attribute(self, name: str) -> object:
        """Evaluate ``site.urls``: an empty list, as no page is the project's."""
        return [] if name == "urls" else UNKNOWN

    def decorate(self, target: object) -> object:
        """Return the object: registering changes nothing."""
        return target


@dataclass(eq=False, slots=True)
class ClassView(Native):
    """``View.as_view(…)``.

    Attributes:
        cls: The class; for an external class, its name.
        actions: ``{"get": "list"}`` of a ViewSet.
        methods: The given ``http_method_names``, or None.
    """

    cls: Class | External
    actions: dict[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] | None = None

    def call_method(self, name: str, call: Call) -> object:  # noqa: ARG002
        """Evaluate ``schema_view.with_ui(…)`` and ``schema_view.as_view()``: the same view in another form."""
        return self if name in {"with_ui", "without_ui", "as_cached_view", "as_view"} else UNKNOWN


@dataclass(eq=False, slots=True)
class FunctionView(Native):
    """A function with the methods that its decorator allows, in upper case."""

    function: Function
    methods: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Action(Native):
    """A method of a ViewSet with ``@action``.

    Attributes:
        mapping: Maps an HTTP method, in lower case, to the function that answers it.
        detail: Whether the action concerns a single object.
        url_path: Follows the path of the object or the list; may contain groups.
    """

    function: Function
    mapping: dict[str, Function]
    detail: bool
    url_path: str

    def attribute(self, name: str) -> object:
        """Evaluate ``action.mapping``."""
        return _Mapping(self) if name == "mapping" else UNKNOWN


@dataclass(eq=False, slots=True)
class _Mapping(Native):
    action: Action

    def attribute(self, name: str) -> object:
        """Evaluate ``action.mapping.delete``: a decorator."""

        def add(function: Function) -> object:
            self.action.mapping[name.lower()] = function
            return function

        return Decorator(add)


@dataclass(eq=False, slots=True)
class Decorator(Native):
    """A decorator with a known effect on a function."""

    apply: Callable[[Function], object]

    def decorate(self, target: object) -> object:
        """Apply ``@decorator`` to a function."""
        if isinstance(target, FunctionView):
            target = target.function
        return self.apply(target) if isinstance(target, Function) else target

    def call(self, call: Call) -> object:
        """Evaluate ``decorator(function)``."""
        return self.decorate(call.arguments[0] if call.arguments else UNKNOWN)


def is_view(value: object) -> bool:
    """Return whether a value can be the view of a pattern."""
    return isinstance(value, (ClassView, FunctionView, Function, Instance))


_CONVERTED: Final = re.compile(r"<(?:(?P<type>[^<>:]+):)?(?P<name>[^<>]+)>")
_TYPES: Final[Mapping[str, str]] = {"int": "integer", "float": "number"}
_NAMED: Final = re.compile(r"\(\?P<([A-Za-z_]\w*)>")
_DIGITS: Final = frozenset({r"\d+", r"[0-9]+", r"\d*", r"[0-9]*", r"-?\d+", r"\d{4}", r"\d{1,2}", r"\d{2}", r"[\d]+"})
# Longer and deeper than any real route.
_MAX_LENGTH: Final = 500
_MAX_DEPTH: Final = 10

Path = tuple[str, dict[str, str]]
"""A path, and its parameters with their JSON types."""


def read_route(route: str) -> Path:
    """Convert a route of ``path()`` to a path."""
    parameters: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        name = match["name"].strip()
        parameters[name] = _TYPES.get((match["type"] or "").strip(), "string")
        return f"{{{name}}}"

    return _CONVERTED.sub(replace, route[:_MAX_LENGTH]), parameters


def read_regex(pattern: str) -> Path:
    """Convert a regular expression to a path, as Django's own documentation pages do.

    Groups become parameters, anchors are removed, and an optional character (``/?``) stays.
    """
    parameters: dict[str, str] = {}
    return _simplify(pattern[:_MAX_LENGTH], parameters, 0), parameters


def _simplify(text: str, parameters: dict[str, str], depth: int) -> str:
    parts: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            parts.append(_escaped(text[position + 1 : position + 2]))
            position += 2
        elif char == "(":
            end = _closing(text, position)
            parts.append(_group(text[position:end], parameters, depth))
            position = _behind_quantifier(text, end)
        elif char == "[":
            end = _class_end(text, position)
            parts.append(text[position:end])
            position = end
        else:
            parts.append("" if char in "^$?" else char)
            position += 1
    return "".join(parts)


def _escaped(char: str) -> str:
    r"""Return the text of an escape: ``\.`` is a dot, ``\A`` and the like are empty, a bare ``\d`` stays."""
    if char in {"A", "Z", "z", "b", "B"}:
        return ""
    return f"\\{char}" if char.isalnum() else char


def _group(group: str, parameters: dict[str, str], depth: int) -> str:
    named = _NAMED.match(group)
    if named:
        inside = group[named.end() : -1]
        parameters[named[1]] = "integer" if inside in _DIGITS else "string"
        return f"{{{named[1]}}}"
    # A group that contains named groups is not a parameter itself.
    if depth < _MAX_DEPTH and (group.startswith("(?:") or _NAMED.search(group)):
        return _simplify(group[3 if group.startswith("(?:") else 1 : -1], parameters, depth + 1)
    # (?i), (?=…), (?!…), (?<=…) match no text of their own.
    if group.startswith("(?"):
        return ""
    name = "var" if "var" not in parameters else f"var{len(parameters) + 1}"
    parameters[name] = "integer" if group[1:-1] in _DIGITS else "string"
    return f"{{{name}}}"


def _closing(text: str, start: int) -> int:
    """Return the position after the bracket that closes the one at ``start``, else the end of the text."""
    depth = 0
    position = start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 2
            continue
        if char == "[":
            position = _class_end(text, position)
            continue
        depth += {"(": 1, ")": -1}.get(char, 0)
        position += 1
        if depth == 0:
            return position
    return len(text)


def _class_end(text: str, start: int) -> int:
    """Return the position after the ``]`` of ``[…]``."""
    position = start + 1
    if text[position : position + 1] == "^":
        position += 1
    if text[position : position + 1] == "]":
        position += 1
    while position < len(text) and text[position] != "]":
        position += 2 if text[position] == "\\" else 1
    return min(position + 1, len(text))


def _behind_quantifier(text: str, position: int) -> int:
    match = re.compile(r"[?*+]\??|\{\d*,?\d*\}").match(text, position)
    return match.end() if match else position
