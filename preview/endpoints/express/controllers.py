"""Controllers with decorators: routing-controllers, inversify-express-utils, tsoa."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from preview.endpoints.javascript import (
    Call,
    Class,
    Function,
    JavaScriptEvaluator,
    JSObject,
    Made,
    Native,
    glob_files,
    lineage,
)
from preview.endpoints.node.router import UNREAD_PATH, Mount, Route, Router, flat, join_paths

_CLASSES: Final = frozenset({"Controller", "JsonController", "RestController", "Route", "controller"})
_VERBS: Final = {
    **{verb: verb.upper() for verb in ("Get", "Post", "Put", "Patch", "Delete", "Head", "Options")},
    **{f"http{verb}": verb.upper() for verb in ("Get", "Post", "Put", "Patch", "Delete", "Head")},
    "All": "*",
    "all": "*",
}
# They get the method as their first argument.
_ANY_VERB: Final = frozenset({"Method", "httpMethod"})
_ENDS: Final = re.compile(r"\.?\{\.?[jt]s,\s*\.?[jt]s\}$|\.[jt]s$")
_BRACES: Final = re.compile(r"\{(\w+)\}")
_MAX_FILES: Final = 300


def attach_controllers(app: Router, classes: Iterable[object], prefix: str, evaluator: JavaScriptEvaluator) -> None:
    """Register the methods of controllers on an application."""
    router = Router(is_app=False, file=app.file, is_mounted=True)
    for cls in classes:
        if isinstance(cls, Class):
            for base in _class_paths(cls):
                if base is None:
                    router.notes.append(f"the path of the controller {cls.name} is only known at run time")
                _attach(router, cls, base or "", evaluator)
    if router.items or router.notes:
        app.items.append(Mount(router, prefix))


def _attach(router: Router, cls: Class, base: str, evaluator: JavaScriptEvaluator) -> None:
    taken: set[str] = set()
    for ancestor in lineage(evaluator, cls):
        if not isinstance(ancestor, Class):
            continue
        for name, decorators in ancestor.member_decorators.items():
            function = ancestor.members.get(name)
            if name in taken or not isinstance(function, Function):
                continue
            taken.add(name)
            line = function.node.start_point.row + 1
            for verb, path in _method_paths(decorators):
                if path is None:
                    router.notes.append(f"{function.scope.file}:{line}: {UNREAD_PATH}")
                    continue
                whole = join_paths(base if base.startswith("/") else f"/{base}", path)
                router.items.append(Route(verb, whole, [], [function], function.scope, line, None))


def _class_paths(cls: Class) -> list[str | None]:
    """Return the prefixes of a controller's paths, None for an unknown one; empty for another class."""
    for made in cls.decorators:
        if not isinstance(made, Made) or made.name.rpartition(".")[2] not in _CLASSES:
            continue
        given = made.arguments[0] if made.arguments else ""
        if isinstance(given, JSObject):
            given = given.names.get("path", "")
        found = given if isinstance(given, list) else [given]
        return [_express(item) if isinstance(item, str) else None for item in found if item is not None] or [""]
    return []


def _method_paths(decorators: list[object]) -> Iterator[tuple[str, str | None]]:
    """Yield methods and paths; the path is None if it is not known."""
    for made in decorators:
        if not isinstance(made, Made):
            continue
        name, given = made.name.rpartition(".")[2], list(made.arguments)
        verb = _VERBS.get(name)
        if name in _ANY_VERB and given and isinstance(named := given.pop(0), str):
            verb = "*" if named.lower() == "all" else named.upper()
        if verb is None:
            continue
        for path in flat([given[0] if given else ""]):
            yield verb, _express(path) if isinstance(path, str) else "" if path is None else None


def _express(path: str) -> str:
    """Convert tsoa's ``{id}`` to Express's ``:id``."""
    return _BRACES.sub(r":\1", path)


def controllers_of(value: object, known: list[Class], evaluator: JavaScriptEvaluator) -> list[Class]:
    """Return the classes of an option ``controllers``: classes, or files; if unknown, all that were read."""
    found: list[Class] = []
    for item in value if isinstance(value, list) else []:
        settled = evaluator.settle(item)
        if isinstance(settled, Class):
            found.append(settled)
        elif isinstance(settled, str):
            before = len(known)
            files = glob_files(Call.made(evaluator, [_sources(settled)]))
            for file in files if isinstance(files, list) else []:
                evaluator.require(str(file), "")
            found += known[before:]
    return found or load_mentioning(rb"routing-controllers", known, evaluator)


def load_mentioning(word: bytes, known: list[Class], evaluator: JavaScriptEvaluator) -> list[Class]:
    """Load the package's files that contain a word, and return all known controllers."""
    prefix = "" if evaluator.resolver.folder == "." else f"{evaluator.resolver.folder}/"
    names = [name for name in evaluator.sources.with_suffix(".ts", ".js") if name.startswith(prefix)]
    for name in [item for item in names if word in evaluator.sources.text(item)][:_MAX_FILES]:
        if ".test." not in name and ".spec." not in name:
            evaluator.load(name)
    return list(known)


def _sources(pattern: str) -> str:
    """Convert a pattern for built files to one for their sources."""
    return _ENDS.sub(".*", pattern).replace("/dist/", "/src/")


class InversifyServer(Native):
    """``new InversifyExpressServer(container, null, {rootPath})``.

    Args:
        app: The application that ``build`` returns.
        known: All classes with decorators. The list grows while further classes are read.
        prefix: The root path.
    """

    __slots__ = ("_app", "_known", "_prefix")

    def __init__(self, app: Router, known: list[Class], prefix: str) -> None:
        self._app = app
        self._known = known
        self._prefix = prefix

    def call_method(self, name: str, call: Call) -> object:
        """Pass the application to the configuration; ``build`` registers the controllers."""
        if name == "build":
            attach_controllers(self._app, self._known, self._prefix, call.evaluator)
            return self._app
        configure = call.argument(0)
        if isinstance(configure, Function):
            call.evaluator.call(configure, [self._app])
        return self
