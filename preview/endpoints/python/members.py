"""What ``value.name`` is: names of modules, attributes and methods of objects and classes, what classes inherit."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.imports import Importer
from preview.endpoints.python.native import Native
from preview.endpoints.python.values import Class, Function, Instance, Module, Record

if TYPE_CHECKING:
    from preview.endpoints.python.interpreter import Interpreter

# More than any class that people write has.
_MAX_ANCESTORS: Final = 60


class Members:
    """Looks names up on values.

    Args:
        interpreter: Gives the values of bases and properties.
        importer: Finds the modules below a package.
    """

    def __init__(self, interpreter: Interpreter, importer: Importer) -> None:
        self._interpreter = interpreter
        self._importer = importer
        self._lineages: dict[Class, list[Class | External]] = {}

    def attribute(self, value: object, name: str) -> object:
        """``value.name``; ``UNKNOWN`` where it is not known.

        Raises:
            OutOfBudget: Too much was read.
        """
        if isinstance(value, Module):
            if name in value.scope.names:
                return value.scope.names[name]
            return self._importer.submodule(value, name)
        if isinstance(value, External):
            full = f"{value.name}.{name}"
            return self._interpreter.outside.get(full) or External(full)
        if isinstance(value, Instance):
            if name in value.names:
                return value.names[name]
            found = self._bound(self.of_class(value.cls, name), value)
            if isinstance(found, (str, int, type(None))) and self._is_settings(value.cls):
                return self._interpreter.variables.setting(name, found)
            return found
        if isinstance(value, Class):
            if name in {"__name__", "__qualname__"}:
                return value.node.name
            found = self.of_class(value, name)
            return self._bound(found, value) if _is_decorated(found, "classmethod") else found
        if isinstance(value, Native):
            own = self._own_attribute(value, name)
            return value.attribute(name) if own is UNKNOWN else own
        if isinstance(value, Record):
            return value.names.get(name, UNKNOWN)
        return value.node.name if isinstance(value, Function) and name == "__name__" else UNKNOWN

    def bases(self, cls: Class) -> list[object]:
        """The values of a class's bases; ``Generic[T]`` counts as ``Generic``."""
        plain = [base.value if isinstance(base, ast.Subscript) else base for base in cls.node.bases]
        return [self._interpreter.evaluate(base, cls.scope) for base in plain]

    def lineage(self, cls: Class) -> list[Class | External]:
        """The class and all it inherits from, nearest first, each once."""
        if cls not in self._lineages:
            self._lineages[cls] = self._lineage(cls)
        return self._lineages[cls]

    def _lineage(self, cls: Class) -> list[Class | External]:
        found: list[Class | External] = []
        todo: list[object] = [cls]
        while todo and len(found) < _MAX_ANCESTORS:
            current = todo.pop(0)
            if isinstance(current, External) and current not in found:
                found.append(current)
            elif isinstance(current, Class) and current not in found:
                found.append(current)
                todo += self.bases(current)
        return found

    def of_class(self, cls: Class, name: str) -> object:
        """``cls.name``, its own or inherited, not bound to anything."""
        lineage = self.lineage(cls)
        for ancestor in lineage:
            if isinstance(ancestor, Class) and name in ancestor.body.names:
                return ancestor.body.names[name]
        # Inherited from outside: `View.as_view`, as the framework knows it.
        outside = next((item for item in lineage if isinstance(item, External)), None)
        if outside is not None and outside.last == "BaseSettings":
            value = self._interpreter.variables.get(name)
            return self._interpreter.variables.get(name.upper()) if value is UNKNOWN else value
        return External(f"{outside.name}.{name}") if outside else UNKNOWN

    def _own_attribute(self, native: Native, name: str) -> object:
        """What the project's class adds to an object of the framework; ``UNKNOWN`` where it adds nothing."""
        cls = native.own_class()
        found = self.of_class(cls, name) if cls is not None else UNKNOWN
        return UNKNOWN if isinstance(found, External) else self._bound(found, native)

    def _is_settings(self, cls: Class) -> bool:
        return any(isinstance(item, External) and item.last == "BaseSettings" for item in self.lineage(cls))

    def _bound(self, found: object, receiver: object) -> object:
        """A method with its first argument, a property's value; anything else as it is."""
        if not isinstance(found, Function) or _is_decorated(found, "staticmethod"):
            return found
        method = Function(found.node, found.scope, receiver=receiver)
        is_property = _is_decorated(found, "property") or _is_decorated(found, "cached_property")
        return self._interpreter.call(method) if is_property else method


def _is_decorated(found: object, name: str) -> bool:
    return isinstance(found, Function) and any(
        isinstance(item, ast.Name) and item.id == name for item in found.node.decorator_list
    )
