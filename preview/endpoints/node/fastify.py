"""Fastify: instances, plugins with prefixes, and ``fastify-plugin``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from preview.endpoints.javascript import (
    UNKNOWN,
    Bound,
    Call,
    External,
    Function,
    JavaScriptEvaluator,
    JSObject,
    Made,
    Module,
    Native,
)
from preview.endpoints.node.autoload import AutoloadedFile, find_autoloaded
from preview.endpoints.node.loaders import adds_routes
from preview.endpoints.node.router import UNREAD_PATH, VERBS, Mount, Router, paths_of

_METHODS: Final = VERBS | {"trace", "search", "propfind", "mkcol", "copy", "move", "lock", "unlock", "report"}
_AUTOLOAD: Final = frozenset({"@fastify/autoload", "fastify-autoload"})
# Plugins of other packages that add routes.
_ADDING: Final = frozenset(
    {"@fastify/static", "fastify-static", "@fastify/swagger-ui", "@scalar/fastify-api-reference", "mercurius",
     "@fastify/http-proxy", "@as-integrations/fastify", "@trpc/server", "fastify-metrics", "@fastify/oauth2",
     "@fastify/under-pressure", "fastify-healthcheck"}
)  # fmt: skip
_UNREAD_PLUGIN: Final = "a plugin is only known at run time"
# Nesting limit for plugins that register themselves.
_MAX_DEPTH: Final = 16


@dataclass(eq=False)
class Plugin(Native):
    """``fastifyPlugin(function)``: its routes belong to the instance that registers it."""

    function: object
    names: dict[str, object] = field(default_factory=dict)

    def attribute(self, name: str) -> object:
        """Return a property set before (``autoPrefix``)."""
        return self.names.get(name, UNKNOWN)

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``plugin.autoPrefix = …``."""
        self.names[name] = value


@dataclass(eq=False)
class FastifyInstance(Router):
    """``fastify()``, and the instance that a plugin gets.

    Attributes:
        base: The prefix of the instance's paths.
        parent: The instance that registered the plugin; None for the root.
        depth: The number of instances above.
        waiting: Registered plugins with their options. Fastify loads them when the current one has returned.
        running: The number of plugins that share this instance and are being run, one within the other.
    """

    framework: ClassVar[str] = "fastify"
    base: str = ""
    parent: FastifyInstance | None = None
    depth: int = 0
    waiting: list[tuple[object, object, Call]] = field(default_factory=list)
    running: int = 0

    def attribute(self, name: str) -> object:
        """Return a decorator of this instance or of one above, the prefix, or a method."""
        found = self._decorated(name)
        if found is not UNKNOWN:
            return found
        if name == "prefix":
            return self.base
        return Bound(self, name) if name in _METHODS or name == "register" else super().attribute(name)

    def _decorated(self, name: str) -> object:
        instance: FastifyInstance | None = self
        while instance is not None:
            if name in instance.names:
                return instance.names[name]
            instance = instance.parent
        return UNKNOWN

    def call_method(self, name: str, call: Call) -> object:
        """Register a route or a plugin, or call a decorator."""
        decorated = self._decorated(name)
        if decorated is not UNKNOWN:
            return call.evaluator.invoke(decorated, call, self)
        if name in _METHODS:
            self._verb(name, call)
        elif name == "route":
            self.add_route(call.argument(0), call)
        elif name == "register":
            self.waiting.append((call.argument(0), call.argument(1), call))
        elif name == "decorate":
            key = call.argument(0)
            if isinstance(key, str):
                self.names[key] = call.argument(1)
        elif name in {"listen", "ready"}:
            self.listens = True
            self.finish(call.evaluator)
            call.evaluator.call_back(call.arguments)
        elif name == "after":
            for callback in call.arguments:
                if isinstance(callback, Function):
                    self.waiting.append((Plugin(callback), None, call))
        elif name in {"inject", "printRoutes", "close"}:
            return UNKNOWN
        return self

    def _verb(self, name: str, call: Call) -> object:
        paths, options = paths_of(call.argument(0)), call.argument(1)
        if not paths:
            self.note(call, UNREAD_PATH)
        schema = options.names.get("schema") if isinstance(options, JSObject) else None
        self.add(name, [self._whole(path) for path in paths], call, 1, schema)
        if isinstance(options, JSObject) and isinstance(handler := options.names.get("handler"), Function):
            for route in self.items[len(self.items) - len(paths) :]:
                if not isinstance(route, Mount):
                    route.values.append(handler)
        return self

    def add_route(self, options: object, call: Call) -> None:
        """Evaluate ``fastify.route({method, url, schema, handler})``."""
        member = call.evaluator.member
        url = member(options, "url")
        paths = paths_of(url if url is not None else member(options, "path"))
        method = call.evaluator.settle(member(options, "method"))
        methods = [item for item in (method if isinstance(method, list) else [method]) if isinstance(item, str)]
        if not paths or not methods:
            self.note(call, UNREAD_PATH)
        handler, schema = member(options, "handler"), member(options, "schema")
        inner = Call(call.node, call.scope, call.evaluator, [handler])
        for verb in methods:
            self.add(verb, [self._whole(path) for path in paths], inner, len(call.nodes), schema)
            for route in self.items[len(self.items) - len(paths) :] if paths else ():
                if not isinstance(route, Mount):
                    route.values = [handler]
                    route.line = route.line or (
                        handler.node.start_point.row + 1 if isinstance(handler, Function) else 0
                    )

    def _whole(self, path: str) -> str:
        # Fastify's rules: `::` is a colon, and the path of a plugin may be empty.
        if self.base.endswith("/") and path.startswith("/"):
            path = path[1:]
        return self.base + path.replace("::", "\\:")

    def finish(self, evaluator: JavaScriptEvaluator) -> None:
        """Run the registered plugins."""
        while self.waiting:
            plugin, options, call = self.waiting.pop(0)
            evaluator.step()
            self._run(plugin, options, call)

    def _run(self, plugin: object, options: object, call: Call) -> None:
        evaluator = call.evaluator
        plugin, options = _plugin_of(plugin, evaluator), evaluator.settle(options)
        if isinstance(options, Function):
            options = evaluator.call(options, [self])
        given = options if isinstance(options, JSObject) else JSObject()
        if isinstance(plugin, Plugin):
            self._start(_plugin_of(plugin.function, evaluator), given, self, call)
        elif isinstance(plugin, Function):
            self._start(plugin, given, self._child(given.names.get("prefix"), call), call)
        elif isinstance(plugin, External) and plugin.name.partition(".")[0] in _AUTOLOAD:
            self._autoload(given, call)
        elif isinstance(plugin, (External, Made)):
            name = plugin.name.partition(".")[0]
            if name in _ADDING or adds_routes(name):
                self.note(call, f"the routes that {name} adds are not read")
        else:
            self.note(call, _UNREAD_PLUGIN)

    def _start(self, plugin: object, options: JSObject, instance: FastifyInstance, call: Call) -> None:
        if not isinstance(plugin, Function) or instance.depth + instance.running > _MAX_DEPTH:
            return
        instance.running += 1
        # The plugins that this one registers run before the next one.
        waiting, instance.waiting = instance.waiting, []
        call.evaluator.call(plugin, [instance, options, UNKNOWN])
        instance.finish(call.evaluator)
        instance.waiting = waiting
        instance.running -= 1

    def _child(self, prefix: object, call: Call) -> FastifyInstance:
        base = self.base
        if isinstance(prefix, str) and prefix:
            part = prefix if prefix.startswith("/") else f"/{prefix}"
            base += part[1:] if base.endswith("/") else part
        child = FastifyInstance(False, self.file, base=base, parent=self, depth=self.depth + 1, is_mounted=True)
        if prefix is UNKNOWN or isinstance(prefix, Made):
            child.note(call, "the prefix of a plugin is only known at run time")
        self.items.append(Mount(child, ""))
        return child

    def _autoload(self, options: JSObject, call: Call) -> None:
        files = find_autoloaded(options, call.evaluator)
        if files is None:
            self.note(call, "the folder of a plugin loader is only known at run time")
        for file in files or ():
            self._load(file, call)

    def _load(self, file: AutoloadedFile, call: Call) -> None:
        evaluator = call.evaluator
        plugin = _plugin_of(file.exports, evaluator)
        prefix = JSObject({"prefix": file.prefix} if file.prefix else {})
        settings = JSObject({**file.options.names, **prefix.names})
        if isinstance(plugin, JSObject) and "method" in plugin.names:
            self._child(file.prefix, call).add_route(plugin, Call(None, file.scope, evaluator, []))
        elif isinstance(plugin, (Function, Plugin, External, Made)):
            self._run(plugin if file.encapsulate else Plugin(plugin), settings, call)


def _plugin_of(value: object, evaluator: JavaScriptEvaluator) -> object:
    """Return the plugin that a value is, or that a module exports by default."""
    value = evaluator.settle(value)
    if isinstance(value, JSObject) and "default" in value.names:
        value = evaluator.settle(value.names["default"])
    return value.function if isinstance(value, Plugin) and isinstance(value.function, Plugin) else value


def start_plugin(module: Module, evaluator: JavaScriptEvaluator) -> FastifyInstance:
    """Return the instance with which ``fastify start`` registers a module's plugin."""
    app = FastifyInstance(is_app=True, file=module.file, listens=True)
    app.waiting.append((module.exports, JSObject(), Call(None, module.scope, evaluator, [])))
    return app


def make_fastify(callee: External, call: Call, apps: list[Router]) -> object:
    """Return an instance for ``fastify()``, a plugin for ``fastify-plugin``; None for any other call."""
    if callee.name in {"fastify", "fastify.fastify", "fastify.Fastify"}:
        apps.append(FastifyInstance(is_app=True, file=call.scope.file))
        return apps[-1]
    if callee.name.partition(".")[0] == "fastify-plugin":
        options, function = call.argument(1), call.argument(0)
        encapsulates = isinstance(options, JSObject) and options.names.get("encapsulate") is True
        return function if encapsulates else Plugin(function)
    return None
