"""Functions of Node and of the language that route loaders use: objects, promises, timers."""

from __future__ import annotations

from typing import Final

from preview.endpoints.javascript.folders import PATHS, Reader
from preview.endpoints.javascript.natives import Call, JSMap
from preview.endpoints.javascript.operators import as_text
from preview.endpoints.javascript.values import Function, Getter, JSObject
from preview.endpoints.names import UNKNOWN

_MAX_FILES: Final = 500


def find_builtin(name: str) -> Reader | None:
    """Return the evaluator of a built-in function's call, or None for any other function."""
    return _BUILT_IN.get(name.removeprefix("node:"))


# The language


def _names(value: object) -> dict[str, object]:
    if isinstance(value, JSObject):
        return value.names
    return {str(place): item for place, item in enumerate(value)} if isinstance(value, list) else {}


def _values(call: Call) -> list[object]:
    value = call.argument(0)
    names = _names(value)
    return [call.evaluator.member(value, name) for name in names] if isinstance(value, JSObject) else [*names.values()]


def _assign(call: Call) -> object:
    target, *others = call.arguments or [None]
    if isinstance(target, (JSObject, Function)):
        for other in others:
            target.names.update(other.names if isinstance(other, JSObject) else {})
    return target


def _define(call: Call) -> object:
    """Evaluate ``Object.defineProperty(exports, "x", {get})``, the form in which compilers write exports."""
    target, name, how = (call.argument(place) for place in range(3))
    if isinstance(target, (JSObject, Function)) and isinstance(name, str) and isinstance(how, JSObject):
        if isinstance(getter := how.names.get("get"), Function):
            target.names[name] = Getter(getter)
        elif "value" in how.names:
            target.names[name] = call.evaluator.member(how, "value")
    return target


def _from_entries(call: Call) -> object:
    value = call.argument(0)
    pairs = value.pairs if isinstance(value, JSMap) else value if isinstance(value, list) else []
    made = JSObject()
    for pair in pairs:
        if isinstance(pair, list) and len(pair) > 1 and isinstance(pair[0], str):
            made.names[pair[0]] = pair[1]
    return made


def _text(call: Call) -> object:
    found = as_text(call.argument(0))
    return UNKNOWN if found is None else found


def _is_array(call: Call) -> object:
    value = call.argument(0)
    return UNKNOWN if value is UNKNOWN else isinstance(value, list)


def _map(call: Call) -> object:
    given = call.argument(0)
    return JSMap(
        [list(pair) for pair in given if isinstance(pair, list) and len(pair) > 1] if isinstance(given, list) else []
    )


def _list(call: Call) -> object:
    given = call.argument(0)
    return list(given) if isinstance(given, (list, str)) else list(given.pairs) if isinstance(given, JSMap) else []


def _each(call: Call) -> object:
    """Evaluate ``_.each(values, callback)``."""
    value, callback = call.argument(0), call.argument(1)
    pairs = _names(value).items()
    return [call.evaluator.apply(callback, [item, name, value]) for name, item in list(pairs)[:_MAX_FILES]]


def _soon(call: Call) -> object:
    call.evaluator.call_back(call.arguments)
    return UNKNOWN


_BUILT_IN: Final[dict[str, Reader]] = {
    **PATHS,
    "Object.keys": lambda call: list(_names(call.argument(0))),
    "Object.values": _values,
    "Object.entries": lambda call: [list(pair) for pair in zip(_names(call.argument(0)), _values(call), strict=True)],
    "Object.assign": _assign,
    **dict.fromkeys(
        ("Object.freeze", "Object.seal", "Object.create", "Promise.all", "Promise.resolve"),
        lambda call: call.argument(0),
    ),
    "Object.fromEntries": _from_entries,
    "Object.defineProperty": _define,
    "Array": _list,
    "Array.from": _list,
    "Array.isArray": _is_array,
    "Set": _list,
    "Map": _map,
    "String": _text,
    **dict.fromkeys(("Promise", "setTimeout", "setImmediate", "process.nextTick"), _soon),
    **dict.fromkeys(("lodash.each", "lodash.forEach", "lodash.map", "underscore.each", "async.each"), _each),
}
