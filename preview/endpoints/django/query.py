"""Query parameters that a view or the REST framework reads, and the types of model and serializer fields."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from preview.endpoints.django.classes import find_value
from preview.endpoints.python import Class, External, Function, Native, PythonEvaluator

_SOURCES: Final = frozenset({"GET", "query_params"})
_PAGES: Final = {
    "PageNumberPagination": {"page": "integer"},
    "LimitOffsetPagination": {"limit": "integer", "offset": "integer"},
    "CursorPagination": {"cursor": "string"},
}
_PAGE_SETTING: Final = "DEFAULT_PAGINATION_CLASS"


def read_query(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Return parameters from ``request.GET.get("q")``, ``request.query_params["q"]``, ``request.GET.getlist("q")``."""
    found: dict[str, str] = {}
    for item in nodes:
        match item:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr=source), attr="get" | "getlist" as getter),
                args=[ast.Constant(value=str(name)), *_],
            ) if source in _SOURCES:
                found.setdefault(name, "array" if getter == "getlist" else "string")
            case ast.Subscript(value=ast.Attribute(attr=source), slice=ast.Constant(value=str(name))) if (
                source in _SOURCES
            ):
                found.setdefault(name, "string")
            case _:
                pass
    return found


def list_query(cls: Class, evaluator: PythonEvaluator) -> dict[str, str]:
    """Return query parameters of a list: filters, search, order and pages."""
    found: dict[str, str] = {}
    for attribute in ("filterset_fields", "filter_fields"):
        fields = find_value(cls, attribute, evaluator)
        if isinstance(fields, (list, dict)):
            found |= {name: "string" for name in fields if isinstance(name, str)}
    if _declared(cls, "search_fields", evaluator):
        found["search"] = "string"
    if _declared(cls, "ordering_fields", evaluator):
        found["ordering"] = "string"
    for name in _pagination(cls, evaluator):
        found |= _PAGES.get(name, {})
    handler = find_value(cls, "get_queryset", evaluator)
    return found | (read_query(ast.walk(handler.node)) if isinstance(handler, Function) else {})


def _declared(cls: Class, name: str, evaluator: PythonEvaluator) -> bool:
    """Return whether the project's classes set a name, even to an unknown value."""
    owners = [item for item in evaluator.lineage(cls) if isinstance(item, Class) and name in item.body.names]
    return bool(owners and owners[0].body.names[name])


def _pagination(cls: Class, evaluator: PythonEvaluator) -> list[str]:
    """Return the name of the pagination class, or the external base classes of the project's own."""
    value = find_value(cls, "pagination_class", evaluator)
    if isinstance(value, Class):
        return [item.last for item in evaluator.lineage(value) if isinstance(item, External)]
    if isinstance(value, External):
        return [value.last]
    if value is None:
        return []
    settings = evaluator.attribute(evaluator.outside.get("django.conf.settings"), "REST_FRAMEWORK")
    given = settings.get(_PAGE_SETTING) if isinstance(settings, dict) else None
    return [given.rpartition(".")[2]] if isinstance(given, str) else []


_KINDS: Final[Mapping[str, str]] = {
    "integer": (
        "IntegerField BigIntegerField SmallIntegerField PositiveIntegerField PositiveSmallIntegerField AutoField "
        "BigAutoField PositiveBigIntegerField SmallAutoField ForeignKey OneToOneField PrimaryKeyRelatedField"
    ),
    "number": "FloatField",
    "boolean": "BooleanField NullBooleanField",
    "object": "JSONField DictField HStoreField",
    "array": "ListField ArrayField MultipleChoiceField ManyToManyField",
}
_TYPES: Final[Mapping[str, str]] = {name: kind for kind, names in _KINDS.items() for name in names.split()}


@dataclass(eq=False, slots=True)
class Field(Native):
    """``CharField(…)`` and the like."""

    kind: str
    options: dict[str, object]

    @property
    def json_type(self) -> str:
        """The JSON type of the field's class; ``string`` for unknown classes."""
        return _TYPES.get(self.kind, "string")


@dataclass(eq=False, slots=True)
class SerializerUse(Native):
    """``BookSerializer(many=True)``; ``cls`` is None if the class is not the project's."""

    cls: Class | None
    many: bool
