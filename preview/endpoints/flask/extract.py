"""Conversion of a Flask application to a flat list of endpoints."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.flask.described import ClassView, Parser, class_methods, handler
from preview.endpoints.flask.registry import Registration, Registry, Rule
from preview.endpoints.flask.request_reads import read_request, skeleton
from preview.endpoints.model import Endpoint, Found
from preview.endpoints.python import Class, Function, PythonEvaluator, Unread

# `@blp.arguments`, `@use_args`, `@app.input`, `@ns.expect` declare the input: the body, or the given location.
_INPUTS: Final = frozenset({"arguments", "use_args", "use_kwargs", "input", "expect", "doc"})
_OUTPUTS: Final = frozenset({"response", "output", "marshal_with", "marshal_list_with"})
_IN_QUERY: Final = frozenset({"query", "querystring", "args"})
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


@dataclass(slots=True)
class Described:
    """Facts about one method of a view."""

    summary: str = ""
    description: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: object = None
    response: object = None


@dataclass(frozen=True, slots=True)
class Descriptions:
    """Reads the facts about views."""

    evaluator: PythonEvaluator

    def of(self, function: Function | None, cls: Class | None, method: str) -> Described:
        """Describe a method of a view's function (or of a class without a function for the method)."""
        if function is None:
            return Described(summary=_title(cls.node.name) if cls else "")
        text = (ast.get_docstring(function.node) or "").partition("\f")[0].partition("\n---")[0]
        lines = text.strip().splitlines()
        name = f"{method} {cls.node.name}" if cls is not None else function.node.name
        found = Described(summary=lines[0].strip() if lines else _title(name), description=inspect.cleandoc(text))
        request = read_request(function, self.evaluator)
        found.query |= request.query
        if method not in _WITHOUT_BODY:
            found.body = request.body
        for decorator in function.node.decorator_list:
            if isinstance(decorator, ast.Call):
                self._decorator(decorator, function, method, found)
        return found

    def _decorator(self, node: ast.Call, function: Function, method: str, found: Described) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _INPUTS:
            self._input(node, function, method, found)
        elif name in _OUTPUTS:
            given = [item for item in node.args if not isinstance(item, ast.Constant)]
            given += [item.value for item in node.keywords if item.arg in {"schema", "fields", "model"}]
            answer = skeleton(self.evaluator.evaluate(given[0], function.scope), self.evaluator) if given else None
            many = name == "marshal_list_with" or any(
                item.arg == "as_list" and isinstance(item.value, ast.Constant) and item.value.value
                for item in node.keywords
            )
            found.response = [answer] if many and isinstance(answer, dict) else answer

    def _input(self, node: ast.Call, function: Function, method: str, found: Described) -> None:
        named = {item.arg: item.value for item in node.keywords if item.arg}
        given = node.args[0] if node.args else named.get("parser") or named.get("body") or named.get("schema")
        value = self.evaluator.evaluate(given, function.scope)
        where = self.evaluator.evaluate(named.get("location"), function.scope)
        if isinstance(value, Parser):
            _add_parser(value, method, found)
            return
        shape = skeleton(value, self.evaluator)
        if isinstance(shape, dict) and isinstance(where, str) and where in _IN_QUERY:
            found.query |= {name: item if isinstance(item, str) else "array" for name, item in shape.items()}
        elif shape is not None and method not in _WITHOUT_BODY and where not in {"headers", "cookies", "path"}:
            known = found.body if isinstance(found.body, dict) else {}
            found.body = {**known, **shape} if isinstance(shape, dict) else shape


def _add_parser(parser: Parser, method: str, found: Described) -> None:
    """Add a parser's arguments to the part of the request that the parser reads."""
    body = dict(found.body) if isinstance(found.body, dict) else {}
    for name, (kind, where) in parser.arguments.items():
        if where in {"headers", "cookies"}:
            continue
        if where in _IN_QUERY or method in _WITHOUT_BODY:
            found.query[name] = kind
        else:
            body[name] = kind
    found.body = body or found.body


def _title(name: str) -> str:
    return name.replace("_", " ").title().strip()


# Depth limit for nested blueprints; also ends mutual nesting.
_MAX_DEPTH: Final = 20
_MAX_ENDPOINTS: Final = 5_000
_PARAMETER: Final = re.compile(r"<(?:([A-Za-z_]\w*)(?:\(.*?\))?:)?([A-Za-z_]\w*)>")
_CONVERTERS: Final = {"int": "integer", "float": "number"}
# Flask answers these methods itself.
_AUTOMATIC: Final = frozenset({"HEAD", "OPTIONS"})


def list_endpoints(app: Registry, evaluator: PythonEvaluator, found: Found) -> None:
    """Add all endpoints of an application to ``found``, in the order they were registered.

    Raises:
        OutOfBudget: The budget ran out; ``found`` has the endpoints found so far.
    """
    descriptions = Descriptions(evaluator)
    for rule, prefix, tags in _flatten(app, None, (), 0, evaluator):
        if isinstance(rule, Unread):
            found.miss(rule.file, rule.line, rule.what)
            continue
        for endpoint in _endpoints(rule, prefix, tags, evaluator, descriptions):
            found.take(endpoint)
        if len(found) + len(found.sockets) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _flatten(
    registry: Registry, prefix: str | None, tags: tuple[str, ...], depth: int, evaluator: PythonEvaluator
) -> Iterator[tuple[Rule | Unread, str, tuple[str, ...]]]:
    """Yield each rule with its whole path."""
    if depth > _MAX_DEPTH:
        return
    for entry in registry.entries:
        evaluator.step()
        if isinstance(entry, Registration):
            below = entry.child.prefix if entry.prefix is None else entry.prefix
            inner = _nested(prefix, below)
            yield from _flatten(entry.child, inner, entry.child.tags, depth + 1, evaluator)
        elif isinstance(entry, Unread):
            yield entry, "", ()
        elif isinstance(entry, Rule):
            yield entry, _below(prefix, entry.path), entry.tags or tags
        else:
            for rule in entry.rules():
                evaluator.step()
                yield rule, (prefix or "") + rule.path, rule.tags or tags


def _nested(prefix: str | None, below: str | None) -> str | None:
    """Join the prefixes of nested blueprints as Flask does."""
    if prefix is None or below is None:
        return prefix if below is None else below
    return f"{prefix.rstrip('/')}/{below.lstrip('/')}"


def _below(prefix: str | None, path: str) -> str:
    """Join a blueprint's prefix and a rule as Flask does."""
    if prefix is None:
        return path
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}" if path else prefix


def _endpoints(
    rule: Rule, path: str, tags: tuple[str, ...], evaluator: PythonEvaluator, descriptions: Descriptions
) -> Iterator[Endpoint]:
    path = path if path.startswith("/") else f"/{path}"
    cls = rule.view.cls if isinstance(rule.view, ClassView) else None
    methods = rule.methods or (class_methods(cls, evaluator) if cls else ()) or ("GET",)
    parameters = {match[2]: _CONVERTERS.get(match[1] or "", "string") for match in _PARAMETER.finditer(path)}
    for method in dict.fromkeys(methods):
        if method in _AUTOMATIC and len(methods) > 1:
            continue
        function = handler(cls, method, evaluator) if cls else None
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
