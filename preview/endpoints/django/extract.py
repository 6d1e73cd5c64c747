"""Conversion of a project's URL configuration to a flat list of endpoints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.django.classes import allowed_methods, find_value
from preview.endpoints.django.library import handlers_of
from preview.endpoints.django.ninja import NinjaRoute, NinjaUrls
from preview.endpoints.django.query import list_query, read_query
from preview.endpoints.django.registrations import (
    Action,
    ClassView,
    FunctionView,
    Include,
    Pattern,
    read_regex,
    read_route,
)
from preview.endpoints.django.routers import RouterUrls
from preview.endpoints.django.serializers import Serializers
from preview.endpoints.fastapi.signature import read_parameters
from preview.endpoints.model import Endpoint, Found
from preview.endpoints.python import UNKNOWN, Class, External, Function, Instance, Module, PythonEvaluator, Unread

_WORDS: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_VIEW_ENDINGS: Final = re.compile(r"(?:API)?(?:View|ViewSet|Viewset)$")
_LAYERS: Final = frozenset({"views", "api", "apis", "viewsets", "controllers", "endpoints", "v1", "v2", "rest"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_AS_VERBS: Final[Mapping[str, str]] = {"partial_update": "Partially update", "destroy": "Delete", "get": "Get"}


Place = tuple[str, int]
"""File and line of a pattern, for views that the project does not define."""


def describe(view: object, action: Action | None, serializers: Serializers, place: Place) -> Iterator[Endpoint]:
    """Yield an endpoint without a path for each method of a view; ``*`` if it accepts any, or if they are unknown."""
    if isinstance(view, ClassView):
        yield from _class(view, action, serializers, place)
    elif isinstance(view, NinjaRoute):
        tags = view.tags or (_tags(view.function.scope.file) if view.function else ())
        for method in view.methods or ("*",):
            yield _ninja(view, method, tags, serializers, place)
    elif isinstance(view, FunctionView):
        for method in view.methods or ("*",):
            if method != "HEAD":
                yield _function(view.function, method, serializers)
    elif isinstance(view, Function):
        yield _function(view, "*", serializers)
    elif isinstance(view, (Instance, Class)):
        cls = view.cls if isinstance(view, Instance) else view
        name = cls.node.name
        text = ast.get_docstring(cls.node) or ""
        yield _bare("*", _title(name), _tags(cls.scope.file), (cls.scope.file, cls.node.lineno), text)
    else:
        # A function of a package, or a view that cannot be followed.
        name, known = (view.last, handlers_of(view.name)) if isinstance(view, External) else ("", ())
        for method in known or ("*",):
            yield _bare(method.upper(), _title(name), _tags(place[0]), place)


def _bare(method: str, summary: str, tags: tuple[str, ...], place: Place, text: str = "") -> Endpoint:
    return Endpoint(method, "", summary, text, tags, file=place[0], line=place[1])


def _ninja(route: NinjaRoute, method: str, tags: tuple[str, ...], serializers: Serializers, place: Place) -> Endpoint:
    function = route.function
    if function is None:
        return _bare(method, "", tags, place)
    given = route.registered.named.get("summary")
    # The request and the controller itself are not parameters of the endpoint.
    path = route.path + "{request}{self}"
    taken = read_parameters(function, path, serializers.evaluator, serializers.models)
    answer = serializers.models.describe(route.response, route.registered.scope) if route.response else None
    return Endpoint(
        method=method,
        path="",
        summary=given if isinstance(given, str) else _title(function.node.name),
        description=ast.get_docstring(function.node) or "",
        tags=tags,
        file=function.scope.file,
        line=function.node.lineno,
        query=taken.query,
        request_body=taken.body if method in _WITH_BODY else None,
        response_schema=answer or None,
    )


def _function(function: Function, method: str, serializers: Serializers) -> Endpoint:
    text = ast.get_docstring(function.node) or ""
    nodes = list(ast.walk(function.node))
    body, answer = serializers.used_in(function, nodes)
    return Endpoint(
        method=method,
        path="",
        summary=_summary(text, _title(function.node.name)),
        description=text,
        tags=_tags(function.scope.file),
        file=function.scope.file,
        line=function.node.lineno,
        query=read_query(nodes),
        request_body=body if method in _WITH_BODY else None,
        response_schema=answer,
    )


def _class(view: ClassView, action: Action | None, serializers: Serializers, place: Place) -> Iterator[Endpoint]:
    evaluator = serializers.evaluator
    methods = allowed_methods(view, evaluator)
    cls = view.cls
    if not isinstance(cls, Class):
        for method in methods or ("*",):
            yield _bare(method, _title(cls.last), _tags(place[0]), place)
        return
    for method, name in (methods or {"*": ""}).items():
        handler = action.mapping.get(method.lower()) if action else find_value(cls, name, evaluator)
        function = handler if isinstance(handler, Function) and handler.scope.file else None
        own = (ast.get_docstring(function.node) if function else None) or ""
        text = own or ast.get_docstring(cls.node) or ""
        nodes = list(ast.walk(function.node)) if function else []
        body, answer = serializers.used_in(function, nodes) if function else (None, None)
        if body is None and answer is None:
            body = answer = serializers.of_class(cls, name)
        verb = _AS_VERBS.get(name, name.replace("_", " ").capitalize())
        listed = name == "list" or (name == "get" and _is_list(cls, evaluator))
        yield Endpoint(
            method=method,
            path="",
            summary=_summary(own, f"{verb} {_title(_VIEW_ENDINGS.sub('', cls.node.name))}".strip()),
            description=text,
            tags=_tags(cls.scope.file),
            file=function.scope.file if function else cls.scope.file,
            line=function.node.lineno if function else cls.node.lineno,
            query=(list_query(cls, evaluator) if listed else {}) | read_query(nodes),
            request_body=body if method in _WITH_BODY else None,
            response_schema=None if method in {"*", "DELETE"} else [answer] if listed and answer else answer,
        )


def _is_list(cls: Class, evaluator: PythonEvaluator) -> bool:
    return any(
        isinstance(item, External) and item.last in {"ListAPIView", "ListCreateAPIView", "ListModelMixin"}
        for item in evaluator.lineage(cls)
    )


def _summary(docstring: str, otherwise: str) -> str:
    first = docstring.strip().partition("\n")[0].strip()
    return first if 0 < len(first) <= 100 else otherwise


def _title(name: str) -> str:
    words = [word for part in name.split("_") for word in _WORDS.findall(part)]
    return " ".join(word if word.isupper() and len(word) > 1 else word.capitalize() for word in words)


def _tags(file: str) -> tuple[str, ...]:
    """Return the app that a file belongs to: the folder of its views."""
    folders = [part for part in file.split("/")[:-1] if part not in _LAYERS]
    return (folders[-1],) if folders else ()


_MAX_DEPTH: Final = 20
_MAX_ENDPOINTS: Final = 5_000
# Static files and the admin site belong to Django, not to the project.
_NOT_OF_THE_PROJECT: Final = ("django.views.static.", "django.contrib.admin", "django.contrib.staticfiles.")


@dataclass(frozen=True, slots=True)
class _Place:
    """Position of a route in the tree of patterns."""

    path: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    depth: int = 0

    def below(self, path: str, parameters: dict[str, str]) -> _Place:
        return replace(self, path=self.path + path, parameters=self.parameters | parameters)


@dataclass(frozen=True, slots=True)
class _Route:
    place: _Place
    view: object
    action: Action | None = None


def list_endpoints(root: Module, evaluator: PythonEvaluator, found: Found) -> None:
    """Add all endpoints below ``urlpatterns`` of the module that ``ROOT_URLCONF`` names.

    Only the project's own endpoints count: external packages that are included (administration, log-in pages), root
    views of routers and format suffixes are left out.

    Raises:
        OutOfBudget: The budget ran out; ``found`` has the endpoints found so far.
    """
    serializers = Serializers(evaluator)
    for route in _flatten(root, _Place(file=root.file), evaluator):
        if isinstance(route.view, Unread):
            found.miss(route.view.file, route.view.line, route.view.what)
            continue
        for part in describe(route.view, route.action, serializers, (route.place.file, route.place.line)):
            _add(found, route.place, part)
        if len(found) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _add(found: Found, place: _Place, part: Endpoint) -> None:
    path = place.path if place.path.startswith("/") else f"/{place.path}"
    # Of two patterns with the same method and path, the first one answers.
    if ("*", path) not in found:
        found.setdefault((part.method, path), replace(part, path=path, path_parameters=place.parameters))


def _flatten(what: object, place: _Place, evaluator: PythonEvaluator) -> Iterator[_Route]:
    evaluator.step()
    if place.depth > _MAX_DEPTH:
        return
    place = replace(place, depth=place.depth + 1)
    if what is UNKNOWN:
        yield _Route(place, Unread(place.file, place.line, "routes that are added here are not known from the source"))
    elif isinstance(what, Module):
        yield from _flatten(what.scope.names.get("urlpatterns"), replace(place, file=what.file), evaluator)
    elif isinstance(what, list):
        for item in what:
            if item is UNKNOWN or isinstance(item, (list, Pattern, Include, RouterUrls, NinjaUrls, Unread)):
                yield from _flatten(item, place, evaluator)
    elif isinstance(what, Unread):
        yield _Route(place, what)
    elif isinstance(what, Include):
        # With a namespace: (shop.urls, "shop").
        inner = what.what
        if isinstance(inner, list) and inner and isinstance(inner[0], Module):
            inner = inner[0]
        target = evaluator.module(inner) if isinstance(inner, str) else inner
        yield from _flatten(target, place.below(what.prefix, {}), evaluator)
    elif isinstance(what, Pattern):
        yield from _pattern(what, place, evaluator)
    elif isinstance(what, RouterUrls):
        for route in what.router.routes(evaluator):
            yield _Route(place.below(route.path, route.parameters), route.view, route.action)
    elif isinstance(what, NinjaUrls):
        for operation in what.api.routes(evaluator):
            yield _Route(place.below(operation.path.lstrip("/"), operation.parameters), operation)


def _pattern(pattern: Pattern, place: _Place, evaluator: PythonEvaluator) -> Iterator[_Route]:
    path, parameters = (read_regex if pattern.is_regex else read_route)(pattern.route)
    here = replace(place.below(path, parameters), file=pattern.file, line=pattern.line)
    target = pattern.target
    if isinstance(target, (Include, list, Module)):
        yield from _flatten(target, here, evaluator)
    elif isinstance(target, str):
        module, _, name = target.rpartition(".")
        found = evaluator.module(module) if module else None
        yield _Route(here, found.scope.names.get(name, UNKNOWN) if found else UNKNOWN)
    elif isinstance(target, External) and (target.last == "urls" or target.name.startswith(_NOT_OF_THE_PROJECT)):
        return
    elif not pattern.opaque:
        yield _Route(here, target)
