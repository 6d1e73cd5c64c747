"""Objects in the answers of an application: their ids, lists of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_values import words_of
else:
    from preview_probe_values import words_of

IDS = ("id", "_id", "uuid", "slug", "key", "code", "pk")
"""Usual names of an object's id."""
_MOST_KNOWN = 30


def identity_of(value: Mapping[str, Any]) -> str | None:
    """Return the id of an object as text; None if it has none."""
    return next((f"{name}={value[name]}" for name in IDS if isinstance(value.get(name), str | int)), None)


def id_for(name: str, value: Mapping[str, Any]) -> Any:
    """Return the value of an object's field that a parameter means; None if there is none."""
    words = words_of(name)
    camel = words[0] + "".join(word.title() for word in words[1:]) if words else ""
    last = words[-1:] if words[-1:] != ["id"] else []
    for one in (name, "_".join(words), camel, *last, *IDS):
        found = value.get(one)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return found
    return None


def one_object(found: object) -> dict[str, Any]:
    """Return the object that an answer is about: itself, or the only object in it."""
    if not isinstance(found, dict):
        return {}
    if not any(name in found for name in IDS):
        inner = [one for one in found.values() if isinstance(one, dict)]
        if len(inner) == 1:
            return inner[0]
    return found


def list_in(found: object) -> list[Any] | None:
    """Return the list that an answer is, or has as its only list; None if it has none."""
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        lists = [one for one in found.values() if isinstance(one, list)]
        return lists[0] if len(lists) == 1 else None
    return None


def objects_in(found: object) -> list[dict[str, Any]]:
    """Return the objects of a list in an answer."""
    return [one for one in (list_in(found) or [])[:_MOST_KNOWN] if isinstance(one, dict) and identity_of(one)]


def kind_of_value(value: object) -> str:
    """Return the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "string"
