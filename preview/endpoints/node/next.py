"""Route handlers of Next.js: ``app/**/route.ts`` and ``pages/api/**``. Pages are no endpoints."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from preview.endpoints.javascript import UNKNOWN, Function, JavaScriptEvaluator, JSObject
from preview.endpoints.model import AppTarget, Endpoint, Found, FoundApp
from preview.sources import Sources
from preview.sources.node_package import NodePackage

_ROUTE: Final = re.compile(r"(?:src/)?app/((?:[^/]+/)*)route\.(?:[jt]sx?|m[jt]s)")
_PAGE: Final = re.compile(r"(?:src/)?pages/(api/(?:[^/]+/)*[^/]+)\.(?:[jt]sx?|m[jt]s)")
_SEGMENT: Final = re.compile(r"\[{1,2}(?:\.\.\.)?([^\[\]]+)\]{1,2}")
_CONFIGS: Final = ("next.config.js", "next.config.mjs", "next.config.ts", "next.config.cjs")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
# A handler of `pages/api` gets every method; one that refuses others names those that it takes.
_NAMED: Final = re.compile(rb"""(?:\bmethod\s*[!=]==?\s*|\bcase\s+)["'](GET|POST|PUT|PATCH|DELETE)["']""")
_REFUSES: Final = re.compile(rb"\b405\b|METHOD_NOT_ALLOWED")
_MAX_FILES: Final = 500
_UNREAD: Final = "the methods of a route are not known from the source"


def find_next_app(
    package: NodePackage, sources: Sources, make_evaluator: Callable[[], JavaScriptEvaluator]
) -> FoundApp | None:
    """Return the application of a package that requires Next.js; None if it has no route handlers."""
    files = dict(_files(package, sources))
    if not files or not package.requires("next"):
        return None
    file = package.path("package.json")
    target = AppTarget("package.json", "", package.folder, False, file, f"Next.js app found in {file}", "next")
    return FoundApp(target, False, package.folder != ".", partial(_list, files, package, make_evaluator))


def _files(package: NodePackage, sources: Sources) -> Iterator[tuple[str, str]]:
    """Yield each file with route handlers and its path."""
    top = "" if package.folder == "." else f"{package.folder}/"
    names = [name for name in sources.all_names if name.startswith(top)]
    routes = [(name, match) for name in names if (match := _ROUTE.fullmatch(name[len(top) :]))]
    pages = [(name, match) for name in names if (match := _PAGE.fullmatch(name[len(top) :]))]
    for name, match in (*routes, *pages)[:_MAX_FILES]:
        parts = [part for part in match[1].split("/") if part]
        parts = parts[:-1] if match.re is _PAGE and parts[-1] == "index" else parts
        # `_folder` is private; `(group)` and `@slot` are no parts of the path.
        if match.re is _PAGE or not any(part.startswith("_") for part in parts):
            shown = [_SEGMENT.sub(r"{\1}", part) for part in parts if not part.startswith(("(", "@"))]
            yield name, "/" + "/".join(shown)


def _list(
    files: dict[str, str], package: NodePackage, make_evaluator: Callable[[], JavaScriptEvaluator], found: Found
) -> None:
    evaluator = make_evaluator()
    base = _base_path(package, evaluator, found)
    for file, path in files.items():
        evaluator.step()
        is_page = _PAGE.search(file) is not None and not _ROUTE.search(file)
        handlers = dict.fromkeys(_page_methods(evaluator.sources.text(file))) if is_page else _exports(file, evaluator)
        if not handlers:
            found.miss(file, 0, _UNREAD)
        for method, value in handlers.items():
            line = value.node.start_point.row + 1 if isinstance(value, Function) else 1
            types = dict.fromkeys(re.findall(r"\{([^{}]+)\}", path), "string")
            one = Endpoint(method, base + path, file=file, line=line, path_parameters=types)
            found.setdefault((one.method, one.path), one)


def _exports(file: str, evaluator: JavaScriptEvaluator) -> dict[str, object]:
    exports = evaluator.load(file).exports
    names = exports.names if isinstance(exports, JSObject) else {}
    return {name: evaluator.settle(names[name]) for name in _METHODS if name in names}


def _page_methods(text: bytes) -> list[str]:
    named = list(dict.fromkeys(match.decode() for match in _NAMED.findall(text)))
    return named if named and _REFUSES.search(text) else ["*"]


def _base_path(package: NodePackage, evaluator: JavaScriptEvaluator, found: Found) -> str:
    """Return ``basePath`` of the configuration; empty if there is none."""
    for name in _CONFIGS:
        file = posixpath.normpath(package.path(name))
        if evaluator.sources.has_file(file):
            exports = evaluator.settle(evaluator.load(file).exports)
            names = exports.names if isinstance(exports, JSObject) else {}
            config = evaluator.settle(names.get("default", exports))
            base = evaluator.settle(config.names.get("basePath", "")) if isinstance(config, JSObject) else ""
            if base is UNKNOWN:
                found.miss(file, 0, "the base path is not known from the source")
            return base if isinstance(base, str) else ""
    return ""
