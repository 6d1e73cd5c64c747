"""Fields of serializers and models, and serializers in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from preview.endpoints.python import Class, Native

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
    """``CharField(…)`` and its like.

    Attributes:
        kind: The class's name.
        options: Its keyword arguments.
    """

    kind: str
    options: dict[str, object]


@dataclass(eq=False, slots=True)
class SerializerUse(Native):
    """``BookSerializer(many=True)``; without a class where it is none of the project's."""

    cls: Class | None
    many: bool


def json_type(kind: str) -> str:
    """The JSON type that a field's class gives; ``string`` for all that is not known."""
    return _TYPES.get(kind, "string")
