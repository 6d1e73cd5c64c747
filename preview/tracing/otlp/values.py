"""Values of OTLP's type ``AnyValue``, in both of its forms. Nested ones are read to a small depth and number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from preview.tracing.otlp.given import NotOtlp
from preview.tracing.otlp.wire import Budget, double_of, fields, signed_of, text_of

_MOST_NODES = 64
_MOST_DEPTH = 4
_MORE = "…"
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NONE: Final = None


class _Nodes:
    """Number of nested values that may still be read."""

    def __init__(self) -> None:
        self._left = _MOST_NODES

    def take(self, depth: int) -> bool:
        """Count one; return False if there are too many, or too deep ones."""
        self._left -= 1
        return self._left >= 0 and depth <= _MOST_DEPTH


def wire_text(value: memoryview, budget: Budget, most: int) -> str:
    """Return a value of protobuf's form as text, of ``most`` characters at most.

    Raises:
        NotOtlp: It is not a value.
    """
    return _shown(_from_wire(value, budget, _Nodes(), 0), most)


def json_text(value: Any, most: int) -> str:
    """Return a value of the JSON form as text, of ``most`` characters at most; empty if it is not a value."""
    return _shown(_from_json(value, _Nodes(), 0), most)


def json_integer(value: Any) -> int | None:
    """Return a number, which 64-bit integers are written as texts for; None if it is not one."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return value if type(value) is int else None


def json_list(owner: Any, name: str) -> list[Any]:
    """Return a list of an object; an empty one if it is absent.

    Raises:
        NotOtlp: It is no object, or not a list.
    """
    found = owner.get(name, []) if isinstance(owner, dict) else None
    if not isinstance(found, list):
        raise NotOtlp(f"{name} is not a list")
    return found


def read_body(body: bytes) -> Any:
    """Return the value of a body in JSON.

    Raises:
        NotOtlp: It is not JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotOtlp("not JSON") from error


def _shown(value: Any, most: int) -> str:
    if value is _NONE:
        return ""
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:most]


def _from_wire(text: memoryview, budget: Budget, nodes: _Nodes, depth: int) -> Any:
    if not nodes.take(depth):
        return _MORE
    found: Any = _NONE
    for number, value in fields(text, budget):
        if isinstance(value, int):
            if number == 2:
                found = bool(value)
            elif number == 3:
                found = signed_of(value)
            elif number == 4:
                found = double_of(value)
        elif number == 1:
            found = text_of(value)
        elif number == 5:
            found = [_from_wire(one, budget, nodes, depth + 1) for one in _parts(value, budget)]
        elif number == 6:
            found = dict(_pair(one, budget, nodes, depth + 1) for one in _parts(value, budget))
        elif number == 7:
            found = f"<{len(value)} bytes>"
    return found


def _parts(text: memoryview, budget: Budget) -> Iterator[memoryview]:
    for number, value in fields(text, budget):
        if number != 1 or not isinstance(value, memoryview):
            raise NotOtlp("a list of values is expected")
        yield value


def _pair(text: memoryview, budget: Budget, nodes: _Nodes, depth: int) -> tuple[str, Any]:
    key, found = "", _NONE
    for number, value in fields(text, budget):
        if number == 1 and isinstance(value, memoryview):
            key = text_of(value)
        elif number == 2 and isinstance(value, memoryview):
            found = _from_wire(value, budget, nodes, depth)
    return key, found


def _from_json(value: Any, nodes: _Nodes, depth: int) -> Any:
    if not nodes.take(depth):
        return _MORE
    if not isinstance(value, dict):
        return _NONE
    if isinstance(text := value.get("stringValue"), str):
        return text
    if isinstance(is_true := value.get("boolValue"), bool):
        return is_true
    if (number := json_integer(value.get("intValue"))) is not None:
        return number
    if isinstance(double := value.get("doubleValue"), int | float | str):
        return double if not isinstance(double, str) else double[:30]
    if "arrayValue" in value:
        return [_from_json(one, nodes, depth + 1) for one in json_list(value["arrayValue"], "values")[:_MOST_NODES]]
    if "kvlistValue" in value:
        return {
            str(one.get("key", "")): _from_json(one.get("value"), nodes, depth + 1)
            for one in json_list(value["kvlistValue"], "values")[:_MOST_NODES]
            if isinstance(one, dict)
        }
    return f"<{len(value['bytesValue'])} characters>" if isinstance(value.get("bytesValue"), str) else _NONE
