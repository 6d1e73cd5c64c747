"""What Django's and the REST framework's own names give: patterns, includes, views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from preview.endpoints.python import UNKNOWN, Call, Class, External, Function, Instance, Native


@dataclass(eq=False, slots=True)
class Pattern(Native):
    """``path("books/", view)``. ``target`` is a view or what it includes.

    Attributes:
        route: As written.
        is_regex: ``re_path`` and ``url``.
        target: A view, an ``Include``, a list; ``UNKNOWN`` where it cannot be known.
        opaque: ``target`` is unknown, and may be a list of patterns as well as a view (``something.urls``).
    """

    route: str
    is_regex: bool
    target: object
    opaque: bool
    file: str
    line: int


@dataclass(eq=False, slots=True)
class Include(Native):
    """``include(…)``: ``what`` is a module's name, a module or a list; ``prefix`` stands before all its paths."""

    what: object
    prefix: str = ""


@dataclass(eq=False, slots=True)
class Site(Native):
    """An administration site: its pages are Django's own."""

    def attribute(self, name: str) -> object:
        """``site.urls`` is a list without anything of the project."""
        return [] if name == "urls" else UNKNOWN

    def call_method(self, name: str, call: Call) -> object:  # noqa: ARG002
        """Nothing that matters."""
        return UNKNOWN

    def decorate(self, target: object) -> object:
        """Registering changes nothing."""
        return target


@dataclass(eq=False, slots=True)
class ClassView(Native):
    """``View.as_view(…)``.

    Attributes:
        cls: The class; one from outside by its name.
        actions: ``{"get": "list"}`` of a ViewSet.
        methods: ``http_method_names`` where given; None otherwise.
    """

    cls: Class | External
    actions: dict[str, str] = field(default_factory=dict)
    methods: tuple[str, ...] | None = None

    def call_method(self, name: str, call: Call) -> object:  # noqa: ARG002
        """``schema_view.with_ui(…)``, ``schema_view.as_view()``: the same view in another shape."""
        return self if name in {"with_ui", "without_ui", "as_cached_view", "as_view"} else UNKNOWN


@dataclass(eq=False, slots=True)
class FunctionView(Native):
    """A function with the methods that its decorator allows, upper case."""

    function: Function
    methods: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Action(Native):
    """A method of a ViewSet with ``@action``.

    Attributes:
        mapping: HTTP method, lower case, to the function that answers it.
        detail: It is about one object.
        url_path: Behind the object's or the list's path; may hold groups.
    """

    function: Function
    mapping: dict[str, Function]
    detail: bool
    url_path: str

    def attribute(self, name: str) -> object:
        """``action.mapping``."""
        return _Mapping(self) if name == "mapping" else UNKNOWN


@dataclass(eq=False, slots=True)
class _Mapping(Native):
    action: Action

    def attribute(self, name: str) -> object:
        """``action.mapping.delete``: a decorator."""

        def add(function: Function) -> object:
            self.action.mapping[name.lower()] = function
            return function

        return Decorator(add)


@dataclass(eq=False, slots=True)
class Decorator(Native):
    """A decorator that knows what it makes of a function."""

    apply: Callable[[Function], object]

    def decorate(self, target: object) -> object:
        """``@decorator`` above a function."""
        if isinstance(target, FunctionView):
            target = target.function
        return self.apply(target) if isinstance(target, Function) else target

    def call(self, call: Call) -> object:
        """``decorator(function)``."""
        return self.decorate(call.arguments[0] if call.arguments else UNKNOWN)


def is_view(value: object) -> bool:
    """Whether a value can stand as a view in a pattern."""
    return isinstance(value, (ClassView, FunctionView, Function, Instance))
