"""Methods of strings, arrays, objects and functions, and calls on unknown values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from preview.endpoints.javascript.natives import Call
from preview.endpoints.javascript.operators import MAX_LENGTH, as_text, truth
from preview.endpoints.javascript.values import Function, JSObject, Made, Regex
from preview.endpoints.names import UNKNOWN

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator

_MAX_LOOP: Final = 500
PROMISED: Final = frozenset({"then", "catch", "finally"})


def call_value(evaluator: JavaScriptEvaluator, receiver: object, name: str, call: Call) -> object:
    """Evaluate ``receiver.name(…)`` for receivers other than the project's or a framework's objects."""
    if isinstance(receiver, Function):
        return _call_function(evaluator, receiver, name, call)
    if isinstance(receiver, str) and name in _TEXT:
        return _TEXT[name](receiver, call.arguments)
    if isinstance(receiver, list):
        return _call_list(evaluator, receiver, name, call)
    if name in PROMISED:
        return _settled(evaluator, receiver, name, call)
    if isinstance(receiver, JSObject):
        return receiver.names.get(str(call.argument(0))) is not None if name == "hasOwnProperty" else UNKNOWN
    arguments = call.arguments
    evaluator.call_back(arguments)
    return Made(name, arguments, receiver) if isinstance(receiver, Made) else UNKNOWN


def _settled(evaluator: JavaScriptEvaluator, receiver: object, name: str, call: Call) -> object:
    """Evaluate a promise's method: the promise counts as its future value, and failures are not followed."""
    callback = call.argument(0)
    if name == "then" and isinstance(callback, Function):
        found = evaluator.call(callback, [receiver])
        return found if found is not UNKNOWN else receiver
    if name == "finally":
        evaluator.call_back([callback])
    return receiver


def _call_function(evaluator: JavaScriptEvaluator, function: Function, name: str, call: Call) -> object:
    if name == "bind":
        this = call.argument(0)
        return Function(function.node, function.scope, this=this, names=function.names, owner=function.owner)
    if name == "call":
        return evaluator.call(function, call.arguments[1:], call.argument(0))
    if name == "apply":
        given = call.argument(1)
        return evaluator.call(function, given if isinstance(given, list) else [], call.argument(0))
    # External code may have set this property on the function.
    evaluator.call_back(call.arguments)
    return UNKNOWN


def _call_list(evaluator: JavaScriptEvaluator, values: list[object], name: str, call: Call) -> object:
    if name in _WALKS:
        callback = call.argument(0)
        return _WALKS[name](values, lambda item, place: evaluator.apply(callback, [item, place, values]))
    if name == "reduce":
        callback, found = call.argument(0), call.argument(1) if len(call.arguments) > 1 else UNKNOWN
        rest = values
        if found is UNKNOWN and values:
            found, rest = values[0], values[1:]
        for place, item in enumerate(rest[:_MAX_LOOP]):
            found = evaluator.apply(callback, [found, item, place, values])
        return found
    if name in _LIST:
        return _LIST[name](values, call.arguments)
    if name in PROMISED:
        return _settled(evaluator, values, name, call)
    return UNKNOWN


Walk = Callable[[object, int], object]


def _for_each(values: list[object], visit: Walk) -> object:
    for place, item in enumerate(values[:_MAX_LOOP]):
        visit(item, place)
    return None


def _map(values: list[object], visit: Walk) -> list[object]:
    return [visit(item, place) for place, item in enumerate(values[:_MAX_LOOP])]


def _flat_map(values: list[object], visit: Walk) -> list[object]:
    found: list[object] = []
    for item in _map(values, visit):
        found += item if isinstance(item, list) else [item]
    return found


def _filter(values: list[object], visit: Walk) -> list[object]:
    # Keep items unless the condition is known to be false.
    return [item for place, item in enumerate(values[:_MAX_LOOP]) if truth(visit(item, place)) is not False]


def _find(values: list[object], visit: Walk) -> object:
    return next((item for place, item in enumerate(values[:_MAX_LOOP]) if truth(visit(item, place))), UNKNOWN)


def _some(values: list[object], visit: Walk) -> object:
    found = [truth(visit(item, place)) for place, item in enumerate(values[:_MAX_LOOP])]
    return True if True in found else UNKNOWN if None in found else False


def _every(values: list[object], visit: Walk) -> object:
    found = [truth(visit(item, place)) for place, item in enumerate(values[:_MAX_LOOP])]
    return False if False in found else UNKNOWN if None in found else True


_WALKS: Final[dict[str, Callable[[list[object], Walk], object]]] = {
    "forEach": _for_each,
    "map": _map,
    "flatMap": _flat_map,
    "filter": _filter,
    "find": _find,
    "some": _some,
    "every": _every,
}


def _push(values: list[object], given: list[object]) -> object:
    if len(values) < MAX_LENGTH:
        values.extend(given)
    return len(values)


def _concat(values: list[object], given: list[object]) -> object:
    found = list(values)
    for item in given:
        found += item if isinstance(item, list) else [item]
    return found if len(found) <= MAX_LENGTH else UNKNOWN


def _join(values: list[object], given: list[object]) -> object:
    separator = given[0] if given else ","
    parts = [as_text(item) for item in values]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or not isinstance(separator, str):
        return UNKNOWN
    return separator.join(known) if sum(map(len, known)) + len(known) * len(separator) <= MAX_LENGTH else UNKNOWN


def _bounds(given: list[object]) -> slice:
    """Return the slice from begin to end; an omitted bound is open."""
    begin, end = (item if isinstance(item, int) else None for item in (*given, None, None)[:2])
    return slice(begin, end)


def _take(place: int) -> Callable[[list[object], list[object]], object]:
    return lambda values, given: values.pop(place) if values else None  # noqa: ARG005  as its siblings


_LIST: Final[dict[str, Callable[[list[object], list[object]], object]]] = {
    "push": _push,
    "add": _push,
    "unshift": lambda values, given: values.__setitem__(slice(0, 0), given[:MAX_LENGTH]),
    "pop": _take(-1),
    "shift": _take(0),
    "concat": _concat,
    "join": _join,
    "slice": lambda values, given: values[_bounds(given)],
    "flat": lambda values, given: _concat([], values),  # noqa: ARG005
    "includes": lambda values, given: bool(given) and given[0] in values,
    "has": lambda values, given: bool(given) and given[0] in values,
    "indexOf": lambda values, given: values.index(given[0]) if given and given[0] in values else -1,
    "reverse": lambda values, given: values[::-1],  # noqa: ARG005
    "sort": lambda values, given: values,  # noqa: ARG005
    "values": lambda values, given: values,  # noqa: ARG005
    "entries": lambda values, given: [[place, item] for place, item in enumerate(values)],  # noqa: ARG005
    "at": lambda values, given: next((values[i] for i in given if isinstance(i, int) and -len(values) <= i < len(values)), UNKNOWN),  # noqa: E501
}  # fmt: skip


def _substring(value: str, given: list[object]) -> object:
    return value[_bounds([max(item, 0) if isinstance(item, int) else None for item in given])]


def _split(value: str, given: list[object]) -> object:
    separator = given[0] if given else None
    if not isinstance(separator, str):
        return UNKNOWN
    return list(value.split(separator)) if separator else list(value)


def _replace(value: str, given: list[object]) -> object:
    if len(given) < 2 or not isinstance(given[1], str):
        return UNKNOWN
    old, new = given[0], given[1]
    if isinstance(old, str):
        found = value.replace(old, new, 1)
        return found if len(found) <= MAX_LENGTH else UNKNOWN
    pattern = _simple(old)
    if pattern is None or len(value) > MAX_LENGTH // 100:
        return UNKNOWN
    return re.sub(pattern, lambda _: new, value, count=0 if isinstance(old, Regex) and "g" in old.flags else 1)


# Only patterns that match in bounded time: literals, escapes, classes and a few anchors, no repeated groups.
_HARMLESS: Final = re.compile(
    r"\^?(?:[\w \-/@:,]|\\[.\-/\\dws]|\[[\w\-./\\]+\]|\.|\||\((?:[\w|]|\\\.)+\)\??|[+*?](?![+*?]))*\$?"
)


def _simple(value: object) -> str | None:
    if not isinstance(value, Regex) or not _HARMLESS.fullmatch(value.source) or len(value.source) > 60:
        return None
    if sum(value.source.count(sign) for sign in "+*") > 2:
        return None
    try:
        re.compile(value.source)
    except re.error:
        return None
    return f"(?i:{value.source})" if "i" in value.flags else value.source


def _match(value: str, given: list[object]) -> object:
    pattern = _simple(given[0]) if given else None
    return UNKNOWN if pattern is None or len(value) > MAX_LENGTH // 100 else bool(re.search(pattern, value))


_TEXT: Final[dict[str, Callable[[str, list[object]], object]]] = {
    "toLowerCase": lambda value, given: value.lower(),  # noqa: ARG005
    "toUpperCase": lambda value, given: value.upper(),  # noqa: ARG005
    "toLocaleLowerCase": lambda value, given: value.lower(),  # noqa: ARG005
    "trim": lambda value, given: value.strip(),  # noqa: ARG005
    "toString": lambda value, given: value,  # noqa: ARG005
    "startsWith": lambda value, given: value.startswith(given[0]) if given and isinstance(given[0], str) else UNKNOWN,
    "endsWith": lambda value, given: value.endswith(given[0]) if given and isinstance(given[0], str) else UNKNOWN,
    "includes": lambda value, given: given[0] in value if given and isinstance(given[0], str) else UNKNOWN,
    "indexOf": lambda value, given: value.find(given[0]) if given and isinstance(given[0], str) else UNKNOWN,
    "lastIndexOf": lambda value, given: value.rfind(given[0]) if given and isinstance(given[0], str) else UNKNOWN,
    "charAt": lambda value, given: value[given[0]] if given and isinstance(given[0], int) and 0 <= given[0] < len(value) else "",  # noqa: E501
    "concat": lambda value, given: value + "".join(item for item in given if isinstance(item, str)),
    "slice": lambda value, given: value[_bounds(given)],
    "substring": _substring,
    "substr": lambda value, given: value[given[0]:][: given[1] if len(given) > 1 and isinstance(given[1], int) else None] if given and isinstance(given[0], int) else UNKNOWN,  # noqa: E501
    "split": _split,
    "replace": _replace,
    "replaceAll": lambda value, given: value.replace(given[0], given[1]) if len(given) > 1 and isinstance(given[0], str) and isinstance(given[1], str) and len(value) * (len(given[1]) + 1) <= MAX_LENGTH else UNKNOWN,  # noqa: E501
    "match": _match,
}  # fmt: skip
