"""The REST framework's routers, including nested ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.django.classes import extra_actions, has_action, text_attribute
from preview.endpoints.django.registrations import Action, ClassView, read_regex, read_route
from preview.endpoints.python import UNKNOWN, Call, Class, External, Native, PythonEvaluator

ROUTERS: Final = frozenset(
    {
        *("DefaultRouter", "SimpleRouter", "BaseRouter", "NestedSimpleRouter", "NestedDefaultRouter"),
        *("ExtendedSimpleRouter", "ExtendedDefaultRouter", "BulkRouter", "OptionalSlashRouter", "HybridRouter"),
        *("WritableNestedRouter", "CustomDefaultRouter", "DynamicRouter"),
    }
)
_LIST: Final = {"get": "list", "post": "create"}
_DETAIL: Final = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}


@dataclass(frozen=True, slots=True)
class RoutedView:
    """One route of a ViewSet.

    Attributes:
        path: The path, without the prefix under which the router is included.
        parameters: The path's parameters, with their JSON type.
        view: The ViewSet and its actions; ``UNKNOWN`` if the ViewSet is not known.
        action: The extra action of the route, or None.
    """

    path: str
    parameters: dict[str, str]
    view: object
    action: Action | None = None


@dataclass(eq=False, slots=True)
class _Registration(Native):
    prefix: str
    viewset: object


@dataclass(eq=False, slots=True)
class _Nesting(Native):
    """Result of ``register`` of an extended router: registers below the view set just registered."""

    router: Router
    prefix: str

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``.register(prefix, viewset, parents_query_lookups=[…])``."""
        if name != "register":
            return UNKNOWN
        lookups = call.argument(3, "parents_query_lookups", [])
        given = [item for item in lookups if isinstance(item, str)] if isinstance(lookups, list) else []
        below = f"{self.prefix}/(?P<parent_lookup_{(given or ['id'])[-1] or 'id'}>[^/.]+)/"
        return self.router.register(call, below)


@dataclass(eq=False, slots=True)
class RouterUrls(Native):
    """``router.urls``: all ViewSets of the router, also those registered later."""

    router: Router


@dataclass(eq=False, slots=True)
class Router(Native):
    """``DefaultRouter()`` and the like, without the framework's root view and format suffixes."""

    slash: str
    below: str
    extended: bool
    registry: list[object] = field(default_factory=list)

    @classmethod
    def read(cls, kind: str, call: Call) -> Router:
        """Return a router made from the constructor's arguments."""
        slash = call.named.get("trailing_slash", UNKNOWN)
        below = ""
        parent = call.argument(0, "parent_router")
        if kind.startswith("Nested") and isinstance(parent, Router):
            below = parent.nested(call.text(1, "parent_prefix"), call.text(2, "lookup"), call.evaluator)
        text = slash if isinstance(slash, str) else "" if slash is False else _own_slash(call)
        return cls(text, below, kind.startswith("Extended"))

    def attribute(self, name: str) -> object:
        """Evaluate ``router.urls`` and ``router.registry``."""
        if name in {"urls", "get_urls"}:
            return [RouterUrls(self)]
        return self.registry if name == "registry" else UNKNOWN

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``router.trailing_slash = "/?"``."""
        if name == "trailing_slash" and isinstance(value, str):
            self.slash = value

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``router.register(…)``, ``router.get_urls()``, ``router.extend(other)``."""
        if name in {"register", "register_nested"}:
            return self.register(call, "")
        if name == "get_urls":
            return [RouterUrls(self)]
        other = call.argument(0, "router")
        if name == "extend" and isinstance(other, Router) and other is not self:
            self.registry += other.registry
        return UNKNOWN

    def register(self, call: Call, below: str) -> object:
        """Register a ViewSet."""
        prefix = call.argument(0, "prefix")
        if not isinstance(prefix, str):
            return UNKNOWN

        self.registry.append(_Registration(below + prefix, call.argument(1, "viewset")))
        return _Nesting(self, below + prefix) if self.extended else UNKNOWN

    def nested(self, prefix: str, lookup: str, evaluator: PythonEvaluator) -> str:
        """Return the regular expression that begins the paths of a router below a registered ViewSet."""
        viewset = next(
            (item.viewset for item in self.registry if isinstance(item, _Registration) and item.prefix == prefix),
            UNKNOWN,
        )
        return f"{self.below}{prefix}/(?P<{lookup or 'parent'}_{_lookup(viewset, evaluator)}>[^/.]+)/"

    def routes(self, evaluator: PythonEvaluator) -> Iterator[RoutedView]:
        """Yield all routes, in the order of the framework."""
        for item in self.registry:
            if isinstance(item, _Registration):
                evaluator.step()
                yield from self._routes_of(item, evaluator)

    def _routes_of(self, item: _Registration, evaluator: PythonEvaluator) -> Iterator[RoutedView]:
        base = self.below + item.prefix
        viewset = item.viewset
        lookup = f"(?P<{_lookup(viewset, evaluator)}>[^/.]+)"
        detail = f"{base}/{lookup}" if base else lookup
        if not isinstance(viewset, (Class, External)):
            yield self._route(base, viewset)
            yield self._route(detail, viewset)
            return
        actions = extra_actions(viewset, evaluator)
        yield from self._standard(base, viewset, _LIST, evaluator)
        yield from (self._extra(base, viewset, action) for action in actions if not action.detail)
        yield from self._standard(detail, viewset, _DETAIL, evaluator)
        yield from (self._extra(detail, viewset, action) for action in actions if action.detail)

    def _standard(
        self, regex: str, viewset: Class | External, mapping: dict[str, str], evaluator: PythonEvaluator
    ) -> Iterator[RoutedView]:
        there = {method: name for method, name in mapping.items() if has_action(viewset, name, evaluator)}
        if there:
            yield self._route(regex, ClassView(viewset, there))

    def _extra(self, base: str, viewset: Class | External, action: Action) -> RoutedView:
        regex = f"{base}/{action.url_path}" if base else action.url_path
        names = {method: function.node.name for method, function in action.mapping.items()}
        return self._route(regex, ClassView(viewset, names), action)

    def _route(self, regex: str, view: object, action: Action | None = None) -> RoutedView:
        # The list of a ViewSet with an empty prefix has no slash of its own.
        path, parameters = read_regex(regex + self.slash if regex else "")
        if "<" in path and "(?P<" not in path:
            path, more = read_route(path)
            parameters |= more
        return RoutedView(path, parameters, view, action)


def _own_slash(call: Call) -> str:
    """Return ``trailing_slash`` of a project's router class; the framework's default if it sets none."""
    cls = call.evaluator.evaluate(call.node.func, call.scope)
    value = call.evaluator.attribute(cls, "trailing_slash") if isinstance(cls, Class) else UNKNOWN
    return value if isinstance(value, str) else "/"


def _lookup(viewset: object, evaluator: PythonEvaluator) -> str:
    if not isinstance(viewset, (Class, External)):
        return "pk"
    return (
        text_attribute(viewset, "lookup_url_kwarg", evaluator)
        or text_attribute(viewset, "lookup_field", evaluator)
        or "pk"
    )
