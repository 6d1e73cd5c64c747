"""Evaluation of ``value.name`` for modules, objects and classes, with inheritance."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.imports import Importer
from preview.endpoints.python.truth import Call, Native
from preview.endpoints.python.values import Class, Function, Instance, Module, Record

if TYPE_CHECKING:
    from preview.endpoints.python.evaluator import PythonEvaluator


# More base classes than any real class has.
_MAX_ANCESTORS: Final = 60


class Members:
    """Looks up names on values."""

    def __init__(self, evaluator: PythonEvaluator, importer: Importer) -> None:
        self._evaluator = evaluator
        self._importer = importer
        self._lineages: dict[Class, list[Class | External]] = {}

    def attribute(self, value: object, name: str) -> object:
        """Evaluate ``value.name``; ``UNKNOWN`` if the result is not known."""
        if isinstance(value, Module):
            if name in value.scope.names:
                return value.scope.names[name]
            return self._importer.submodule(value, name)
        if isinstance(value, External):
            full = f"{value.name}.{name}"
            return self._evaluator.outside.get(full) or External(full)
        if isinstance(value, Instance):
            if name in value.names:
                return value.names[name]
            found = self._bound(self.of_class(value.cls, name), value)
            if isinstance(found, (str, int, type(None))) and self._is_settings(value.cls):
                return self._evaluator.variables.setting(name, found)
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

    def lineage(self, cls: Class) -> list[Class | External]:
        """Return the class and its base classes, nearest first, each once."""
        if cls not in self._lineages:
            self._lineages[cls] = self._lineage(cls)
        return self._lineages[cls]

    def _lineage(self, cls: Class) -> list[Class | External]:
        found: list[Class | External] = []
        todo: list[object] = [cls]
        while todo and len(found) < _MAX_ANCESTORS:
            current = todo.pop(0)
            if not isinstance(current, (External, Class)) or current in found:
                continue
            found.append(current)
            if isinstance(current, Class):
                # `Generic[T]` counts as `Generic`.
                plain = [base.value if isinstance(base, ast.Subscript) else base for base in current.node.bases]
                todo += [self._evaluator.evaluate(base, current.scope) for base in plain]
        return found

    def of_class(self, cls: Class, name: str) -> object:
        """Return the unbound ``cls.name``, own or inherited."""
        lineage = self.lineage(cls)
        for ancestor in lineage:
            if isinstance(ancestor, Class) and name in ancestor.body.names:
                return ancestor.body.names[name]
        # Inherited from an external class: `View.as_view`, which the framework knows.
        outside = next((item for item in lineage if isinstance(item, External)), None)
        if outside is not None and outside.last == "BaseSettings":
            value = self._evaluator.variables.get(name)
            return self._evaluator.variables.get(name.upper()) if value is UNKNOWN else value
        return External(f"{outside.name}.{name}") if outside else UNKNOWN

    def _own_attribute(self, native: Native, name: str) -> object:
        """Look up an attribute that the project's class adds to an object of the framework; else ``UNKNOWN``."""
        cls = native.own_class()
        found = self.of_class(cls, name) if cls is not None else UNKNOWN
        return UNKNOWN if isinstance(found, External) else self._bound(found, native)

    def _is_settings(self, cls: Class) -> bool:
        return any(isinstance(item, External) and item.last == "BaseSettings" for item in self.lineage(cls))

    def _bound(self, found: object, receiver: object) -> object:
        """Bind a method to its receiver, or evaluate a property; return any other value unchanged."""
        if not isinstance(found, Function) or _is_decorated(found, "staticmethod"):
            return found
        method = Function(found.node, found.scope, receiver=receiver)
        is_property = _is_decorated(found, "property") or _is_decorated(found, "cached_property")
        return self._evaluator.call(method) if is_property else method


def _is_decorated(found: object, name: str) -> bool:
    return isinstance(found, Function) and any(
        isinstance(item, ast.Name) and item.id == name for item in found.node.decorator_list
    )


PATHS: Final = frozenset({"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "py.path.local"})


class PathValue(Native):
    """A path inside the project, relative to the project's folder.

    Args:
        path: With ``/`` as separator; empty for the project's folder.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __str__(self) -> str:
        return self._path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathValue) and other._path == self._path

    def __hash__(self) -> int:
        return hash(self._path)

    @classmethod
    def of(cls, value: object) -> object:
        """Convert a string or a path to a path; return ``UNKNOWN`` for anything else."""
        if isinstance(value, PathValue):
            return value
        return cls(value) if isinstance(value, str) else UNKNOWN

    def attribute(self, name: str) -> object:
        """Evaluate ``path.parent``, ``path.stem`` and the like."""
        folder, _, last = self._path.rpartition("/")
        match name:
            case "parent":
                return PathValue(folder)
            case "name":
                return last
            case "stem":
                return last.rpartition(".")[0] or last
            case "suffix":
                return f".{last.rpartition('.')[2]}" if "." in last else ""
            case "parents":
                parts = self._path.split("/")[:-1]
                return [PathValue("/".join(parts[:count])) for count in range(len(parts), -1, -1)]
            case _:
                return UNKNOWN

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``path.resolve()``, ``path.glob(…)`` and the like."""
        files = call.evaluator.sources.names
        match name:
            case "resolve" | "absolute":
                return self
            case "joinpath":
                return call_os_path("os.path.join", [self, *call.arguments])
            case "glob" | "rglob":
                return self._found(files, call.text(0, "pattern"), deep=name == "rglob")
            case "iterdir":
                return self._found(files, "*", deep=False)
            case _:
                return UNKNOWN

    def _found(self, files: Sequence[str], pattern: str, *, deep: bool) -> list[object]:
        start = f"{self._path}/" if self._path else ""
        inside = [name for name in files if name.startswith(start)]
        deep = deep or pattern.startswith("**/")
        pattern = pattern.removeprefix("**/")
        return [
            PathValue(name)
            for name in inside
            if (deep and fnmatch.fnmatchcase(name.rpartition("/")[2], pattern))
            or (
                fnmatch.fnmatchcase(name[len(start) :], pattern) and name[len(start) :].count("/") == pattern.count("/")
            )
        ]


def call_os_path(name: str, arguments: Sequence[object]) -> object:
    """Evaluate ``os.path.dirname(…)``, ``os.listdir(…)`` and the like; results are strings, as in Python."""
    first = str(arguments[0]) if arguments and isinstance(arguments[0], (str, PathValue)) else None
    if first is None:
        return UNKNOWN
    match name:
        case "os.path.dirname":
            return first.rpartition("/")[0]
        case "os.path.basename":
            return first.rpartition("/")[2]
        case "os.path.abspath" | "os.path.realpath" | "os.path.normpath" | "os.fspath":
            return first
        case "os.path.join":
            parts = [str(item) for item in arguments if isinstance(item, (str, PathValue))]
            return "/".join(part for part in parts if part) if len(parts) == len(arguments) else UNKNOWN
        case "os.path.splitext":
            stem, dot, end = first.rpartition(".")
            return [stem, f".{end}"] if dot else [first, ""]
        case _:
            return UNKNOWN
