"""Print the routes that a running application has, one a line: method and path, with parameters as ``{name}``.

    python benchmarks/_route_table.py FRAMEWORK module:attribute

``attribute()`` is called first. Used by ``benchmarks/route_tables.py``; it imports the project's code.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")


def quart(app: Any) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static" or rule.endpoint.endswith(".static") or rule.websocket:
            continue
        if rule.rule in {"/openapi.json", "/docs", "/redocs", "/scalar"}:
            continue
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield method, re.sub(r"<(?:[^:<>]*:)?([^<>]*)>", r"{\1}", rule.rule)


def litestar(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        path = re.sub(r"\{([^:}]*):[^}]*\}", r"{\1}", route.path)
        if type(route).__name__ == "HTTPRoute":
            handlers = [one for one in route.route_handlers if not one.fn.__module__.startswith("litestar.")]
            for handler in handlers:
                yield from ((method, path) for method in handler.http_methods if method not in {"OPTIONS", "HEAD"})


def aiohttp(app: Any) -> Iterator[tuple[str, str]]:
    web = importlib.import_module("aiohttp.web")
    for route in app.router.routes():
        if route.resource is None or isinstance(route.resource, web.StaticResource):
            continue
        methods = [route.method]
        if inspect.isclass(route.handler) and issubclass(route.handler, web.View):
            methods = [verb for verb in VERBS if hasattr(route.handler, verb.lower())]
        yield from ((method, route.resource.canonical) for method in methods if method != "HEAD")


def sanic(app: Any) -> Iterator[tuple[str, str]]:
    app.finalize()
    for route in app.router.routes:
        if not getattr(route.extra, "static", False) and not getattr(route.extra, "websocket", False):
            path = re.sub(r"<([^:>]*)(?::[^>]*)?>", r"{\1}", route.path)
            yield from ((method, f"/{path.strip('/')}") for method in route.methods)


def tornado(app: Any) -> Iterator[tuple[str, str]]:
    web = importlib.import_module("tornado.web")
    socket = importlib.import_module("tornado.websocket").WebSocketHandler

    def walk(rules: Any) -> Iterator[tuple[str, str]]:
        for rule in rules:
            target = rule.target
            if hasattr(target, "rules") and not isinstance(target, type):
                yield from walk(target.rules)
            elif isinstance(target, list):
                yield from walk(target)
            elif isinstance(target, web.Application):
                yield from walk(target.wildcard_router.rules)
                yield from walk([one for one in target.default_router.rules if not hasattr(one.target, "rules")])
            elif isinstance(target, type) and not issubclass(target, (web.StaticFileHandler, socket)):
                path = rule.matcher.regex.pattern.removesuffix("$")
                path = re.sub(r"\((?:\?P<\w+>)?(?:[^()]|\([^()]*\))*\)", "{x}", path).replace("?", "").replace("\\", "")
                for verb in VERBS:
                    method = getattr(target, verb.lower(), None)
                    if method is not getattr(web.RequestHandler, verb.lower(), None):
                        yield verb, path

    yield from walk(app.default_router.rules)


def blacksheep(app: Any) -> Iterator[tuple[str, str]]:
    asyncio.run(app.start())

    def of(router: Any, prefix: str) -> Iterator[tuple[str, str]]:
        for method, route in router.iter_with_methods():
            is_static = ".files." in (getattr(route.handler, "__module__", None) or "")
            if method not in {"*", "GET_WS"} and not is_static:
                path = route.mustache_pattern if isinstance(route.mustache_pattern, str) else route.pattern.decode()
                yield method, prefix + path.replace("*", "{tail}")
        for inner in getattr(router, "_sub_routers", None) or ():
            yield from of(inner, prefix)

    yield from of(app.router, "")
    for mount in app.mount_registry.mounted_apps:
        yield from of(mount.handler.router, "/" + mount.pattern.decode().replace("*", "").strip("/"))


def falcon(app: Any) -> Iterator[tuple[str, str]]:
    found = importlib.import_module("falcon.inspect").inspect_app(app)
    for route in found.routes:
        path = re.sub(r"\{([^:}]*):[^}]*\}", r"{\1}", route.path)
        yield from ((one.method, path) for one in route.methods if not one.internal and one.method in VERBS)
    yield from (("*", sink.prefix) for sink in found.sinks)


def bottle(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        path = re.sub(r"<([A-Za-z_]\w*)(?::[^<>]*(?:<[^<>]*>[^<>]*)*)?>", r"{\1}", route.rule)
        mounted = route.config.get("mountpoint.target")
        if mounted is not None:
            prefix = route.config["mountpoint.prefix"].rstrip("/")
            yield from ((method, prefix + inner) for method, inner in bottle(mounted))
        else:
            yield "*" if route.method == "ANY" else route.method, re.sub(r"(?<=/):(\w+)", r"{\1}", path)


def main() -> None:
    _, framework, name = sys.argv
    sys.path.insert(0, ".")
    module, _, attribute = name.partition(":")
    app = getattr(importlib.import_module(module), attribute.removesuffix("()"))
    if attribute.endswith("()"):
        app = app()
    if inspect.isawaitable(app):
        app = asyncio.run(_awaited(app))
    for method, path in sorted(set(globals()[framework](app)), key=lambda pair: (pair[1], pair[0])):
        if method not in {"HEAD", "OPTIONS"}:
            print(method, path or "/")


async def _awaited(value: Any) -> Any:
    return await value


if __name__ == "__main__":
    main()
