"""NestJS: modules, controllers, versions and prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from preview.endpoints.javascript import (
    UNKNOWN,
    Call,
    Class,
    External,
    Function,
    JavaScriptEvaluator,
    JSObject,
    Made,
    lineage,
)
from preview.endpoints.node.router import UNREAD_PATH, Mount, Route, Router, flat

_VERBS: Final = {
    **{verb: verb.upper() for verb in ("Get", "Post", "Put", "Patch", "Delete", "Head", "Options", "Search")},
    "All": "*",
    "Sse": "GET",
}
# Modules of other packages that add routes.
_ADDING: Final = frozenset({"GraphQLModule", "ServeStaticModule", "PrometheusModule", "DevtoolsModule", "AdminModule"})
_MAX_MODULES: Final = 300
_MAX_DEPTH: Final = 8
_WILD: Final = re.compile(r"\(\.\*\)|\{\*\w+\}|/\*\w*|\*\w*|:\w+")
_MAX_WILD: Final = 4
_MAX_PATTERN: Final = 200

Versions = list[str]
"""Versions of a route; the empty string stands for a path without a version."""


@dataclass(slots=True)
class _Prefix:
    """A global prefix, and the routes without it: pairs of a pattern and a method, None for any."""

    text: str = ""
    excluded: list[tuple[re.Pattern[str], str | None]] = field(default_factory=list)

    def on(self, path: str, method: str, version: str) -> str:
        """Return the whole path of a route."""
        inner = path.removeprefix(version)
        if any(wanted in {None, method} and pattern.fullmatch(inner or "/") for pattern, wanted in self.excluded):
            return path
        return self.text + path


@dataclass(eq=False)
class NestApp(Router):
    """Result of ``NestFactory.create``. Its routes are known when all settings are: ``finish`` adds them.

    Attributes:
        controllers: Controllers with the module that has each.
        module_paths: Paths of modules (``RouterModule.register``), by the module's identity.
        versioning: Options of ``enableVersioning``; None without it.
    """

    framework: ClassVar[str] = "nestjs"
    controllers: list[tuple[Class | None, Class]] = field(default_factory=list)
    module_paths: dict[int, str] = field(default_factory=dict)
    versioning: JSObject | None = None
    global_prefix: _Prefix = field(default_factory=_Prefix)

    def call_method(self, name: str, call: Call) -> object:
        """Set a global prefix or versions, or do the same as an Express application."""
        if name == "setGlobalPrefix":
            self._set_prefix(call)
        elif name == "enableVersioning":
            options = call.argument(0)
            self.versioning = options if isinstance(options, JSObject) else JSObject()
        elif name in {"getHttpAdapter", "getInstance", "getHttpServer"}:
            return _HttpServer(self)
        elif name in {"get", "select", "resolve"}:
            return UNKNOWN
        else:
            return super().call_method(name, call)
        return self

    def _set_prefix(self, call: Call) -> None:
        prefix, options = call.argument(0), call.argument(1)
        if not isinstance(prefix, str):
            # A prefix that is only known at run time is nearly always "api".
            self.note(call, "the global prefix is only known at run time")
            prefix = "api"
        listed = options.names.get("exclude") if isinstance(options, JSObject) else None
        found = [_exclusion(item) for item in listed] if isinstance(listed, list) else []
        text = prefix.strip("/")
        self.global_prefix = _Prefix(f"/{text}" if text else "", [item for item in found if item is not None])

    def read_modules(self, module: object, evaluator: JavaScriptEvaluator) -> None:
        """Find all controllers of a module and of the modules that it imports."""
        todo: list[tuple[object, Class | None]] = [(module, None)]
        seen: set[int] = set()
        while todo and len(seen) < _MAX_MODULES:
            evaluator.step()
            item, owner = todo.pop(0)
            item = evaluator.settle(item)
            if isinstance(item, Made):
                todo += [(part, None) for part in self._external(item, evaluator)]
            elif isinstance(item, list):
                todo += [(part, owner) for part in item]
            elif isinstance(item, JSObject):  # a dynamic module
                inner = evaluator.settle(item.names.get("module"))
                todo.append((inner, None))
                todo += self._declared(item, inner if isinstance(inner, Class) else None, evaluator)
            elif isinstance(item, Class) and id(item) not in seen:
                seen.add(id(item))
                for made in _flat_decorators(item.decorators):
                    options = made.arguments[0] if made.arguments else None
                    if isinstance(options, JSObject):
                        todo += self._declared(options, item, evaluator)
        self.controllers = list(dict.fromkeys(self.controllers))

    def _declared(
        self, options: JSObject, module: Class | None, evaluator: JavaScriptEvaluator
    ) -> list[tuple[object, Class | None]]:
        listed = options.names.get("controllers")
        for item in listed if isinstance(listed, list) else []:
            cls = evaluator.settle(item)
            if isinstance(cls, Class):
                self.controllers.append((module, cls))
        imports = options.names.get("imports")
        return [(item, None) for item in imports] if isinstance(imports, list) else []

    def _external(self, made: Made, evaluator: JavaScriptEvaluator) -> Iterator[object]:
        """Yield the modules in a call: ``forwardRef(() => Module)``; note modules that add routes."""
        if made.name.endswith("RouterModule.register"):
            for tree in made.arguments[:1]:
                self._set_module_paths(tree, "", evaluator, 0)
            return
        name = next((part for part in made.name.split(".") if part in _ADDING), None)
        if name is not None:
            self.note(Call.made(evaluator, []), f"the routes that {name} adds are not read")
        for part in made.arguments:
            if isinstance(part, Function):
                yield evaluator.call(part, [])

    def _set_module_paths(self, tree: object, above: str, evaluator: JavaScriptEvaluator, depth: int) -> None:
        for item in tree if isinstance(tree, list) and depth < _MAX_DEPTH else ():
            entry = evaluator.settle(item)
            if isinstance(entry, Class):
                self.module_paths[id(entry)] = above
            elif isinstance(entry, JSObject):
                path = entry.names.get("path")
                whole = above + (f"/{path.strip('/')}" if isinstance(path, str) and path.strip("/") else "")
                module = evaluator.settle(entry.names.get("module"))
                if isinstance(module, Class):
                    self.module_paths[id(module)] = whole
                self._set_module_paths(entry.names.get("children"), whole, evaluator, depth + 1)

    def finish(self, evaluator: JavaScriptEvaluator) -> None:
        """Add the routes of all controllers."""
        controllers, self.controllers = self.controllers, []
        router = Router(is_app=False, file=self.file, is_mounted=True)
        for module, cls in controllers:
            above = self.module_paths.get(id(module), "")
            for base, versions in _class_paths(cls, self, evaluator):
                self._attach(router, cls, above + base, versions, evaluator)
        if router.items:
            self.items.insert(0, Mount(router, ""))

    def _attach(
        self, router: Router, cls: Class, base: str, versions: Versions | None, evaluator: JavaScriptEvaluator
    ) -> None:
        taken: set[str] = set()
        for ancestor in lineage(evaluator, cls):
            if not isinstance(ancestor, Class):
                continue
            hidden = frozenset(taken)
            # A method that overrides one with a decorator has no route without a decorator of its own.
            taken |= ancestor.members.keys()
            for name, decorators in ancestor.member_decorators.items():
                evaluator.step()
                function = ancestor.members.get(name)
                if name in hidden or not isinstance(function, Function):
                    continue
                own = _method_versions(decorators)
                for verb, path in _method_paths(decorators):
                    line = function.node.start_point.row + 1
                    if path is None:
                        router.notes.append(f"{function.scope.file}:{line}: {UNREAD_PATH}")
                        continue
                    for prefix in self._version_prefixes(own or versions):
                        inner = prefix + base + (f"/{path.strip('/')}" if path.strip("/") else "")
                        whole = self.global_prefix.on(inner, verb, prefix) or "/"
                        router.items.append(Route(verb, whole, [], [function], function.scope, line, None))

    def _version_prefixes(self, versions: Versions | None) -> list[str]:
        options = self.versioning
        if options is None:
            return [""]
        kind, mark = options.names.get("type"), options.names.get("prefix", "v")
        if isinstance(kind, External) and kind.last != "URI":
            return [""]
        found = versions or _versions(options.names.get("defaultVersion")) or [""]
        text = "" if mark is False else mark if isinstance(mark, str) else "v"
        return [f"/{text}{version}" if version else "" for version in found]


@dataclass(eq=False)
class _HttpServer(Router):
    """``app.getHttpAdapter().getInstance()``: routes without the global prefix.

    Args:
        app: The application that gets the routes.
    """

    def __init__(self, app: NestApp) -> None:
        super().__init__(is_app=False, file=app.file, items=app.items, notes=app.notes)
        self._app = app

    def call_method(self, name: str, call: Call) -> object:
        """Register a route on the server itself."""
        if name in {"getInstance", "getHttpServer"}:
            return self
        return super().call_method(name, call)


def _flat_decorators(decorators: list[object], depth: int = 0) -> Iterator[Made]:
    """Yield all decorators; ``applyDecorators(…)`` stands for several."""
    for made in decorators:
        if isinstance(made, Made) and made.name.endswith("applyDecorators") and depth < _MAX_DEPTH:
            yield from _flat_decorators(made.arguments, depth + 1)
        elif isinstance(made, Made):
            yield made


def _named(made: Made) -> str:
    return made.name.rpartition(".")[2]


def _class_paths(cls: Class, app: NestApp, evaluator: JavaScriptEvaluator) -> Iterator[tuple[str, Versions | None]]:
    """Yield the prefixes of a controller's paths, with its versions; nothing for a class that is not a controller."""
    for made in _flat_decorators(cls.decorators):
        if _named(made) != "Controller":
            continue
        given = made.arguments[0] if made.arguments else ""
        versions = None
        if isinstance(given, JSObject):
            versions = _versions(given.names.get("version"))
            given = given.names.get("path", "")
        for path in flat([given]):
            if path is not None and not isinstance(path, str):
                app.note(Call.made(evaluator, []), f"the path of the controller {cls.name} is only known at run time")
            part = path.strip("/") if isinstance(path, str) else ""
            yield (f"/{part}" if part else ""), versions
        return


def _method_paths(decorators: list[object]) -> Iterator[tuple[str, str | None]]:
    """Yield methods and paths; the path is None if it is not known."""
    for made in _flat_decorators(decorators):
        verb = _VERBS.get(_named(made))
        if verb is not None:
            for path in flat([made.arguments[0] if made.arguments else ""]):
                yield verb, path if isinstance(path, str) else "" if path is None else None


def _method_versions(decorators: list[object]) -> Versions | None:
    made = next((item for item in _flat_decorators(decorators) if _named(item) == "Version"), None)
    return _versions(made.arguments[0]) if made is not None and made.arguments else None


def _versions(value: object) -> Versions | None:
    """Return the versions that a value names; None if it names none."""
    found = []
    for item in flat([value]):
        if isinstance(item, (str, int)):
            found.append(str(item))
        elif isinstance(item, External) and item.last == "VERSION_NEUTRAL":
            found.append("")
    return found or None


def _exclusion(item: object) -> tuple[re.Pattern[str], str | None] | None:
    """Return the pattern and the method of a route that the global prefix leaves out."""
    method = None
    if isinstance(item, JSObject):
        known = item.names.get("method")
        method = known.last if isinstance(known, External) and known.last != "ALL" else None
        item = item.names.get("path")
    if not isinstance(item, str) or len(item) > _MAX_PATTERN or len(_WILD.findall(item)) > _MAX_WILD:
        return None
    text, place, parts = f"/{item.strip('/')}", 0, []
    for match in _WILD.finditer(text):
        parts.append(re.escape(text[place : match.start()]))
        parts.append(_wild(match[0]))
        place = match.end()
    return re.compile("".join(parts) + re.escape(text[place:]) + "/?", re.IGNORECASE), method


def _wild(sign: str) -> str:
    """Return the expression for a parameter or a star; a named star (``/*rest``) stands for one character at least."""
    if sign.startswith(":"):
        return "[^/]+"
    if sign.startswith("/*") and sign != "/*":
        return "/.+"
    return "(?:/.*)?" if sign.startswith("/") else ".*"
