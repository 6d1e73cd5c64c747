"""Elysia: instances, plugins, groups and guards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from preview.endpoints.javascript import UNKNOWN, Bound, Call, External, Function, JSObject, Made
from preview.endpoints.node.loaders import adds_routes
from preview.endpoints.node.router import UNREAD_PATH, Router, flat, router_of

_VERBS: Final = frozenset({"get", "post", "put", "patch", "delete", "options", "head", "connect", "all"})
# Plugins of other packages that add routes.
_ADDING: Final = ("@elysiajs/swagger", "@elysiajs/openapi", "@elysiajs/static", "@elysiajs/graphql", "@elysiajs/trpc",
                  "@elysiajs/apollo", "@elysiajs/graphql-yoga")  # fmt: skip
_MAX_DEPTH: Final = 16


@dataclass(eq=False)
class ElysiaApp(Router):
    """``new Elysia({prefix})``: holds whole paths, as Elysia does.

    Attributes:
        base: The prefix.
        depth: The number of groups around the instance.
    """

    framework: ClassVar[str] = "elysia"
    base: str = ""
    depth: int = 0

    def attribute(self, name: str) -> object:
        """Return an attribute set before, or a bound method (``fetch``, ``handle``)."""
        if name in self.names:
            return self.names[name]
        return Bound(self, name) if name in _VERBS or name in {"fetch", "handle", "use"} else UNKNOWN

    def call_method(self, name: str, call: Call) -> object:
        """Register a route, or the routes of a plugin, a group or a guard."""
        if name in _VERBS:
            self._add(name, call.argument(0), call, 1)
        elif name == "route":
            verb = call.argument(0)
            self._add(verb if isinstance(verb, str) else "all", call.argument(1), call, 2)
        elif name == "group":
            self._nested(call.argument(0), call)
        elif name == "guard":
            self._nested("", call)
        elif name == "use":
            for plugin in flat(call.arguments):
                self._use_plugin(plugin, call)
        elif name == "mount":
            self._mount(call)
        elif name == "listen":
            self.listens = True
            call.evaluator.call_back(call.arguments)
        elif name in {"fetch", "handle"}:
            return UNKNOWN
        return self

    def _add(self, verb: str, path: object, call: Call, skip: int) -> None:
        if isinstance(path, str):
            schema = call.arguments[skip + 1] if len(call.arguments) > skip + 1 else None
            self.add(verb, [_joined(self.base, path)], call, skip, schema)
        else:
            self.note(call, UNREAD_PATH)

    def _nested(self, prefix: object, call: Call) -> None:
        build = call.arguments[-1] if call.arguments else None
        if not isinstance(build, Function) or self.depth > _MAX_DEPTH:
            return
        if not isinstance(prefix, str):
            self.note(call, UNREAD_PATH)
            prefix = ""
        child = ElysiaApp(is_app=False, file=self.file, depth=self.depth + 1)
        found = call.evaluator.call(build, [child])
        inner = found if isinstance(found, ElysiaApp) and found is not self else child
        base = _joined(self.base, prefix) if prefix else self.base
        self.copy_routes(inner, lambda path: _joined(base, path), call.evaluator, call)

    def _use_plugin(self, plugin: object, call: Call) -> None:
        plugin = call.evaluator.settle(plugin)
        child = router_of(plugin)
        if isinstance(plugin, JSObject) and child is None:
            plugin = call.evaluator.settle(plugin.names.get("default"))
        if child is None and isinstance(plugin, Function):
            child = router_of(call.evaluator.call(plugin, [self]))
            if child is None or child is self:
                return
        if child is not None and child is not self:
            self.copy_routes(child, lambda path: _joined(self.base, path), call.evaluator, call)
        elif isinstance(plugin, (External, Made)):
            package = plugin.name.partition(".")[0]
            if package in _ADDING or adds_routes(package):
                self.note(call, f"the routes that {package} adds are not read")
        elif child is None:
            self.note(call, "a plugin is only known at run time")

    def _mount(self, call: Call) -> None:
        path, handler = call.argument(0), call.arguments[-1] if call.arguments else None
        base = _joined(self.base, path) if isinstance(path, str) else self.base
        child = handler.owner if isinstance(handler, Bound) else router_of(handler)
        if isinstance(child, Router):
            self.copy_routes(child, lambda inner: _joined(base, inner), call.evaluator, call)
        else:
            self.note(call, "the application at a path is of another framework")


def _joined(base: str, path: str) -> str:
    part = path if not path or path.startswith("/") else f"/{path}"
    return base.removesuffix("/") + part


def make_elysia(callee: External, call: Call, apps: list[Router]) -> object:
    """Return an instance for ``new Elysia()``; None for any other call."""
    if callee.name not in {"elysia", "elysia.Elysia"}:
        return None
    options = call.argument(0)
    prefix = options.names.get("prefix") if isinstance(options, JSObject) else None
    app = ElysiaApp(is_app=True, file=call.scope.file, base=_joined("", prefix) if isinstance(prefix, str) else "")
    if prefix is UNKNOWN:
        app.note(call, "the prefix of a plugin is only known at run time")
    apps.append(app)
    return app
