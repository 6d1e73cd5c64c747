"""hapi and Restify."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from preview.endpoints.javascript import UNKNOWN, Call, External, Function, JavaScriptEvaluator, JSObject
from preview.endpoints.node.router import UNREAD_PATH, VERBS, Mount, Route, Router, flat, paths_of, router_of

_PARAMETER: Final = re.compile(r"\{(\w+)(\*?)\d*\??\}")
_SERVERS: Final = frozenset({"server", "Server"})
_MAX_DEPTH: Final = 16


@dataclass(eq=False)
class HapiServer(Router):
    """``Hapi.server()``, and the server that a plugin gets.

    Attributes:
        base: The prefix of the paths.
        depth: The number of plugins around it.
    """

    framework: ClassVar[str] = "hapi"
    base: str = ""
    depth: int = 0

    def call_method(self, name: str, call: Call) -> object:
        """Register routes or plugins."""
        if name == "route":
            for options in flat([call.argument(0)]):
                self._route(options, call)
        elif name == "register":
            shared = call.argument(1)
            for plugin in flat([call.argument(0)]):
                self._register(plugin, shared, call)
        elif name in {"start", "initialize"}:
            self.listens = True
        elif name == "decorate":
            return self
        return self

    def _route(self, options: object, call: Call) -> None:
        member = call.evaluator.member
        method, path = member(options, "method"), member(options, "path")
        more = member(options, "options")
        more = more if isinstance(more, JSObject) else member(options, "config")
        handler = member(options, "handler")
        handler = handler if isinstance(handler, Function) else member(more, "handler")
        verbs = [item for item in flat([method]) if isinstance(item, str)]
        if not isinstance(path, str) or not verbs:
            self.note(call, UNREAD_PATH)
            return
        whole = self.base if path == "/" and self.base else self.base + _PARAMETER.sub(_express, path)
        for verb in verbs:
            self.add("all" if verb == "*" else verb, [whole], call, len(call.nodes), member(more, "validate"))
            route = self.items[-1] if self.items else None
            if isinstance(route, Route):
                route.values = [handler]

    def _register(self, plugin: object, shared: object, call: Call) -> None:
        """Evaluate ``server.register({plugin, options, routes: {prefix}})``."""
        evaluator = call.evaluator
        plugin = evaluator.settle(plugin)
        outer = plugin if isinstance(plugin, JSObject) else JSObject()
        for key in ("plugin", "default", "plugin"):
            if isinstance(plugin, JSObject) and key in plugin.names:
                plugin = evaluator.settle(plugin.names[key])
        register = evaluator.member(plugin, "register") if isinstance(plugin, JSObject) else plugin
        if isinstance(register, Function) and self.depth < _MAX_DEPTH:
            base = self.base + (_prefix_in(outer, evaluator) or _prefix_in(shared, evaluator))
            child = HapiServer(False, self.file, base=base, depth=self.depth + 1, is_mounted=True, names=self.names)
            options = outer.names.get("options")
            evaluator.call(register, [child, options if isinstance(options, JSObject) else JSObject()])
            self.items.append(Mount(child, ""))
        elif plugin is UNKNOWN:
            self.note(call, "a plugin is only known at run time")


def _prefix_in(options: object, evaluator: JavaScriptEvaluator) -> str:
    """Return the prefix in ``{routes: {prefix}}``; empty for none."""
    routes = evaluator.settle(options.names.get("routes")) if isinstance(options, JSObject) else None
    prefix = routes.names.get("prefix") if isinstance(routes, JSObject) else None
    return prefix if isinstance(prefix, str) else ""


def _express(match: re.Match[str]) -> str:
    return f"*{match[1]}" if match[2] else f":{match[1]}"


@dataclass(eq=False)
class RestifyServer(Router):
    """``restify.createServer()``."""

    framework: ClassVar[str] = "restify"

    def call_method(self, name: str, call: Call) -> object:
        """Register a route; its path may be an option."""
        if name not in VERBS and name != "opts":
            return super().call_method(name, call)
        first = call.argument(0)
        paths = paths_of(first.names.get("path") if isinstance(first, JSObject) else first)
        if not paths:
            self.note(call, UNREAD_PATH)
        self.add(name, paths, call, 1)
        return self


@dataclass(eq=False)
class RestifyRouter(Router):
    """``new Router()`` of restify-router."""

    framework: ClassVar[str] = "restify"

    def call_method(self, name: str, call: Call) -> object:
        """Register a route or another router, or add all routes to a server."""
        target = router_of(call.argument(0))
        prefix = call.argument(1)
        if name == "applyRoutes" and target is not None and target is not self:
            self.is_mounted = True
            target.items.append(Mount(self, prefix if isinstance(prefix, str) else ""))
        elif name == "add" and (child := router_of(prefix)) is not None and child is not self:
            path = call.argument(0)
            self.items.append(Mount(child, path if isinstance(path, str) else ""))
        else:
            return super().call_method(name, call)
        return self


def make_hapi(callee: External, call: Call, apps: list[Router]) -> object:
    """Return a server of hapi or Restify, or a router; None for any other call."""
    package, _, inner = callee.name.partition(".")
    if package in {"@hapi/hapi", "hapi"} and inner in _SERVERS:
        apps.append(HapiServer(is_app=True, file=call.scope.file))
        return apps[-1]
    if callee.name == "restify.createServer":
        apps.append(RestifyServer(is_app=True, file=call.scope.file))
        return apps[-1]
    if callee.name == "restify-router.Router":
        return RestifyRouter(is_app=False, file=call.scope.file)
    return None
