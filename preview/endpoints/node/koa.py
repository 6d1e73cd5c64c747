"""Koa, ``@koa/router`` and the packages around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

from preview.endpoints.javascript import UNKNOWN, Bound, Call, External, Function, JSObject, Made, Regex
from preview.endpoints.node.router import UNREAD_PATH, VERBS, Mount, Router, flat, paths_of, router_of

_ROUTERS: Final = frozenset(
    {"@koa/router", "koa-router", "koa-better-router", "koa-joi-router", "koa-joi-router-docs", "koa-tree-router",
     "koa-router-find-my-way"}
)  # fmt: skip
_SELF: Final = frozenset({"routes", "middleware"})
# A middleware that compares the path handles requests without a router.
_BY_PATH: Final = re.compile(
    rb"\.(?:path|url)\s*(?:={2,3}|\.(?:startsWith|match|split)\b)|switch\s*\(\s*\w+\.(?:path|url)\b"
)


@dataclass(eq=False)
class KoaApp(Router):
    """``new Koa()``."""

    framework: ClassVar[str] = "koa"

    def call_method(self, name: str, call: Call) -> object:
        """Use a router, or note a middleware that handles paths by itself."""
        if name == "use":
            values = flat(call.arguments)
            if not any(router_of(value) for value in values):
                middleware = [item for item in values if isinstance(item, Function)]
                if any(_BY_PATH.search(item.node.text or b"") for item in middleware):
                    self.note(call, "a middleware compares the path by itself")
            self._use(call)
            return self
        return super().call_method(name, call)


@dataclass(eq=False)
class KoaRouter(Router):
    """``new Router({prefix})``: holds whole paths, as the package does.

    Attributes:
        base: The prefix.
    """

    framework: ClassVar[str] = "koa"
    base: str = ""

    def attribute(self, name: str) -> object:
        """Return a bound method."""
        return Bound(self, name) if name in _SELF else super().attribute(name)

    def call(self, call: Call) -> object:  # noqa: ARG002
        """Evaluate the result of ``koa-combine-routers``, a function that returns the routers."""
        return self

    def call_method(self, name: str, call: Call) -> object:
        """Register a route, take another router's routes, or set the prefix."""
        if name in VERBS:
            self._named(name, call)
        elif name == "use":
            self._nest(call)
        elif name == "prefix":
            self._set_prefix(call.argument(0))
        elif name == "register":
            self._register(call)
        elif name == "route" and not isinstance(call.argument(0), str):
            self._specified(call)
        elif name == "redirect":
            self._add("all", paths_of(call.argument(0)), call, 2)
        elif name in {"allowedMethods", "url", "route", "match", "opts"}:
            return Made(name, [])
        return self

    def _named(self, name: str, call: Call) -> None:
        """Evaluate ``router.get('name', '/path', handler)``; the name may be left out."""
        first, second = call.argument(0), call.argument(1)
        has_name = isinstance(first, str) and (isinstance(second, (str, Regex)) or bool(paths_of(second)))
        paths = paths_of(second if has_name else first)
        if not paths:
            self.note(call, UNREAD_PATH)
        self._add(name, paths, call, 2 if has_name else 1)

    def _add(self, verb: str, paths: list[str], call: Call, skip: int, schema: object = None) -> None:
        self.add(verb, [_prefixed(self.base, path) for path in paths], call, skip, schema)

    def _nest(self, call: Call) -> None:
        values = call.arguments
        paths = paths_of(values[0]) if values else []
        children = [child for value in flat(values) if (child := router_of(value)) is not None]
        if children and values[0] is UNKNOWN:
            self.note(call, UNREAD_PATH)
        for child in children:
            for path in paths or [""]:
                self.copy_routes(child, partial(self._below, path), call.evaluator, call)

    def _below(self, path: str, inner: str) -> str:
        return _prefixed(self.base, _prefixed(path, inner))

    def _set_prefix(self, prefix: object) -> None:
        if not isinstance(prefix, str):
            return
        old, self.base = self.base, prefix.removesuffix("/")
        for item in self.items:
            if not isinstance(item, Mount):
                inside = bool(old) and (item.path == old or item.path.startswith(f"{old}/"))
                item.path = _prefixed(self.base, (item.path[len(old) :] or "/") if inside else item.path)

    def _register(self, call: Call) -> None:
        methods = call.argument(1)
        for verb in methods if isinstance(methods, list) else [methods]:
            if isinstance(verb, str):
                self._add(verb, paths_of(call.argument(0)), call, 2)

    def _specified(self, call: Call) -> None:
        """Evaluate ``router.route({method, path, validate, handler})`` of koa-joi-router."""
        for options in flat([call.argument(0)]):
            if isinstance(options, JSObject):
                method = options.names.get("method")
                for verb in method if isinstance(method, list) else [method]:
                    if isinstance(verb, str):
                        paths = paths_of(options.names.get("path"))
                        self._add(verb, paths, call, len(call.nodes), options.names.get("validate"))


def _prefixed(prefix: str, path: str) -> str:
    return prefix if path == "/" and prefix else prefix + path


def make_koa(callee: External, call: Call, apps: list[Router]) -> object:
    """Return an application, a router or routers with a prefix; None for any other call."""
    package, _, inner = callee.name.partition(".")
    file = call.scope.file
    if callee.name in {"koa", "koa.Koa"}:
        apps.append(KoaApp(is_app=True, file=file))
        return apps[-1]
    if package in _ROUTERS and inner in {"", "Router", "KoaRouter"}:
        options = call.argument(0)
        prefix = options.names.get("prefix") if isinstance(options, JSObject) else None
        router = KoaRouter(is_app=False, file=file, base=prefix if isinstance(prefix, str) else "")
        if prefix is UNKNOWN:
            router.note(call, "the prefix of a router is only known at run time")
        return router
    if package == "koa-mount":
        prefix, given = call.argument(0), call.arguments[-1] if call.arguments else None
        child = router_of(given)
        mounted = KoaRouter(is_app=False, file=file)
        if child is not None:
            child.is_mounted = True
            mounted.items.append(Mount(child, prefix if isinstance(prefix, str) else ""))
            return mounted
        return None
    if package in {"koa-compose", "koa-combine-routers"}:
        joined = KoaRouter(is_app=False, file=file)
        for value in flat(call.arguments):
            if (child := router_of(value)) is not None:
                joined.items.append(Mount(child, ""))
        return joined
    if package == "koa-route" and inner in VERBS:
        single = KoaRouter(is_app=False, file=file)
        single.add(inner, paths_of(call.argument(0)), call, 1)
        return single
    return None
