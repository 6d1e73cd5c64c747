"""Prints the route table of an application in Python, as its framework has it; run inside a preview's environment.

    python _routes_python.py KIND APP FACTORY DIRECTORY [IMPORT_ROOT …]

``KIND`` is a plan's framework, ``APP`` its application, settings module or (``command``) file. Each route is a line
``@@route METHOD PATH``; ``@@also`` marks one that a framework or library has added by itself. Needs no package.
"""

import asyncio
import importlib
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete", "trace")
# What these give an address is no project's; a ready view (a login) belongs to who gave it its address.
_LIBRARIES = ("django.views.static", "django.contrib.staticfiles", "rest_framework.routers", "ninja.openapi")


def show(method: str, path: str, also: bool = False) -> None:
    if method.upper() not in ("HEAD", "OPTIONS"):
        print(f"@@{'also' if also else 'route'} {method.upper()} {'/' + path.lstrip('/')}", flush=True)


def of_starlette(app: Any) -> None:
    while not hasattr(app, "routes") and hasattr(app, "app"):
        app = app.app
    added = {
        getattr(app, name, None) for name in ("docs_url", "redoc_url", "openapi_url", "swagger_ui_oauth2_redirect_url")
    }

    def walk(routes: Any, prefix: str) -> None:
        for given in routes:
            route = getattr(given, "starlette_route", None) or given
            # FastAPI may keep an included router as a whole, and gives its routes as contexts.
            if hasattr(route, "effective_candidates"):
                walk(route.effective_candidates(), prefix)
                walk(route.effective_low_priority_routes(), prefix)
                continue
            path = prefix + (getattr(route, "path", "") or "")
            inner = getattr(route, "routes", None)
            if inner:
                walk(inner, path)
            elif getattr(route, "endpoint", None) and "WebSocket" not in type(route).__name__:
                methods = getattr(route, "methods", None)
                if methods is None and not isinstance(route.endpoint, type):
                    continue
                for method in methods or [one for one in _METHODS if hasattr(route.endpoint, one)]:
                    show(method, path, path in added)

    walk(app.routes, "")


def of_flask(app: Any) -> None:
    for rule in app.url_map.iter_rules():
        where = getattr(app.view_functions.get(rule.endpoint), "__module__", "") or ""
        also = rule.endpoint.rpartition(".")[2] == "static" or where.startswith(
            ("flask_smorest.", "flask_restx.", "flask_admin")
        )
        for method in rule.methods or ():
            if not getattr(rule, "websocket", False):
                show(method, rule.rule, also)


def of_litestar(app: Any) -> None:
    config: Any = getattr(app, "openapi_config", None)
    schema = (
        config.openapi_router.path
        if getattr(config, "openapi_router", None)
        else getattr(config, "path", None) or "/schema"
    )
    for route in app.routes:
        for method in getattr(route, "methods", ()):
            show(method, route.path, f"{route.path}/".startswith(f"{schema}/"))


def of_blacksheep(app: Any) -> None:
    asyncio.run(app.start())
    for method, routes in app.router.routes.items():
        for route in routes:
            pattern = route.pattern.decode() if isinstance(route.pattern, bytes) else route.pattern
            show(method.decode() if isinstance(method, bytes) else method, pattern)


def of_django(settings: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    importlib.import_module("django").setup()
    simplify = importlib.import_module("django.contrib.admindocs.views").simplify_regex

    def methods(view: Any) -> "list[str]":
        seen: Any = []
        while view is not None and view not in seen:
            seen.append(view)
            # An admin's own `actions` are none of a view set's.
            if isinstance(getattr(view, "actions", None), dict):
                # A router maps the actions that a view set has, though ``http_method_names`` refuses some.
                allowed = getattr(getattr(view, "cls", None), "http_method_names", _METHODS)
                return [one for one in view.actions if one in allowed]
            cls = getattr(view, "view_class", None) or getattr(view, "cls", None)
            if cls is not None:
                return [one for one in _METHODS if hasattr(cls, one) and one in cls.http_method_names]
            code = getattr(view, "__code__", None)
            # Pythons before 3.10 have no strict=.
            cells: Any = dict(zip(code.co_freevars, view.__closure__ or ())) if code else {}  # noqa: B905
            # Django Ninja's views know their path's operations.
            owner: Any = cells["self"].cell_contents if "self" in cells else getattr(view, "__self__", None)
            if getattr(owner, "operations", None):
                return [one for operation in owner.operations for one in operation.methods]
            if "request_method_list" in cells:
                return list(cells["request_method_list"].cell_contents)
            following = getattr(view, "__wrapped__", None)
            for cell in cells.values():
                if following is None and callable(cell.cell_contents):
                    following = cell.cell_contents
            view = following
        return ["*"]

    def walk(patterns: Any, prefix: str, library: bool = False) -> None:
        for one in patterns:
            text = str(one.pattern)
            if hasattr(one.pattern, "regex") and not hasattr(one.pattern, "_route"):
                plain = simplify(text).lstrip("/")
                # Django simplifies some unnamed groups to parts of an expression: `([^/]+)` twice.
                text = re.sub(r"\((?:[^()]|\([^()]*\))*\)", "<var>", text.strip("^$")) if "(" in plain else plain
            path = prefix + text
            if hasattr(one, "url_patterns"):
                walk(one.url_patterns, path, library or one.app_name in ("admin", "djdt"))
            elif r"\.(?P<format>" not in str(one.pattern) and "<drf_format_suffix" not in text:
                view = getattr(one.callback, "func", one.callback)
                where = [getattr(item, "__module__", None) or "" for item in (view, getattr(view, "cls", None))]
                also = library or any(name.startswith(_LIBRARIES) for name in where)
                for method in methods(one.callback):
                    show(method, path, also)

    walk(importlib.import_module("django.urls").get_resolver().url_patterns, "")


def of_aiohttp(app: Any) -> None:
    for route in app.router.routes():
        handler, method = route.handler, route.method
        if route.resource is None:
            continue
        own = [one for one in _METHODS if hasattr(handler, one)] if isinstance(handler, type) else []
        for one in own if method == "*" and own else [method]:
            show(one, route.resource.canonical)


def of_tornado(app: Any) -> None:
    base = importlib.import_module("tornado.web").RequestHandler

    def walk(rules: Any) -> None:
        for rule in rules:
            inner = getattr(rule.target, "rules", None)
            if inner is not None:
                walk(inner)
            elif isinstance(rule.target, type) and hasattr(rule.matcher, "regex"):
                path = re.sub(r"\((?:[^()]|\([^()]*\))*\)", "{}", rule.matcher.regex.pattern.strip("^$")).replace(
                    "\\", ""
                )
                for method in _METHODS:
                    if getattr(rule.target, method, None) is not getattr(base, method, None):
                        show(method, path, rule.target.__module__.startswith("tornado."))

    walk(app.default_router.rules)


def of_sanic(app: Any) -> None:
    if not app.router.finalized:
        app.router.finalize()
    for route in app.router.routes:
        for method in route.methods:
            show(method, route.path)


_READERS = {
    "fastapi": of_starlette,
    "starlette": of_starlette,
    "flask": of_flask,
    "quart": of_flask,
    "litestar": of_litestar,
    "blacksheep": of_blacksheep,
    "aiohttp": of_aiohttp,
    "tornado": of_tornado,
    "sanic": of_sanic,
}


class Done(BaseException):
    """Ends a program that would serve now."""


def serve(kind: str, app: Any) -> None:
    """Print the table of the application that a program would serve, and end the program."""
    _READERS[kind](app)
    raise Done


def run_command(file: str) -> None:
    """Run a program until it would serve."""
    sys.argv = [file]
    for kind, module, owner in (
        ("aiohttp", "aiohttp.web", ""),
        ("tornado", "tornado.web", "Application"),
        ("sanic", "sanic", "Sanic"),
    ):
        try:
            there: Any = importlib.import_module(module)
        except ImportError:
            continue
        if kind == "aiohttp":
            # A coroutine gives the application where a factory is one.
            def run_app(app: Any, **_: Any) -> None:
                serve("aiohttp", asyncio.run(app) if asyncio.iscoroutine(app) else app)

            there.run_app = run_app
        elif kind == "tornado":
            getattr(there, owner).listen = lambda app, *_, **__: serve("tornado", app)
            importlib.import_module("tornado.httpserver").HTTPServer.listen = lambda server, *_, **__: serve(
                "tornado", server.request_callback
            )
        else:
            getattr(there, owner).run = lambda app, *_, **__: serve("sanic", app)
    runpy.run_path(file, run_name="__main__")


def main() -> None:
    kind, target, factory, directory, *roots = sys.argv[1:]
    sys.path[:0] = [str(Path(root).resolve()) for root in roots]
    os.chdir(directory)
    try:
        if kind == "command":
            run_command(target)
        elif kind == "django":
            of_django(target)
        else:
            module, _, name = target.partition(":")
            app: Any = importlib.import_module(module)
            for part in name.partition("(")[0].split("."):
                app = getattr(app, part)
            if factory == "True":
                app = app()
            found = [type(app).__mro__[at].__module__.partition(".")[0] for at in range(len(type(app).__mro__) - 1)]
            own = next((one for one in found if one in _READERS), kind if kind in _READERS else "starlette")
            _READERS[own](app)
    except Done:
        pass
    print("@@done", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
