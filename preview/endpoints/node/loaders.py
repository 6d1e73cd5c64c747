"""Packages that add routes that no source shows: loaders of folders, of descriptions, of databases."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from preview.endpoints.javascript import Call, External, JSObject, project_path
from preview.sources.javascript import SCRIPT_SUFFIXES

# Packages that make routes of a folder, a description or a database.
_ADDING: Final = re.compile(
    r"rout|auto-?load|enrouten|express-openapi(?!-validator)|openapi-(?:glue|backend)|exegesis|swagger-tools|oas-tools|json-server|"
    r"restify-mongoose|adminjs|bull-board|trpc",
    re.IGNORECASE,
)
# Their routes are read, or they add none.
_NOT_ADDING: Final = frozenset(
    {"@koa/router", "koa-router", "koa-better-router", "koa-joi-router", "koa-joi-router-docs", "koa-tree-router",
     "koa-router-find-my-way", "koa-route", "koa-combine-routers", "router", "express-promise-router",
     "express-async-router", "express-router-async", "express-routes-mapper", "routing-controllers",
     "routing-controllers-openapi", "express-list-routes", "express-print-routes", "react-router", "react-router-dom",
     "vue-router"}
)  # fmt: skip
# A folder's name that tells of routes. A longer text is no folder's.
_FOLDER: Final = re.compile(r"rout|controller|api|endpoint|handler|resource|action", re.IGNORECASE)
_MAX_TEXT: Final = 500
_MAX_NAMED: Final = 20
_STATIC: Final = re.compile(r"static|sendfile|swagger-jsdoc|alias")


def adds_routes(package: str) -> bool:
    """Return whether a package adds routes that no source shows, as loaders of folders do."""
    return package not in _NOT_ADDING and _ADDING.search(package) is not None


class Loaders:
    """The packages that a project calls and that add routes, each noted once.

    A package that gets a folder of the project's scripts is one too, if the folder is named like routes.

    Attributes:
        sentences: One for each package.
    """

    def __init__(self) -> None:
        self.sentences: dict[str, str] = {}
        self._folders: frozenset[str] | None = None

    def note(self, callee: External, call: Call) -> None:
        """Note the package of an external call if it adds routes."""
        package = callee.package
        if package in self.sentences or len(self.sentences) >= _MAX_NAMED:
            return
        if adds_routes(package) or (not _STATIC.search(callee.name) and self._gets_folder(call)):
            place = f"{call.scope.file}:{call.line}: " if call.scope.file else ""
            self.sentences[package] = f"{place}the routes that {package} adds are not read"

    def _gets_folder(self, call: Call) -> bool:
        options = [value for item in call.arguments if isinstance(item, JSObject) for value in item.names.values()]
        texts = [item for item in (*call.arguments, *options) if isinstance(item, str) and len(item) <= _MAX_TEXT]
        return any(project_path(call, item) in self._script_folders(call) for item in texts if _FOLDER.search(item))

    def _script_folders(self, call: Call) -> frozenset[str]:
        """Return the folders that hold scripts, themselves or in a folder within; the project's own is left out."""
        if self._folders is None:
            names = call.evaluator.sources.with_suffix(*SCRIPT_SUFFIXES)
            inner = {posixpath.dirname(name) for name in names}
            self._folders = frozenset(inner | {posixpath.dirname(name) for name in inner}) - {""}
        return self._folders
