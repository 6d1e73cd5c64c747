"""Effects of names of Flask, and of packages around it, in a project's code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from preview.endpoints.budget import Budget
from preview.endpoints.flask.described import ClassView, FieldUse, Model, Parser, as_view
from preview.endpoints.flask.extract import list_endpoints
from preview.endpoints.flask.registry import Registry, Rule, read_methods
from preview.endpoints.flask.resources import RestApi, SmorestApi, make_namespace
from preview.endpoints.model import Found, FoundApp
from preview.endpoints.python import (
    UNKNOWN,
    Call,
    Class,
    External,
    Function,
    Kind,
    Native,
    PythonEvaluator,
    find_python_apps,
)
from preview.sources import Sources

PACKAGES: Final = frozenset({"flask_classful", "flask_classy"})
_SPECIAL: Final = {"index": "GET", "get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
_HOOKS: Final = frozenset({"before_request", "after_request", "register"})


@dataclass(eq=False, slots=True)
class RoutedMethod(Native):
    """``@route("/x", methods=[…])`` above a method."""

    path: str
    methods: tuple[str, ...] | None
    function: Function | None = None

    def decorate(self, target: object) -> object:
        """Take the method; the class's name for the method then refers to the route."""
        self.function = target if isinstance(target, Function) else None
        return self


def register_class(call: Call) -> object:
    """Evaluate ``Quotes.register(app, route_base="/quotes")``."""
    func = call.node.func
    cls = call.evaluator.evaluate(func.value, call.scope) if isinstance(func, ast.Attribute) else UNKNOWN
    owner = call.argument(0, "app")
    if isinstance(cls, Class) and isinstance(owner, Registry):
        base = _base(cls, call)
        for name, value in _methods(cls, call.evaluator):
            for path, methods, function in _rules(name, value):
                whole = re.sub(r"/{2,}", "/", f"/{base}/{path}")
                owner.entries.append(Rule(whole, methods, function, {}, call.scope, call.node.lineno))
    return UNKNOWN


def _base(cls: Class, call: Call) -> str:
    prefix = call.named.get("route_prefix", call.evaluator.attribute(cls, "route_prefix"))
    given = call.named.get("route_base", call.evaluator.attribute(cls, "route_base"))
    name = cls.node.name
    usual = (name.removesuffix("View") or name).lower()
    base = given if isinstance(given, str) else usual
    return f"{prefix}/{base}" if isinstance(prefix, str) else base


def _methods(cls: Class, evaluator: PythonEvaluator) -> Iterator[tuple[str, object]]:
    seen = set(_HOOKS)
    for ancestor in evaluator.lineage(cls):
        for name, value in ancestor.body.names.items() if isinstance(ancestor, Class) else ():
            if name not in seen and not name.startswith("_") and isinstance(value, (Function, RoutedMethod)):
                seen.add(name)
                yield name, value


def _rules(name: str, value: object) -> Iterator[tuple[str, tuple[str, ...] | None, Function | None]]:
    if isinstance(value, RoutedMethod):
        yield value.path, value.methods, value.function
    elif isinstance(value, Function):
        arguments = value.node.args
        names = [item.arg for item in (*arguments.posonlyargs, *arguments.args)][1:]
        parameters = "".join(f"/<{item}>" for item in names)
        if name in _SPECIAL:
            yield f"{parameters}/", (_SPECIAL[name],), value
        else:
            yield f"/{name}{parameters or '/'}", ("GET",), value


_APPS: Final = frozenset({"Flask", "APIFlask", "FlaskAPI", "OpenAPI"})
_QUART_APPS: Final = frozenset({"Quart", "QuartTrio"})
_BLUEPRINTS: Final = frozenset({"Blueprint", "APIBlueprint", "APIView"})
_RESTFUL: Final = frozenset(
    {"flask_restful", "flask_restx", "flask_restplus", "flask_restful_swagger_2", "flask_restful_swagger"}
)
_SMOREST: Final = frozenset({"flask_smorest", "flask_rest_api"})
_FIELD_PACKAGES: Final = (*_RESTFUL, "marshmallow", "webargs", "wtforms", "flask_marshmallow", "apiflask", "flask_wtf")
_DEFAULT_READERS: Final = frozenset({"getenv", "get", "config", "env"})
_STARRED: Final = {
    "flask": ("Flask", "Quart", "Blueprint", "request", "views"),
    "flask_restful": ("Api", "Resource", "reqparse", "fields"),
    "flask_restx": ("Api", "Resource", "Namespace", "reqparse", "fields"),
    "flask_restplus": ("Api", "Resource", "Namespace", "reqparse", "fields"),
    "flask_smorest": ("Api", "Blueprint"),
    "flask.views": ("MethodView", "View"),
}


class FlaskFramework:
    """Defines the effects of Flask's names for the evaluator.

    Args:
        apps: The names of the application's class.
    """

    def __init__(self, apps: frozenset[str] = _APPS) -> None:
        self._apps = apps

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application, a blueprint or an API."""
        return self._maker(value) is not None

    def construct(self, callee: External, call: Call) -> object:
        """Return an application, a blueprint, an API or a view; for a wrapper, the wrapped view or application."""
        make = self._maker(callee)
        if make is not None:
            return make(call)
        last, top = callee.last, callee.package
        if last == "as_view":
            return as_view(call)
        if top in PACKAGES and last == "register":
            return register_class(call)
        if top in PACKAGES and last == "route":
            return RoutedMethod(call.text(0, "rule"), read_methods(call.named.get("methods")))
        if last == "RequestParser":
            return Parser()
        if last == "Model" and top in _RESTFUL:
            return Model({k: v for item in call.arguments if isinstance(item, dict) for k, v in item.items()})
        if top in _FIELD_PACKAGES and _is_field(callee):
            return FieldUse(last, list(call.arguments), call.named)
        if last in _DEFAULT_READERS:
            # os.getenv("PREFIX", "/api"): the default applies if the variable is not set.
            return call.argument(1, "default")
        return _wrapped(callee, call)

    def starred(self, module: str) -> Sequence[str]:
        """Return the names that star imports bind."""
        return _STARRED.get(module.replace("quart", "flask") if module.startswith("quart") else module, ())

    def _maker(self, value: External) -> Callable[[Call], object] | None:
        last, top = value.last, value.package
        if not top.startswith(("flask", "apiflask", "quart", "connexion")):
            return None
        if last in self._apps:
            return lambda _: Registry(is_app=True, name="")
        if last in _BLUEPRINTS:
            return _blueprint
        if last == "Api":
            return _smorest if top in _SMOREST else _restful if top in _RESTFUL else None
        return make_namespace if last == "Namespace" and top in _RESTFUL else None


def _blueprint(call: Call) -> object:
    prefix = call.named.get("url_prefix")
    name = call.text(0, "name")
    tags = (name,) if name else ()
    return Registry(is_app=False, name=name, prefix=prefix if isinstance(prefix, str) else None, tags=tags)


def _restful(call: Call) -> object:
    api = RestApi(call.text(1, "prefix") if "prefix" in call.named else "")
    api.bind(call.argument(0, "app"))
    return api


def _smorest(call: Call) -> object:
    api = SmorestApi()
    api.bind(call.argument(0, "app"))
    return api


def _is_field(callee: External) -> bool:
    return ".fields." in callee.name or callee.last.endswith("Field") or callee.name.startswith("webargs.")


def _wrapped(callee: External, call: Call) -> object:
    """Unwrap ``login_required(view)`` to the view and ``ProxyFix(app)`` to the application."""
    given = (*call.arguments, *call.named.values())
    view = next((item for item in given if isinstance(item, (ClassView, Function))), None)
    if view is not None:
        return view
    if not callee.last.endswith(("Fix", "Middleware")):
        return UNKNOWN
    return next((item for item in given if isinstance(item, Registry) and item.is_app), UNKNOWN)


def find_flask_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """Return the project's applications, the likeliest first."""
    return find_python_apps(sources, budget, _KIND)


def find_quart_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """Return the project's applications of Quart, whose routes are written as Flask's, the likeliest first."""
    return find_python_apps(sources, budget, _QUART)


def _is_app(value: object) -> bool:
    return isinstance(value, Registry) and value.is_app


def _list(app: Native, evaluator: PythonEvaluator, found: Found) -> None:
    if isinstance(app, Registry):
        list_endpoints(app, evaluator, found)


_KIND = Kind("flask", "Flask", (b"Flask",), FlaskFramework, _is_app, _list)
_QUART = Kind("quart", "Quart", (b"Quart",), partial(FlaskFramework, _QUART_APPS), _is_app, _list)
