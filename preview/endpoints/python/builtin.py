"""Results of Python's built-in functions, as far as they matter for routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.members import PathValue
from preview.endpoints.python.methods import items_of
from preview.endpoints.python.truth import Call, Native
from preview.endpoints.python.values import Class, Function, Instance, Module, Record, Scope

_MAX_RANGE: Final = 100


class _Super(Native):
    """``super()``: the methods of the base classes, on the same object."""

    __slots__ = ("_cls", "_receiver")

    def __init__(self, cls: Class, receiver: object) -> None:
        self._cls = cls
        self._receiver = receiver

    def call_method(self, name: str, call: Call) -> object:
        for ancestor in call.evaluator.lineage(self._cls)[1:]:
            found = ancestor.body.names.get(name) if isinstance(ancestor, Class) else None
            if isinstance(found, Function):
                function = Function(found.node, found.scope, receiver=self._receiver)
                return call.evaluator.call(function, call.arguments, **call.named)
        return self._receiver.call_method(name, call) if isinstance(self._receiver, Native) else UNKNOWN


def call_builtin(name: str, call: Call) -> object:
    """Evaluate ``name(…)`` for a name that the project does not bind."""
    known = _BUILTINS.get(name)
    return known(call) if known else UNKNOWN


def _getattr(call: Call) -> object:
    name = call.argument(1, "name")
    found = call.evaluator.attribute(call.argument(0, "object"), name) if isinstance(name, str) else UNKNOWN
    return call.argument(2, "default") if found is UNKNOWN else found


def _setattr(call: Call) -> object:
    owner, name = call.argument(0, "object"), call.argument(1, "name")
    if isinstance(owner, Instance) and isinstance(name, str):
        owner.names[name] = call.argument(2, "value")
    return None


def _hasattr(call: Call) -> object:
    owner, name = call.argument(0, "object"), call.argument(1, "name")
    if not isinstance(owner, (Module, Class, Instance)) or not isinstance(name, str):
        return UNKNOWN
    found = call.evaluator.attribute(owner, name)
    return UNKNOWN if isinstance(found, External) else found is not UNKNOWN


def names_on(call: Call) -> object:
    """Evaluate ``dir(…)``."""
    owner = call.argument(0, "object")
    if isinstance(owner, Module):
        return sorted(owner.scope.names)
    cls = owner.cls if isinstance(owner, Instance) else owner
    if not isinstance(cls, Class):
        return UNKNOWN
    classes = [item for item in call.evaluator.lineage(cls) if isinstance(item, Class)]
    return sorted({name for item in classes for name in item.body.names})


def _callable(call: Call) -> object:
    value = call.argument(0, "object")
    if isinstance(value, (Function, Class)):
        return True
    return False if isinstance(value, (str, int, list, dict, Module, type(None))) else UNKNOWN


def _list(call: Call) -> object:
    if not call.arguments:
        return []
    values = items_of(call.arguments[0])
    return UNKNOWN if values is None else list(values)


def _set(call: Call) -> object:
    values = _list(call)
    if not isinstance(values, list):
        return values
    found: list[object] = []
    for value in values[:1000]:
        if value not in found:
            found.append(value)
    return found


def _dict(call: Call) -> object:
    given = call.arguments[0] if call.arguments else {}
    return {**given, **call.named} if isinstance(given, dict) else UNKNOWN


def _sorted(call: Call) -> object:
    values = _list(call)
    if isinstance(values, list) and all(isinstance(item, str) for item in values):
        return sorted(item for item in values if isinstance(item, str))
    return values


def _reversed(call: Call) -> object:
    values = _list(call)
    return values[::-1] if isinstance(values, list) else values


def _enumerate(call: Call) -> object:
    values = _list(call)
    return [Record([index, item]) for index, item in enumerate(values)] if isinstance(values, list) else values


def _zip(call: Call) -> object:
    lists = [items_of(item) for item in call.arguments]
    known = [item for item in lists if item is not None]
    return [Record(items) for items in zip(*known, strict=False)] if len(known) == len(lists) else UNKNOWN


def _range(call: Call) -> object:
    limits = [item for item in call.arguments if isinstance(item, int)]
    if len(limits) != len(call.arguments) or not 1 <= len(limits) <= 3 or limits[-1:] == [0]:
        return UNKNOWN
    return list(range(*limits)[:_MAX_RANGE])


def _str(call: Call) -> object:
    value = call.argument(0, "object", "")
    return str(value) if isinstance(value, (str, PathValue)) or (type(value) is int and abs(value) < 10**9) else UNKNOWN


def _len(call: Call) -> object:
    value = call.argument(0, "object")
    return len(value) if isinstance(value, (str, list, dict)) else UNKNOWN


def _super(call: Call) -> object:
    scope: Scope | None = call.scope
    while scope is not None and scope.parent is not None:
        # The parent of a method's own scope is the class's body.
        found = _class_of_body(scope.parent)
        if found is not None:
            receiver = next(iter(scope.names.values()), UNKNOWN)
            return _Super(found, receiver)
        scope = scope.parent
    return UNKNOWN


def _class_of_body(scope: Scope) -> Class | None:
    if scope.parent is None:
        return None
    values = list(scope.parent.names.values())
    return next((item for item in values if isinstance(item, Class) and item.body is scope), None)


def _type(call: Call) -> object:
    value = call.argument(0, "object")
    return value.cls if isinstance(value, Instance) and len(call.arguments) == 1 else UNKNOWN


def _isinstance(call: Call) -> object:
    value, cls = call.argument(0, "object"), call.argument(1, "class_or_tuple")
    if isinstance(value, Instance) and isinstance(cls, Class):
        return cls in call.evaluator.lineage(value.cls)
    if isinstance(cls, Class) and isinstance(value, (str, int, list, dict, Function, Module, Class, type(None))):
        return False
    return UNKNOWN


def _issubclass(call: Call) -> object:
    value, cls = call.argument(0, "cls"), call.argument(1, "class_or_tuple")
    if isinstance(value, Class) and isinstance(cls, (Class, External)):
        return cls in call.evaluator.lineage(value)
    return UNKNOWN


def import_module(call: Call) -> object:
    """Evaluate ``__import__(…)`` and ``importlib.import_module(…)``."""
    name = call.argument(0, "name")
    if not isinstance(name, str):
        return UNKNOWN
    if name.startswith("."):
        package = call.argument(1, "package")
        parts = package.split(".") if isinstance(package, str) else []
        up = len(name) - len(name.lstrip(".")) - 1
        name = ".".join([*parts[: len(parts) - up], name.lstrip(".")])
    return call.evaluator.module(name) or UNKNOWN


_BUILTINS: Final[Mapping[str, Callable[[Call], object]]] = {
    "getattr": _getattr,
    "setattr": _setattr,
    "hasattr": _hasattr,
    "dir": names_on,
    "callable": _callable,
    "list": _list,
    "tuple": _list,
    "set": _set,
    "frozenset": _set,
    "dict": _dict,
    "sorted": _sorted,
    "reversed": _reversed,
    "enumerate": _enumerate,
    "zip": _zip,
    "range": _range,
    "str": _str,
    "len": _len,
    "super": _super,
    "type": _type,
    "isinstance": _isinstance,
    "issubclass": _issubclass,
    "__import__": import_module,
}
