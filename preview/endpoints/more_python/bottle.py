"""Applications of Bottle, and the default one that its module-level functions register on."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from preview.endpoints.more_python.listing import Style
from preview.endpoints.more_python.paths import read_angles_or_colons
from preview.endpoints.more_python.program import Program
from preview.endpoints.more_python.requests import Reads
from preview.endpoints.more_python.tables import VERBS, Pending, Table, read_methods
from preview.endpoints.python import UNKNOWN, Call, External, Function

STYLE: Final = Style(read_angles_or_colons, Reads(frozenset({"query", "params"})))
_STARRED: Final = ("Bottle", "default_app", "run", "route", "get", "post", "put", "delete", "patch", "mount", "request")


@dataclass(eq=False, slots=True)
class BottleTable(Table):
    """``Bottle()``."""

    def call_method(self, name: str, call: Call) -> object:
        """Register a handler or another application."""
        if name in VERBS or name == "route":
            return self._route(name, call)
        if name == "mount":
            prefix, child = call.argument(0, "prefix"), call.argument(1, "app")
            # The first versions took the application first.
            prefix, child = (child, prefix) if isinstance(prefix, Table) else (prefix, child)
            self.mount(child, prefix, call)
        elif name == "merge":
            self.mount(call.argument(0, "routes"), "", call)
        elif name in {"run", "listen"}:
            self.is_served = True
        return UNKNOWN

    def _route(self, name: str, call: Call) -> object:
        path = call.argument(0, "path", None)
        named = call.argument(1, "method", "GET")
        methods = (name.upper(),) if name in VERBS else read_methods(named, ("GET",))
        callback = call.argument(2, "callback", None) if name == "route" else call.named.get("callback")
        if callback is not None:
            self.add(path, methods, callback, call)
            return UNKNOWN
        return _Named(self, path, methods, call) if path is None else Pending(self, path, methods, call)


@dataclass(eq=False, slots=True)
class _Named(Pending):
    """``@route()``: the path is the function's name and its arguments."""

    def decorate(self, target: object) -> object:
        """Register the function."""
        if isinstance(target, Function):
            for path in _paths(target.node):
                self.table.add(path, self.methods, target, self.made)
        return UNKNOWN


def _paths(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    names = [item.arg for item in (*node.args.posonlyargs, *node.args.args)]
    least = len(names) - len(node.args.defaults)
    start = "/" + node.name.replace("__", "/").lstrip("/")
    return [start + "".join(f"/<{name}>" for name in names[:count]) for count in range(least, len(names) + 1)]


class BottleFramework(Program):
    """Defines the effects of Bottle's names for the evaluator."""

    def __init__(self) -> None:
        super().__init__()
        self._own = self.default = BottleTable(is_app=True)

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application."""
        return value.package == "bottle" and value.last == "Bottle"

    def construct(self, callee: External, call: Call) -> object:
        """Return an application, or register on the default one."""
        last = callee.last
        if callee.package != "bottle":
            return self.environment(callee, call)
        if self.is_constructor(callee):
            return self.keep(BottleTable(is_app=True))
        if last in {"default_app", "app"}:
            return self._own
        if last == "run":
            return self.serve(call.argument(0, "app", self._own))
        if last in VERBS or last in {"route", "mount"}:
            return self._own.call_method(last, call)
        return UNKNOWN

    def starred(self, module: str) -> Sequence[str]:
        """Return the names that ``from bottle import *`` binds."""
        return _STARRED if module == "bottle" else ()
