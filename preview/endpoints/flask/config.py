"""``app.config``, as far as a project's own files fill it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from preview.endpoints.python import UNKNOWN, Call, Class, Instance, Interpreter, Module, Native

_MAX_KEYS = 2_000


@dataclass(eq=False, slots=True)
class Config(Native):
    """An application's configuration.

    Attributes:
        values: What is set key by key.
        objects: Classes and modules that it is filled from, the last one first.
        complete: False once it is filled from what cannot be read here.
    """

    values: dict[object, object] = field(default_factory=lambda: {"DEBUG": False, "TESTING": False})
    objects: list[object] = field(default_factory=list)
    complete: bool = True

    def item(self, key: object) -> object:
        """``config["KEY"]``."""
        return self.values.get(key, UNKNOWN) if isinstance(key, str) else UNKNOWN

    def set_item(self, key: object, value: object) -> None:
        """``config["KEY"] = value``."""
        if isinstance(key, str) and len(self.values) < _MAX_KEYS:
            self.values[key] = value

    def call_method(self, name: str, call: Call) -> object:
        """``config.from_object(…)`` and its like."""
        match name:
            case "get" | "pop" | "setdefault":
                key = call.argument(0, "key")
                missing = call.argument(1, "default", None)
                found = self.values.get(key, UNKNOWN) if isinstance(key, str) else UNKNOWN
                return missing if found is UNKNOWN and (self.complete or missing is not None) else found
            case "from_object":
                self._fill(call.argument(0, "obj"), call.interpreter)
            case "from_mapping" | "update":
                given = call.argument(0, "mapping", {})
                self._set(given if isinstance(given, dict) else {})
                self._set(call.named)
            case "from_pyfile":
                self._fill(_file(call.argument(0, "filename"), call), call.interpreter)
            case _:
                self.complete = False
        return UNKNOWN

    def _set(self, values: Mapping[object, object] | Mapping[str, object]) -> None:
        for key, value in values.items():
            self.set_item(key, value)

    def _fill(self, source: object, interpreter: Interpreter) -> None:
        if isinstance(source, str):
            source = _imported(source, interpreter)
        if isinstance(source, Module):
            self._set({key: value for key, value in source.scope.names.items() if key.isupper()})
        elif isinstance(source, (Class, Instance)):
            cls = source.cls if isinstance(source, Instance) else source
            for ancestor in reversed(interpreter.lineage(cls)):
                names = ancestor.body.names if isinstance(ancestor, Class) else {}
                self._set({key: value for key, value in names.items() if key.isupper()})
            if isinstance(source, Instance):
                self._set({key: value for key, value in source.names.items() if key.isupper()})
        else:
            self.complete = False


def _imported(name: str, interpreter: Interpreter) -> object:
    """``"config.Development"``: a module, or a name in one."""
    found = interpreter.module(name)
    if found is not None:
        return found
    module, _, last = name.replace(":", ".").rpartition(".")
    owner = interpreter.module(module) if module else None
    return interpreter.attribute(owner, last) if owner is not None else UNKNOWN


def _file(name: object, call: Call) -> object:
    """A file of the project, from the folder of the module that asks or one above it."""
    if not isinstance(name, str) or not name.endswith((".py", ".cfg")):
        return UNKNOWN
    files = call.interpreter.sources
    folder = call.scope.file.rpartition("/")[0]
    while True:
        path = f"{folder}/{name}" if folder else name
        if name.endswith(".py") and files.has_file(path):
            return call.interpreter.load(path)
        if not folder:
            return UNKNOWN
        folder = folder.rpartition("/")[0]
