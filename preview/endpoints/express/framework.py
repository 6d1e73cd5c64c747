"""Effects of names of Express, and of packages around it, in a project's code."""

from __future__ import annotations

import io
import posixpath
from typing import Final

from dotenv.parser import parse_stream

from preview.endpoints.express.containers import REGISTERING, Bindings, Container, from_options
from preview.endpoints.express.controllers import (
    InversifyServer,
    attach_controllers,
    controllers_of,
    load_mentioning,
)
from preview.endpoints.express.nest import NestApp
from preview.endpoints.javascript import ROOT, UNKNOWN, Call, Class, External, JavaScriptEvaluator, JSObject, Made
from preview.endpoints.node.loaders import Loaders
from preview.endpoints.node.router import Router
from preview.endpoints.node.servers import make_server
from preview.sources import Sources

_APPS: Final = frozenset(
    {"express", "express.express", "express.createServer", "@feathersjs/express", "polka", "ultimate-express",
     "@tinyhttp/app.App", "json-server.create", "express-async-app", "express4"}
)  # fmt: skip
_ROUTERS: Final = frozenset({"express-promise-router", "express-async-router", "router", "express-router-async"})
_ROUTER_NAMES: Final = frozenset({"Router", "AsyncRouter", "PromiseRouter"})
_LOADERS: Final = frozenset({"consign", "express-consign", "express-load"})
# Routers of other frameworks, with different rules.
_OTHERS: Final = ("koa", "@koa", "next", "react", "vue", "wouter", "hono", "find-my-way", "itty", "bun")
# Containers that create objects on request.
_CONTAINERS: Final = frozenset({"typedi", "tsyringe", "inversify", "awilix"})
_ASKING: Final = frozenset({"get", "resolve"})
_CONFIG_ENDS: Final = ("json", "js", "ts", "cjs")


class ExpressFramework:
    """Defines the effects of Express's names for the evaluator.

    Attributes:
        apps: All applications that were made, in order.
        controllers: All classes with decorators, in order.
        loaders: Packages that add routes that are not read.
    """

    def __init__(self) -> None:
        self.apps: list[Router] = []
        self.controllers: list[Class] = []
        self.bindings = Bindings()
        self.loaders = Loaders()

    def construct(self, callee: External, call: Call) -> object:
        """Return an application, a router or another known result; for a wrapper, return the wrapped application."""
        made = make_server(callee, call, self.apps) or self._make(callee.name, call.scope.file)
        if made is not None:
            return made
        decorated = self._decorated(callee, call)
        if decorated is not None:
            return decorated
        if callee.package == "dotenv" and callee.last == "config":
            return _load_env(call)
        if callee.name == "config.get":
            return _configured(call)
        if callee.name in _LOADERS:
            loader = from_options(call.argument(0))
            return loader.call_method("load", call) if callee.name == "express-load" else loader
        if callee.name == "express-routes-mapper":
            return _mapped(call)
        if callee.package == "envalid":
            return _envalid(callee.last, call)
        if callee.package in _CONTAINERS:
            if callee.name == "inversify.Container":
                return Container(self.bindings)
            if callee.last in REGISTERING:
                self.bindings.register(call)
                return callee
            if callee.last in _ASKING:
                return self.bindings.provide(call.argument(0), call.evaluator)
        self.loaders.note(callee, call)
        arguments = call.arguments
        wrapped = next((item for item in arguments if isinstance(item, Router)), None)
        call.evaluator.call_back(arguments)
        # `http.createServer(app)`, `expressWs(app)`, `vhost('x', app)`
        return wrapped if wrapped is not None else Made(callee.name, arguments)

    def _decorated(self, callee: External, call: Call) -> object:
        """Return the application or server of a package for controllers; None for any other call."""
        evaluator, file = call.evaluator, call.scope.file
        if callee.name == "@nestjs/core.NestFactory.create":
            nest = NestApp(is_app=True, file=file)
            self.apps.append(nest)
            nest.read_modules(call.argument(0), evaluator)
            return nest
        if callee.last == "InversifyExpressServer":
            options, given = call.argument(2), call.argument(3)
            app = given if isinstance(given, Router) else self._new_app(file)
            return InversifyServer(app, self.controllers, _text(options, "rootPath"))
        if callee.last in {"useExpressServer", "createExpressServer"}:
            given = call.argument(0)
            app = given if isinstance(given, Router) else self._new_app(file)
            options = call.argument(1) if callee.last == "useExpressServer" else given
            listed = options.names.get("controllers") if isinstance(options, JSObject) else None
            classes = controllers_of(listed, self.controllers, evaluator)
            attach_controllers(app, classes, _text(options, "routePrefix"), evaluator)
            return app
        if callee.last == "RegisterRoutes" and isinstance(target := call.argument(0), Router):
            attach_controllers(target, load_mentioning(b"tsoa", self.controllers, evaluator), "", evaluator)
            return target
        return None

    def _new_app(self, file: str) -> Router:
        self.apps.append(Router(is_app=True, file=file))
        return self.apps[-1]

    def inherit(self, base: External) -> object:
        """Return the router of ``class App extends express.Router``."""
        return self._make(base.name, "")

    def provide(self, token: object, evaluator: JavaScriptEvaluator) -> object:
        """Return the object that a container injects for a token."""
        return self.bindings.provide(token, evaluator)

    def declare(self, cls: Class) -> None:
        """Remember a class with decorators."""
        self.controllers.append(cls)

    def _make(self, name: str, file: str) -> Router | None:
        if name in _APPS:
            return self._new_app(file)
        if name in _ROUTERS or (name.rpartition(".")[2] in _ROUTER_NAMES and not name.startswith(_OTHERS)):
            return Router(is_app=False, file=file)
        return None


def _text(options: object, name: str) -> str:
    value = options.names.get(name) if isinstance(options, JSObject) else None
    return value if isinstance(value, str) else ""


def read_env_file(sources: Sources, file: str) -> dict[str, str]:
    """Return the variables of a ``.env`` file that have a value."""
    content = sources.text(file).decode("utf-8", "replace")
    bindings = parse_stream(io.StringIO(content))
    return {item.key: item.value for item in bindings if item.key and item.value and not item.error}


def _load_env(call: Call) -> object:
    """Evaluate ``dotenv.config({path})``: add the file's variables."""
    options = call.argument(0)
    path = options.names.get("path") if isinstance(options, JSObject) else None
    evaluator = call.evaluator
    if isinstance(path, str):
        base = posixpath.join(ROOT, evaluator.resolver.folder)
        file = posixpath.normpath(posixpath.join(base, path)).removeprefix(f"{ROOT}/")
        if evaluator.sources.has_file(file):
            known = evaluator.environment.values
            evaluator.environment.values = {**read_env_file(evaluator.sources, file), **known}
    return UNKNOWN


def _configured(call: Call) -> object:
    """Evaluate ``config.get('api.prefix')`` of the package ``config``, from its default file."""
    key = call.argument(0)
    evaluator = call.evaluator
    for end in _CONFIG_ENDS:
        file = posixpath.normpath(posixpath.join(evaluator.resolver.folder, f"config/default.{end}"))
        if isinstance(key, str) and evaluator.sources.has_file(file):
            found = evaluator.load(file).exports
            for part in key.split("."):
                found = evaluator.member(found, part)
            return found
    return UNKNOWN


def _mapped(call: Call) -> object:
    """Evaluate ``mapRoutes({'GET /users/:id': 'UserController.get'}, folder)``."""
    table, router = call.argument(0), Router(is_app=False, file=call.scope.file)
    for key in table.names if isinstance(table, JSObject) else ():
        verb, _, path = key.partition(" ")
        if verb.isalpha() and path:
            router.add(verb.lower(), [path.strip()], call, len(call.nodes))
    return router


def _envalid(name: str, call: Call) -> object:
    """Evaluate ``cleanEnv(process.env, {API_PREFIX: str({default: '/api'})})``."""
    if name == "cleanEnv":
        values, variables = call.argument(1), call.evaluator.environment
        known = values.names if isinstance(values, JSObject) else {}
        return JSObject(
            {key: value if value is not UNKNOWN else variables.attribute(key) for key, value in known.items()}
        )
    options = call.argument(0)
    return options.names.get("default", UNKNOWN) if isinstance(options, JSObject) else UNKNOWN
