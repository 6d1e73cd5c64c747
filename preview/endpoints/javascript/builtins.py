"""Functions of Node and of the language that loaders of routes use: objects, promises, timers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preview.endpoints.javascript.folders import PATHS, Reader
from preview.endpoints.javascript.natives import Call, JSMap
from preview.endpoints.javascript.operators import as_text
from preview.endpoints.javascript.values import Function, Getter, JSObject
from preview.endpoints.names import UNKNOWN

if TYPE_CHECKING:
    from preview.endpoints.javascript.interpreter import Interpreter

_MAX_FILES: Final = 500


def has_builtin(name: str) -> bool:
    """Return whether a function from outside is one of these."""
    return name.removeprefix("node:") in _BUILT_IN


def call_builtin(interpreter: Interpreter, name: str, call: Call) -> object:
    """Return the builtin's result."""
    return _BUILT_IN[name.removeprefix("node:")](interpreter, call)


# The language.


def _names(value: object) -> dict[str, object]:
    if isinstance(value, JSObject):
        return value.names
    return {str(place): item for place, item in enumerate(value)} if isinstance(value, list) else {}


def _keys(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    return list(_names(call.argument(0)))


def _values(interpreter: Interpreter, call: Call) -> object:
    value = call.argument(0)
    return [
        interpreter.member(value, name) if isinstance(value, JSObject) else item for name, item in _names(value).items()
    ]


def _entries(interpreter: Interpreter, call: Call) -> object:
    value = call.argument(0)
    return [
        [name, interpreter.member(value, name) if isinstance(value, JSObject) else item]
        for name, item in _names(value).items()
    ]


def _assign(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    target, *others = call.arguments or [None]
    if isinstance(target, (JSObject, Function)):
        for other in others:
            target.names.update(other.names if isinstance(other, JSObject) else {})
    return target


def _define(interpreter: Interpreter, call: Call) -> object:
    """``Object.defineProperty(exports, "x", {get})``, as compilers write exports."""
    target, name, how = (call.argument(place) for place in range(3))
    if isinstance(target, (JSObject, Function)) and isinstance(name, str) and isinstance(how, JSObject):
        if isinstance(getter := how.names.get("get"), Function):
            target.names[name] = Getter(getter)
        elif "value" in how.names:
            target.names[name] = interpreter.member(how, "value")
    return target


def _from_entries(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    value = call.argument(0)
    pairs = value.pairs if isinstance(value, JSMap) else value if isinstance(value, list) else []
    made = JSObject()
    for pair in pairs:
        if isinstance(pair, list) and len(pair) > 1 and isinstance(pair[0], str):
            made.names[pair[0]] = pair[1]
    return made


def _first(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    return call.argument(0)


def _text(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    found = as_text(call.argument(0))
    return UNKNOWN if found is None else found


def _is_array(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    value = call.argument(0)
    return UNKNOWN if value is UNKNOWN else isinstance(value, list)


def _map(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    given = call.argument(0)
    return JSMap(
        [list(pair) for pair in given if isinstance(pair, list) and len(pair) > 1] if isinstance(given, list) else []
    )


def _list(interpreter: Interpreter, call: Call) -> object:  # noqa: ARG001  as its siblings
    given = call.argument(0)
    return list(given) if isinstance(given, (list, str)) else list(given.pairs) if isinstance(given, JSMap) else []


def _each(interpreter: Interpreter, call: Call) -> object:
    """``_.each(values, callback)``."""
    value, callback = call.argument(0), call.argument(1)
    pairs = _names(value).items()
    return [interpreter.apply(callback, [item, name, value]) for name, item in list(pairs)[:_MAX_FILES]]


def _soon(interpreter: Interpreter, call: Call) -> object:
    interpreter.call_back(call.arguments)
    return UNKNOWN


_BUILT_IN: Final[dict[str, Reader]] = {
    **PATHS,
    "Object.keys": _keys,
    "Object.values": _values,
    "Object.entries": _entries,
    "Object.assign": _assign,
    "Object.freeze": _first,
    "Object.seal": _first,
    "Object.create": _first,
    "Object.fromEntries": _from_entries,
    "Object.defineProperty": _define,
    "Array": _list,
    "Array.from": _list,
    "Array.isArray": _is_array,
    "Set": _list,
    "Map": _map,
    "String": _text,
    "Promise.all": _first,
    "Promise.resolve": _first,
    "Promise": _soon,
    "setTimeout": _soon,
    "setImmediate": _soon,
    "process.nextTick": _soon,
    "lodash.each": _each,
    "lodash.forEach": _each,
    "lodash.map": _each,
    "underscore.each": _each,
    "async.each": _each,
}
