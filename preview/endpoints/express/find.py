"""Search for a project's Node applications and the files that start them."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from preview.endpoints.budget import Budget, OutOfBudget
from preview.endpoints.express.framework import ExpressFramework, read_env_file
from preview.endpoints.express.handlers import read_handlers
from preview.endpoints.express.requests import Requests
from preview.endpoints.javascript import Function, JavaScriptEvaluator, JSObject, Module, Resolver
from preview.endpoints.model import NODE_NAMES, AppTarget, Endpoint, Found, FoundApp
from preview.endpoints.node.fastify import start_plugin
from preview.endpoints.node.hono import served
from preview.endpoints.node.next import find_next_app
from preview.endpoints.node.router import Mount, Route, Router, flatten, notes_of, parameter_names, readable
from preview.endpoints.node.unread import unread_frameworks
from preview.sources import Sources
from preview.sources.javascript import SCRIPT_SUFFIXES, JavaScriptTrees
from preview.sources.node_package import Entry, NodePackage, find_entry, is_fastify_start, read_node_packages
from preview.sources.node_scripts import split_commands

_MAX_ENDPOINTS = 5_000
_BODYLESS = frozenset({"GET", "HEAD", "OPTIONS", "*"})


def list_endpoints(app: Router, evaluator: JavaScriptEvaluator, found: Found) -> None:
    """Add all endpoints of an application to ``found``, in the order they were registered.

    Raises:
        OutOfBudget: The budget ran out; ``found`` has the endpoints found so far.
    """
    requests = Requests(evaluator)
    for route, path in flatten(app, app.prefix, 0, evaluator):
        key = (route.method, readable(path))
        # Of two routes with the same method and path, the first one answers.
        if key not in found:
            found[key] = _endpoint(route, key[1], evaluator, requests)
        if len(found) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _endpoint(route: Route, path: str, evaluator: JavaScriptEvaluator, requests: Requests) -> Endpoint:
    known = read_handlers(route, evaluator, requests)
    return Endpoint(
        method=route.method,
        path=path,
        summary=known.summary,
        description=known.description,
        query=known.query,
        request_body=None if route.method in _BODYLESS else known.body or None,
        file=route.scope.file or None,
        line=route.line or None,
        path_parameters=dict.fromkeys(parameter_names(path), "string"),
    )


# Each candidate may need to be read completely.
_MAX_CANDIDATES: Final = 8
_MAX_PACKAGES: Final = 30
_LISTING_STEPS: Final = 50_000
_SERVERS: Final = (
    "express", "@nestjs/core", "routing-controllers", "inversify-express-utils", "express-promise-router",
    "@feathersjs/express", "polka", "ultimate-express", "@overnightjs/core", "@tsed/common", "tsoa", "json-server",
    "fastify", "koa", "hono", "@hono/zod-openapi", "elysia", "@hapi/hapi", "hapi", "restify",
)  # fmt: skip
_OTHERS: Final = rb"['\"](?:fastify|koa|hono|@hono/zod-openapi|elysia|@hapi/hapi|hapi|restify)['\"]"
_MENTION: Final = re.compile(rb"express|@nestjs/core|routing-controllers|inversify|polka|" + _OTHERS)
_MAKES: Final = re.compile(
    rb"\bexpress\s*\(|NestFactory|createExpressServer|useExpressServer|InversifyExpressServer|" + _OTHERS
)
_NAMES: Final = ("server", "app", "index", "main", "www", "api")
_SIDE_FOLDERS: Final = frozenset(
    {"tests", "test", "__tests__", "examples", "example", "docs", "scripts", "benchmarks", "e2e", "samples", "tools",
     "client", "frontend", "front-end", "web", "website", "ui", "mobile", "spec", "templates", "fixtures", "cypress"}
)  # fmt: skip
_FRONT: Final = ("react-scripts", "next", "vite", "@angular/core", "gatsby", "nuxt", "@vue/cli-service", "expo")
_ENV_FILES: Final = (".env", ".env.development", ".env.local", ".env.development.local", ".env.example", ".env.sample",
                     ".env.template", "env.example", ".env.dist")  # fmt: skip


def find_express_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """Return the project's applications, the likeliest first.

    The start script of package.json decides, then its ``main``, then usual names. Front ends are left out.

    Raises:
        OutOfBudget: The budget ran out.
    """
    if not sources.with_suffix(*SCRIPT_SUFFIXES):
        return []
    packages = read_node_packages(sources) or [NodePackage(".", "", {}, "", {}, {})]
    trees = JavaScriptTrees(sources)
    found: dict[str, FoundApp] = {}
    for package in packages[:_MAX_PACKAGES]:
        for app in _apps_of(package, packages, trees, budget):
            found.setdefault(app.target.file, app)
        if package.requires("next"):
            resolver = Resolver(sources, package, packages)
            make = partial(JavaScriptEvaluator, trees, resolver, budget, ExpressFramework(), {})
            pages = find_next_app(package, sources, make)
            found |= {pages.target.file: pages} if pages is not None else {}
    return list(found.values())


def _apps_of(
    package: NodePackage, packages: list[NodePackage], trees: JavaScriptTrees, budget: Budget
) -> list[FoundApp]:
    sources = trees.sources
    serves = package.requires(*_SERVERS)
    entry = find_entry(package, sources)
    if entry is not None:
        # A script may start another package's program.
        package = _package_of(entry.file, packages)
    if not serves and not package.requires(*_SERVERS) and (entry is None or not _mentions(sources, package)):
        return []
    entries = [entry] if entry is not None else []
    entries += [Entry(name, "", name.endswith((".ts", ".mts"))) for name in _by_mention(sources, package, packages)]
    for candidate in list(dict.fromkeys(entries))[:_MAX_CANDIDATES]:
        app = _look_into(candidate, package, packages, trees, budget)
        if app is not None:
            return [app]
    return []


def _package_of(file: str, packages: list[NodePackage]) -> NodePackage:
    above = [item for item in packages if item.folder == "." or file.startswith(f"{item.folder}/")]
    return max(above, key=lambda item: len(item.folder) if item.folder != "." else 0) if above else packages[0]


def _mentions(sources: Sources, package: NodePackage) -> bool:
    """Return whether a package's source mentions Express: a workspace may declare the dependency in its root only."""
    return any(_MENTION.search(sources.text(name)) for name in _scripts_of(sources, package)[:_MAX_PACKAGES])


def _scripts_of(sources: Sources, package: NodePackage) -> list[str]:
    prefix = "" if package.folder == "." else f"{package.folder}/"
    return [name for name in sources.with_suffix(*SCRIPT_SUFFIXES) if name.startswith(prefix)]


def _by_mention(sources: Sources, package: NodePackage, packages: list[NodePackage]) -> list[str]:
    """Return the package's files that make an application, usual names and upper folders first."""
    found = [
        name
        for name in _scripts_of(sources, package)
        if not _is_aside(name) and _package_of(name, packages) is package and _MAKES.search(sources.text(name))
    ]
    return sorted(found, key=lambda name: (name.count("/"), _rank(name), name))


def _rank(name: str) -> int:
    stem = posixpath.basename(name).partition(".")[0]
    return _NAMES.index(stem) if stem in _NAMES else len(_NAMES)


def _is_aside(file: str) -> bool:
    *folders, name = file.split("/")
    return any(folder in _SIDE_FOLDERS for folder in folders) or ".test." in name or ".spec." in name


def _look_into(
    entry: Entry, package: NodePackage, packages: list[NodePackage], trees: JavaScriptTrees, budget: Budget
) -> FoundApp | None:
    framework = ExpressFramework()
    environment: dict[str, str] = {}
    for name in reversed(_ENV_FILES):
        file = package.path(name)
        environment |= read_env_file(trees.sources, file) if trees.sources.has_file(file) else {}
    evaluator = JavaScriptEvaluator(trees, Resolver(trees.sources, package, packages), budget, framework, environment)
    complete = True
    app = None
    try:
        entered = evaluator.load(entry.file)
        if not framework.apps and _is_plugin(package):
            framework.apps.append(start_plugin(entered, evaluator))
        for module in list(evaluator.modules.values()):
            if not framework.apps and (module is entered or _MAKES.search(trees.sources.text(module.file))):
                _call_exports(module, evaluator)
        app = _exported(entered, evaluator)
        for made in list(framework.apps):
            made.finish(evaluator)
    except (OutOfBudget, RecursionError):
        complete = False
        budget.steps = max(budget.steps, _LISTING_STEPS)
        with contextlib.suppress(OutOfBudget, RecursionError):
            for made in list(framework.apps):
                made.finish(evaluator)
    app = app or _choose(framework.apps)
    if app is None:
        return None
    file = entry.file
    relative = posixpath.relpath(file, package.folder)
    reason = f"{NODE_NAMES[app.framework]} app found in {file}" + (f" ({entry.by})" if entry.by else "")
    target = AppTarget(relative, "", package.folder, False, file, reason, app.framework)
    unread = (*_unread(app, package), *framework.loaders.sentences.values())
    aside = _is_aside(file) or (package.requires(*_FRONT) and package.folder != ".")
    return FoundApp(
        target,
        entry.by.startswith("package.json"),
        aside,
        partial(_list, app, evaluator, budget, complete, unread),
    )


def _is_plugin(package: NodePackage) -> bool:
    """Return whether fastify-cli starts the package: its entry exports a plugin."""
    return package.requires("fastify-cli") and any(
        is_fastify_start(command) for text in package.scripts.values() for command in split_commands(text)
    )


def _unread(app: Router, package: NodePackage) -> tuple[str, ...]:
    """Return what of an application could not be read."""
    notes = notes_of(app)
    if not notes and _size(app, 0) == 0:
        notes += [f"the routes of {name} are not read" for name in unread_frameworks(package)]
        if not notes and app.framework == "koa":
            notes.append("a Koa application without a router is not read")
    return tuple(notes)


def _exported(entered: Module, evaluator: JavaScriptEvaluator) -> Router | None:
    """Return the application that the entry exports as a server: ``export default app`` of Hono and Elysia."""
    exports = entered.exports
    app = served(exports.names.get("default"), evaluator) if isinstance(exports, JSObject) else None
    return app if app is not None and app.is_app and app.framework in {"hono", "elysia"} else None


def _call_exports(module: Module, evaluator: JavaScriptEvaluator) -> None:
    """Call the factories that an entry exports for a test or a platform to call."""
    exports = module.exports
    values = [exports, *(exports.names.values() if isinstance(exports, JSObject) else ())]
    for value in values:
        settled = evaluator.settle(value)
        if isinstance(settled, Function):
            evaluator.call(settled, [])


def _choose(apps: list[Router]) -> Router | None:
    """Return the likeliest application: one that no other uses, then one that listens, then the largest."""
    return max(apps, key=lambda app: (not app.is_mounted, app.listens, _size(app, 0)), default=None)


def _size(router: Router, depth: int) -> int:
    if depth > 5:
        return 0
    return sum(_size(item.child, depth + 1) if isinstance(item, Mount) else 1 for item in router.items)


def _list(
    app: Router,
    evaluator: JavaScriptEvaluator,
    budget: Budget,
    complete: bool,
    unread: Sequence[str],
    found: Found,
) -> None:
    for sentence in unread:
        found.say(sentence)
    # Routes that were registered before the budget ran out are still listed.
    budget.steps = max(budget.steps, _LISTING_STEPS)
    list_endpoints(app, evaluator, found)
    if not complete:
        raise OutOfBudget
