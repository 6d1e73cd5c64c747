"""Evaluation of ``value.name``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preview.endpoints.javascript.classes import member_of_class
from preview.endpoints.javascript.natives import Native
from preview.endpoints.javascript.values import Class, Function, Getter, JSObject, Made
from preview.endpoints.names import UNKNOWN, External

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator

_OBJECT_METHODS: Final = frozenset({"hasOwnProperty", "toString", "then", "bind", "call", "apply", "constructor"})

# The primary process of a cluster only starts the workers, which serve.
_IN_A_WORKER: Final = {"cluster.isMaster": False, "cluster.isPrimary": False, "cluster.isWorker": True}


def member(evaluator: JavaScriptEvaluator, value: object, name: str) -> object:
    """Evaluate ``value.name``."""
    if isinstance(value, JSObject):
        return property_of(evaluator, value, name)
    if isinstance(value, External):
        return _external_member(evaluator, value, name)
    if isinstance(value, Native):
        return value.attribute(name)
    if isinstance(value, Class):
        found = member_of_class(evaluator, value, name, static=True)
        return evaluator.call(found.function, [], value) if isinstance(found, Getter) else evaluator.settle(found)
    if isinstance(value, Function):
        if name == "prototype":
            return value.names.setdefault("prototype", JSObject())
        return evaluator.settle(value.names.get(name, value.name if name == "name" else UNKNOWN))
    if isinstance(value, (str, list)) and name == "length":
        return len(value)
    return Made(name, [], value) if isinstance(value, Made) else UNKNOWN


def _external_member(evaluator: JavaScriptEvaluator, value: External, name: str) -> object:
    if name == "__esModule":
        return False
    if value.name == "process" and name == "env":
        return evaluator.environment
    if name == "default":
        return value
    whole = f"{value.name}.{name}"
    return _IN_A_WORKER.get(whole, External(whole))


def property_of(evaluator: JavaScriptEvaluator, value: JSObject, name: str) -> object:
    """Return a property of an object, its own or its class's."""
    if name in value.names:
        found = value.names[name]
    elif value.cls is not None:
        found = member_of_class(evaluator, value.cls, name, static=False)
        if found is UNKNOWN and isinstance(value.native, Native):
            return value.native.attribute(name)
    elif name == "default":  # an import of the default of a CommonJS module
        return value
    else:
        return None if name not in _OBJECT_METHODS else UNKNOWN
    if isinstance(found, Getter):
        return evaluator.call(found.function, [], value)
    return evaluator.settle(found)
