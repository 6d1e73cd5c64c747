"""From an application to a flat list of endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.flask.describe import Descriptions
from preview.endpoints.flask.registry import Registration, Registry, Rule
from preview.endpoints.flask.views import ClassView, class_methods, handler
from preview.endpoints.model import Endpoint, Found
from preview.endpoints.python import Function, Interpreter

# Blueprints within blueprints, and a stop for those that are within each other.
_MAX_DEPTH: Final = 20
_MAX_ENDPOINTS: Final = 5_000
_PARAMETER: Final = re.compile(r"<(?:([A-Za-z_]\w*)(?:\(.*?\))?:)?([A-Za-z_]\w*)>")
_CONVERTERS: Final = {"int": "integer", "float": "number"}
# Flask answers these by itself.
_AUTOMATIC: Final = frozenset({"HEAD", "OPTIONS"})


def list_endpoints(app: Registry, interpreter: Interpreter, found: Found) -> None:
    """Add all endpoints of an application to ``found``, in the order they were registered.

    Raises:
        OutOfBudget: Too much was read; ``found`` has what came before.
    """
    descriptions = Descriptions(interpreter)
    for rule, prefix, tags in _flatten(app, None, (), 0, interpreter):
        for endpoint in _endpoints(rule, prefix, tags, interpreter, descriptions):
            # The first of two rules is the one that answers.
            found.setdefault((endpoint.method, endpoint.path), endpoint)
        if len(found) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _flatten(
    registry: Registry, prefix: str | None, tags: tuple[str, ...], depth: int, interpreter: Interpreter
) -> Iterator[tuple[Rule, str, tuple[str, ...]]]:
    """Each rule with its whole path."""
    if depth > _MAX_DEPTH:
        return
    for entry in registry.entries:
        interpreter.step()
        if isinstance(entry, Registration):
            below = entry.child.prefix if entry.prefix is None else entry.prefix
            inner = _nested(prefix, below)
            yield from _flatten(entry.child, inner, entry.child.tags, depth + 1, interpreter)
        elif isinstance(entry, Rule):
            yield entry, _below(prefix, entry.path), entry.tags or tags
        else:
            for rule in entry.rules():
                interpreter.step()
                yield rule, (prefix or "") + rule.path, rule.tags or tags


def _nested(prefix: str | None, below: str | None) -> str | None:
    """As Flask joins the prefixes of a blueprint within a blueprint."""
    if prefix is None or below is None:
        return prefix if below is None else below
    return f"{prefix.rstrip('/')}/{below.lstrip('/')}"


def _below(prefix: str | None, path: str) -> str:
    """As Flask joins a blueprint's prefix and a rule."""
    if prefix is None:
        return path
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}" if path else prefix


def _endpoints(
    rule: Rule, path: str, tags: tuple[str, ...], interpreter: Interpreter, descriptions: Descriptions
) -> Iterator[Endpoint]:
    path = path if path.startswith("/") else f"/{path}"
    cls = rule.view.cls if isinstance(rule.view, ClassView) else None
    methods = rule.methods or (class_methods(cls, interpreter) if cls else ()) or ("GET",)
    parameters = {match[2]: _CONVERTERS.get(match[1] or "", "string") for match in _PARAMETER.finditer(path)}
    for method in dict.fromkeys(methods):
        if method in _AUTOMATIC and len(methods) > 1:
            continue
        function = handler(cls, method, interpreter) if cls else None
        function = rule.view if isinstance(rule.view, Function) else function
        described = descriptions.of(function, cls, method)
        yield Endpoint(
            method=method,
            path=_PARAMETER.sub(r"{\2}", path),
            summary=described.summary,
            description=described.description,
            tags=tags,
            query=described.query,
            request_body=described.body,
            response_schema=described.response,
            file=function.scope.file if function else rule.scope.file,
            line=function.node.lineno if function else rule.line,
            path_parameters=parameters,
        )
