"""Applications and routers with the rules of Express, and the routes registered on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from tree_sitter import Node

from preview.endpoints.javascript import (
    UNKNOWN,
    Bound,
    Call,
    Function,
    JavaScriptEvaluator,
    JSObject,
    Made,
    Native,
    Regex,
    Scope,
    partial_text,
)

UNREAD_ROUTES: Final = "routes that are added here are not known from the source"
UNREAD_PREFIX: Final = "the prefix of a router is not known from the source, so its paths are incomplete here"
_ROUTES: Final = re.compile(rb"\b(?:require|import)\s*\(|rout|controller|module|plugin|api", re.IGNORECASE)
_PREFIX: Final = re.compile(rb"prefix|path|url|base|api|rout|env|version|mount", re.IGNORECASE)
UNREAD_PATH: Final = "the path of a route is only known at run time"
# Real paths are far shorter. Nested routers of a hostile project would add up to any length.
_MAX_PATH: Final = 2_000
_MAX_NOTES: Final = 20
# Depth limit for nested routers; also ends mutual use.
_MAX_DEPTH: Final = 20
VERBS: Final = frozenset({"get", "post", "put", "patch", "delete", "del", "head", "options", "all"})
_STARTS: Final = frozenset({"on", "once", "ready", "whenReady"})


@dataclass(eq=False, slots=True)
class Route:
    """One method on one path, as registered on its router.

    Attributes:
        method: Upper case; ``*`` for ``all``.
        path: As Express writes it.
        values: Handlers as values, for handlers without source nodes.
        node: The whole call; None if no call in the source registers the route.
        schema: The declared form of the request, by its parts (``body``, ``querystring``); None if there is none.
    """

    method: str
    path: str
    handlers: list[Node]
    values: list[object]
    scope: Scope
    line: int
    node: Node | None
    schema: JSObject | None = None


@dataclass(eq=False, slots=True)
class Mount:
    """A router within a router."""

    child: Router
    prefix: str


@dataclass(eq=False, slots=True)
class Router(Native):
    """``express()``, ``express.Router()`` and the like.

    Attributes:
        is_app: Whether ``express()`` or the like made the object.
        file: The file that makes the object, relative to the project.
        items: Routes and mounted routers, in the order of registration.
        listens: Whether ``listen`` was called on the object or on a server made from it.
        is_mounted: Whether another router uses the object.
        prefix: The prefix of all its paths (``setGlobalPrefix``).
        notes: What could not be read, each with file and line.
        framework: The name of its framework.
    """

    framework: ClassVar[str] = "express"
    is_app: bool
    file: str
    items: list[Route | Mount] = field(default_factory=list)
    listens: bool = False
    is_mounted: bool = False
    prefix: str = ""
    names: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def finish(self, evaluator: JavaScriptEvaluator) -> None:
        """Do the work that the framework puts off until the application starts."""

    def note(self, call: Call, what: str) -> None:
        """Remember that something could not be read."""
        if len(self.notes) < _MAX_NOTES:
            place = f"{call.scope.file}:{call.line}: " if call.scope.file else ""
            self.notes.append(f"{place}{what}")

    def attribute(self, name: str) -> object:
        """Return an attribute set before, a method, or ``app``, ``router`` or ``server`` for the router itself."""
        if name in self.names:
            return self.names[name]
        if name in VERBS or name in {"use", "route", "listen"}:
            return Bound(self, name)
        if name == "locals":
            return self.names.setdefault("locals", JSObject())
        return self if name in {"app", "router", "server", "instance"} else UNKNOWN

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``app.controllers = …``."""
        self.names[name] = value

    def hand_over(self, call: Call) -> None:
        """Evaluate ``require(file)(app)`` for an unknown file."""
        self.note(call, UNREAD_ROUTES)

    def call(self, call: Call) -> object:  # noqa: ARG002
        """Evaluate ``app(req, res)``, which handles a request: the result is ``UNKNOWN``."""
        return UNKNOWN

    def call_method(self, name: str, call: Call) -> object:
        """Register a route, mount a router, or change a setting."""
        if name in self.names:
            return call.evaluator.invoke(self.names[name], call, self)
        if name in VERBS:
            return self._verb(name, call)
        if name == "use":
            self._use(call)
        elif name == "route":
            return RouteBuilder(self, _paths(call, call.argument(0)))
        elif name == "group":
            self._group(call)
        elif name == "set":
            key = call.argument(0)
            self.settings[key if isinstance(key, str) else ""] = call.argument(1)
        elif name == "listen":
            self.listens = True
            call.evaluator.call_back(call.arguments)
            return UNKNOWN
        elif name in _STARTS:
            call.evaluator.call_back(call.arguments)
        elif name in {"bind", "callback"}:
            return self
        return self

    def _verb(self, name: str, call: Call) -> object:
        count = len(call.nodes) if call.given is None else len(call.given)
        first = call.argument(0)
        if name == "get" and count == 1 and call.node is not None and call.nodes[0].type != "spread_element":
            return self.settings.get(first, UNKNOWN) if isinstance(first, str) else UNKNOWN
        paths = _paths(call, first)
        if count > 1 and not paths_of(first):
            self.note(call, UNREAD_PATH)
        self.add(name, paths, call, 1)
        return self

    def add(self, verb: str, paths: list[str], call: Call, skip: int, schema: object = None) -> None:
        """Register a call's handlers for a verb (``get``, ``all``), without its first ``skip`` arguments."""
        method = {"all": "*", "del": "DELETE", "opts": "OPTIONS"}.get(verb.lower(), verb.upper())
        handlers = call.nodes[skip:]
        values = call.given[skip:] if call.given is not None else []
        declared = schema if isinstance(schema, JSObject) else None
        for path in paths:
            if len(path) > _MAX_PATH:
                self.note(call, UNREAD_PATH)
                continue
            self.items.append(Route(method, path, handlers, values, call.scope, call.line, call.node, declared))

    def copy_routes(
        self, child: Router, change: Callable[[str], str], evaluator: JavaScriptEvaluator, call: Call
    ) -> None:
        """Add the routes that another router has at this moment, with changed paths.

        Raises:
            OutOfBudget: Routers that take each other's routes grow without end.
        """
        child.is_mounted = True
        self.notes += [item for item in child.notes if item not in self.notes][:_MAX_NOTES]
        for route, inner in list(flatten(child, "", 0, evaluator)):
            path = change(inner)
            if len(path) > _MAX_PATH:
                self.note(call, UNREAD_PATH)
            else:
                self.items.append(replace(route, path=path))

    def _use(self, call: Call) -> None:
        values = call.arguments
        paths = _paths(call, values[0]) if values else []
        self._note_unknown(call)
        for value in flat(values):
            child = router_of(value)
            # Koa's routers and those of Express cannot use each other.
            is_other = child is not None and child.framework != self.framework and "koa" in {
                child.framework, self.framework,
            }  # fmt: skip
            if child is not None and child is not self and not is_other:
                child.is_mounted = True
                self.items += [Mount(child, path) for path in paths or [""]]

    def _note_unknown(self, call: Call) -> None:
        """Note unknown values of ``use`` that are named like routers, and an unknown prefix of a router."""
        values, nodes = call.arguments, call.nodes
        unknown = [node for value, node in zip(values, nodes, strict=False) if value is UNKNOWN]
        if len(values) != len(nodes) or not unknown:
            return
        is_prefix = unknown[0] is nodes[0] and len(nodes) > 1
        if is_prefix and _PREFIX.search(nodes[0].text or b"") and any(map(router_of, flat(values[1:]))):
            self.note(call, UNREAD_PREFIX)
        if any(_ROUTES.search(node.text or b"") for node in (unknown[1:] if is_prefix else unknown)):
            self.note(call, UNREAD_ROUTES)

    def _group(self, call: Call) -> None:
        """Evaluate ``app.group('/api', router => …)`` of express-group-routes."""
        path, build = call.argument(0), call.arguments[-1] if call.arguments else None
        if isinstance(build, Function):
            child = Router(is_app=False, file=self.file, is_mounted=True)
            call.evaluator.call(build, [child])
            self.items.append(Mount(child, path if isinstance(path, str) else ""))


@dataclass(eq=False, slots=True)
class RouteBuilder(Native):
    """``app.route('/x')``, on which methods are chained."""

    router: Router
    paths: list[str]

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``.get(…).post(…)``."""
        if name in VERBS:
            self.router.add(name, self.paths, call, 0)
        return self


def _paths(call: Call, value: object) -> list[str]:
    """Return the paths of a registration; unknown parts (a variable of the environment) are left out."""
    found = paths_of(value)
    if not found and (value is UNKNOWN or isinstance(value, Made)) and call.nodes:
        known = partial_text(call.evaluator, call.nodes[0], call.scope)
        return [known] if known.startswith("/") else []
    return found


def paths_of(value: object) -> list[str]:
    """Return a path, several, or a regular expression; empty for anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Regex):
        return [f"/{value.source}/"]
    if isinstance(value, list) and value and all(isinstance(item, (str, Regex)) for item in value):
        return [path for item in value for path in paths_of(item)]
    return []


def flat(values: list[object], depth: int = 0) -> list[object]:
    """Return the values, with those of lists in their place."""
    found: list[object] = []
    for value in values:
        found += flat(value, depth + 1) if isinstance(value, list) and depth < 5 else [value]
    return found


def router_of(value: object) -> Router | None:
    """Return the router that a value is, or that an object or a module stands for."""
    if isinstance(value, Router):
        return value
    parts = (value.native, value.names.get("default")) if isinstance(value, JSObject) else ()
    return next((part for part in parts if isinstance(part, Router)), None)


def flatten(router: Router, prefix: str, depth: int, evaluator: JavaScriptEvaluator) -> Iterator[tuple[Route, str]]:
    """Yield all routes of a router and of those within it, with their whole paths.

    Raises:
        OutOfBudget: The budget ran out.
    """
    if depth > _MAX_DEPTH:
        return
    for item in router.items:
        evaluator.step()
        if isinstance(item, Mount):
            yield from flatten(item.child, join_paths(prefix, item.prefix), depth + 1, evaluator)
        else:
            yield item, join_paths(prefix, item.path)


def notes_of(router: Router) -> list[str]:
    """Return what could not be read of a router and of those within it."""
    found: dict[str, None] = {}
    todo, seen = [router], {id(router)}
    while todo and len(found) < _MAX_NOTES:
        item = todo.pop(0)
        found |= dict.fromkeys(item.notes)
        inner = [mount.child for mount in item.items if isinstance(mount, Mount) and id(mount.child) not in seen]
        todo += inner
        seen |= {id(child) for child in inner}
    return list(found)[:_MAX_NOTES]


_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*")
_EXPRESSION: Final = re.compile(r"[\\^$|+]|\.\*")
_BRACES: Final = re.compile(r"\{([^{}]+)\}")


def join_paths(prefix: str, path: str) -> str:
    """Return a route's path below its router's."""
    if not path or path == "/":
        return prefix
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}"


def readable(path: str) -> str:
    """Return a whole path for display: parameters as ``{name}``, no slash at its end.

    A parameter loses its pattern. Optional parameters (``:id?``, Express 5's ``{/:id}``) are shown as present, and
    ``*rest`` as ``{rest}``. Other parts of regular expressions stay.
    """
    found = "".join(_parts(path))
    found = re.sub(r"/{2,}", "/", found)
    # The slash that ends a regular expression is not part of a path.
    found = found if _EXPRESSION.search(found) else found.rstrip("/")
    return found if found.startswith("/") else f"/{found}"


def _parts(path: str) -> Iterator[str]:
    place = 0
    while place < len(path):
        sign = path[place]
        before = path[place - 1 : place]
        # `(?:` and `.*` of a regular expression are not parameters.
        is_name = (sign == ":" and before != "?") or (sign == "*" and before in {"/", "{"})
        name = _NAME.match(path, place + 1) if is_name else None
        if path.startswith("\\:", place):
            yield ":"
            place += 2
            continue
        if name is not None:
            yield f"{{{name.group()}}}"
            place = _skip_pattern(path, name.end())
        elif sign in "{}":  # an optional part of Express 5
            place += 1
        else:
            yield sign
            place += 1


def _skip_pattern(path: str, place: int) -> int:
    """Return the position after a parameter's pattern and its ``?``, ``+`` or ``*``."""
    if path[place : place + 1] == "(":
        depth = 0
        for end in range(place, len(path)):
            if path[end] in "()" and path[end - 1] != "\\":
                depth += 1 if path[end] == "(" else -1
            if depth == 0:
                place = end + 1
                break
    return place + 1 if path[place : place + 1] and path[place] in "?+*" else place


def parameter_names(path: str) -> list[str]:
    """Return the parameters of a readable path, in order."""
    return _BRACES.findall(path)
