"""From a project's URL configuration to a flat list of endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.django.describe import Described, describe
from preview.endpoints.django.ninja import NinjaUrls
from preview.endpoints.django.paths import read_regex, read_route
from preview.endpoints.django.registrations import Action, Include, Pattern
from preview.endpoints.django.routers import RouterUrls
from preview.endpoints.django.serializers import Serializers
from preview.endpoints.model import Endpoint, Found
from preview.endpoints.python import UNKNOWN, External, Interpreter, Module

_MAX_DEPTH: Final = 20
_MAX_ENDPOINTS: Final = 5_000
# Files and administration: of Django, not of the project.
_NOT_OF_THE_PROJECT: Final = ("django.views.static.", "django.contrib.admin", "django.contrib.staticfiles.")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree of patterns a route stands.

    Attributes:
        path: What stands before.
        file: Of the pattern.
        line: Likewise.
    """

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


def list_endpoints(root: Module, interpreter: Interpreter, found: Found) -> None:
    """Add all endpoints below ``urlpatterns`` of the module ``ROOT_URLCONF`` names.

    What packages from outside bring through ``include`` (administration, log-in pages) is left out, as are a router's
    root view and format suffixes: they are not the project's.

    Raises:
        OutOfBudget: Too much was read; ``found`` has what came before.
    """
    serializers = Serializers(interpreter)
    for route in _flatten(root, _Place(file=root.file), interpreter):
        for part in describe(route.view, route.action, serializers, (route.place.file, route.place.line)):
            _add(found, route.place, part)
        if len(found) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _add(found: Found, place: _Place, part: Described) -> None:
    path = place.path if place.path.startswith("/") else f"/{place.path}"
    endpoint = Endpoint(
        method=part.method,
        path=path,
        summary=part.summary,
        description=part.description,
        tags=part.tags,
        query=part.query,
        request_body=part.request_body,
        response_schema=part.response_schema,
        file=part.file,
        line=part.line,
        path_parameters=place.parameters,
    )
    # The first of two patterns is the one that answers.
    if ("*", path) not in found:
        found.setdefault((part.method, path), endpoint)


def _flatten(what: object, place: _Place, interpreter: Interpreter) -> Iterator[_Route]:
    interpreter.step()
    if place.depth > _MAX_DEPTH:
        return
    place = replace(place, depth=place.depth + 1)
    if isinstance(what, Module):
        yield from _flatten(what.scope.names.get("urlpatterns"), replace(place, file=what.file), interpreter)
    elif isinstance(what, list):
        for item in what:
            if isinstance(item, (list, Pattern, Include, RouterUrls, NinjaUrls)):
                yield from _flatten(item, place, interpreter)
    elif isinstance(what, Include):
        # With a namespace: (shop.urls, "shop").
        inner = (
            what.what[0]
            if isinstance(what.what, list) and what.what and isinstance(what.what[0], Module)
            else what.what
        )
        target = interpreter.module(inner) if isinstance(inner, str) else inner
        yield from _flatten(target, place.below(what.prefix, {}), interpreter)
    elif isinstance(what, Pattern):
        yield from _pattern(what, place, interpreter)
    elif isinstance(what, RouterUrls):
        for route in what.router.routes(interpreter):
            yield _Route(place.below(route.path, route.parameters), route.view, route.action)
    elif isinstance(what, NinjaUrls):
        for operation in what.api.routes(interpreter):
            yield _Route(place.below(operation.path.lstrip("/"), operation.parameters), operation)


def _pattern(pattern: Pattern, place: _Place, interpreter: Interpreter) -> Iterator[_Route]:
    path, parameters = (read_regex if pattern.is_regex else read_route)(pattern.route)
    here = replace(place.below(path, parameters), file=pattern.file, line=pattern.line)
    target = pattern.target
    if isinstance(target, (Include, list, Module)):
        yield from _flatten(target, here, interpreter)
    elif isinstance(target, str):
        module, _, name = target.rpartition(".")
        found = interpreter.module(module) if module else None
        yield _Route(here, found.scope.names.get(name, UNKNOWN) if found else UNKNOWN)
    elif isinstance(target, External) and (target.last == "urls" or target.name.startswith(_NOT_OF_THE_PROJECT)):
        return
    elif not pattern.opaque:
        yield _Route(here, target)
