"""``consign`` and its kind: every file of a folder is required and gets the application."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from preview.endpoints.javascript import ROOT, Call, Function, Interpreter, JSObject, Native

_MAX_FILES = 300


@dataclass(eq=False, slots=True)
class Consign(Native):
    """``consign({cwd: 'src'}).include('models').then('routes').into(app)``.

    Attributes:
        base: The folder that names count from.
        names: Folders and files, in order.
    """

    base: str
    names: list[str] = field(default_factory=list)

    def call_method(self, name: str, call: Call) -> object:
        """Naming folders; ``into`` carries it out."""
        given = call.argument(0)
        if name in {"include", "then", "load"} and isinstance(given, str):
            self.names.append(given)
        elif name == "into":
            for file in self._files(call.interpreter):
                exports = call.interpreter.settle(call.interpreter.load(file).exports)
                if isinstance(exports, JSObject):
                    exports = call.interpreter.settle(exports.names.get("default"))
                if isinstance(exports, Function):
                    call.interpreter.call(exports, call.arguments)
        return self

    def _files(self, interpreter: Interpreter) -> list[str]:
        found: list[str] = []
        names = [name for name in interpreter.sources.with_suffix(".js", ".ts") if not name.endswith(".d.ts")]
        for given in self.names:
            path = posixpath.normpath(posixpath.join(interpreter.resolver.folder, self.base, given))
            found += sorted(name for name in names if name == path or name.startswith(f"{path}/"))
        return list(dict.fromkeys(found))[:_MAX_FILES]


def from_options(options: object) -> Consign:
    """``consign({cwd})``; the folder of the package where none is given."""
    base = options.names.get("cwd") if isinstance(options, JSObject) else None
    return Consign(base.removeprefix(ROOT).lstrip("/") if isinstance(base, str) else ".")
