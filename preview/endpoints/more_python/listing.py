"""Conversion of a table of routes to endpoints."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.fastapi.schemas import Schemas
from preview.endpoints.model import Endpoint, Found
from preview.endpoints.more_python.paths import ReadPath
from preview.endpoints.more_python.requests import Reads, read_request
from preview.endpoints.more_python.tables import Route, Table
from preview.endpoints.python import Function, PythonEvaluator, Scope

# Depth limit for nested tables; also ends mutual mounting.
_MAX_DEPTH: Final = 20
_MAX_ENDPOINTS: Final = 5_000
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
# Frameworks answer these methods themselves.
_AUTOMATIC: Final = frozenset({"HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Style:
    """A framework's form of paths, and its ways to give a request's data to a handler.

    Attributes:
        read_path: Converts a path.
        reads: The ways in which handlers read the request.
        exact: Whether a closing slash counts; if not, it is left out.
    """

    read_path: ReadPath
    reads: Reads
    exact: bool = True


def list_table(table: Table, evaluator: PythonEvaluator, found: Found, style: Style) -> None:
    """Add all endpoints of an application to ``found``, in the order they were registered.

    Raises:
        OutOfBudget: The budget ran out; ``found`` has the endpoints found so far.
    """
    schemas = Schemas(evaluator)
    for route, prefix in _flatten(table, "", 0, evaluator, found):
        if route.path is None or route.handlers is None:
            what = "the path" if route.path is None else "the handler"
            found.miss(route.scope.file, route.line, f"{what} of a route is not known from the source")
            continue
        path = join(prefix, route.path)
        if not (style.exact or route.exact):
            path = path.rstrip("/") or "/"
        for method, function in route.handlers.items():
            if method in _AUTOMATIC and len(route.handlers) > 1:
                continue
            endpoint = _endpoint(method, path, function, route, style, schemas, evaluator)
            # Of two routes with the same method and path, the first one answers.
            found.setdefault((endpoint.method, endpoint.path), endpoint)
        if len(found) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def join(prefix: str, path: str) -> str:
    """Join a prefix and a path with exactly one slash; the result begins with a slash."""
    joined = f"{prefix.rstrip('/')}/{path.lstrip('/')}" if path else prefix
    return f"/{joined.lstrip('/')}"


def _flatten(
    table: Table, prefix: str, depth: int, evaluator: PythonEvaluator, found: Found
) -> Iterator[tuple[Route, str]]:
    if depth > _MAX_DEPTH:
        return
    if table.prefix is None:
        found.miss("", 0, "the prefix of a group of routes is not known from the source")
        return
    below = join(prefix, table.prefix) if table.prefix else prefix
    for item in table.items:
        evaluator.step()
        if isinstance(item, Route):
            yield item, below
        elif item.child is None or item.prefix is None:
            found.miss(item.scope.file, item.line, "routes that are added here are not known from the source")
        else:
            inner = join(below, item.prefix) if item.prefix else below
            yield from _flatten(item.child, inner, depth + 1, evaluator, found)


def _endpoint(
    method: str,
    path: str,
    function: Function | None,
    route: Route,
    style: Style,
    schemas: Schemas,
    evaluator: PythonEvaluator,
) -> Endpoint:
    shown, types = style.read_path(path)
    if function is not None:
        shown, types = _named(shown, types, function)
    request = read_request(function, set(types), style.reads, schemas, evaluator)
    summary, description = _described(function)
    return Endpoint(
        method=method,
        path=shown,
        summary=summary,
        description=description,
        query=request.query,
        request_body=None if method in _WITHOUT_BODY else request.body,
        file=function.scope.file if function else route.scope.file,
        line=function.node.lineno if function else route.line,
        path_parameters=types,
    )


_UNNAMED: Final = re.compile(r"\{(var\d*)\}")


def _named(path: str, types: dict[str, str], function: Function) -> tuple[str, dict[str, str]]:
    """Give a path's parameters without names the names of the handler's arguments."""
    unnamed = _UNNAMED.findall(path)
    arguments = function.node.args
    names = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
    names = names[1:] if function.receiver is not None else names
    if not unnamed or len(names) < len(unnamed):
        return path, types
    renamed = dict(zip(unnamed, names, strict=False))
    if len(set(renamed.values()) | (types.keys() - renamed.keys())) < len(types):
        return path, types
    shown = _UNNAMED.sub(lambda match: f"{{{renamed[match[1]]}}}", path)
    return shown, {renamed.get(name, name): kind for name, kind in types.items()}


def _described(function: Function | None) -> tuple[str, str]:
    """Return the docstring's first line, or else the function's name, and the whole docstring."""
    if function is None:
        return "", ""
    text = inspect.cleandoc((ast.get_docstring(function.node) or "").partition("\f")[0].partition("\n---")[0])
    first = next(iter(text.strip().splitlines()), "")
    return first.strip() or function.node.name.replace("_", " ").title().strip(), text.strip()


def class_around(scope: Scope) -> object:
    """Return the class whose body is the scope; None for any other scope."""
    values = scope.parent.names.values() if scope.parent is not None else ()
    return next((item for item in values if getattr(item, "body", None) is scope), None)
