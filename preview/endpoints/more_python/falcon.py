"""Applications and resources of Falcon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from preview.endpoints.more_python.listing import Style
from preview.endpoints.more_python.paths import read_braces
from preview.endpoints.more_python.program import Program
from preview.endpoints.more_python.requests import Reads
from preview.endpoints.more_python.tables import ANY, Handlers, Route, Table, class_handlers
from preview.endpoints.python import UNKNOWN, Call, Class, External, Function, Instance, Native

_GETTERS: Final = ("", "_as_int", "_as_bool", "_as_list", "_as_float", "_as_date", "_as_datetime", "_as_uuid")
STYLE: Final = Style(read_braces, Reads(frozenset({"params"}), frozenset(f"get_param{end}" for end in _GETTERS)))


@dataclass(eq=False, slots=True)
class FalconTable(Table):
    """``falcon.App()``.

    Attributes:
        is_asgi: Whether it is ``falcon.asgi.App()``.
    """

    is_asgi: bool = False

    def call_method(self, name: str, call: Call) -> object:
        """Register a resource or a sink."""
        if name == "add_route":
            path = call.argument(0, "uri_template")
            handlers = _handlers(call.argument(1, "resource"), call.named.get("suffix"), call)
            known = path if isinstance(path, str) else None
            self.items.append(Route(known, handlers, call.scope, call.node.lineno))
        elif name == "add_sink":
            sink = call.argument(0, "sink")
            handlers = {ANY: sink if isinstance(sink, Function) else None}
            path = call.argument(1, "prefix", "/")
            known = path if isinstance(path, str) else None
            self.items.append(Route(known, handlers, call.scope, call.node.lineno))
        return UNKNOWN


def _handlers(resource: object, suffix: object, call: Call) -> Handlers | None:
    if not isinstance(resource, (Class, Instance)) or suffix is UNKNOWN:
        return None
    return class_handlers(
        resource, call.evaluator, f"on_{{}}_{suffix}" if isinstance(suffix, str) and suffix else "on_{}"
    )


class FalconFramework(Program):
    """Defines the effects of Falcon's names for the evaluator."""

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application."""
        return value.package == "falcon" and value.last in {"App", "API"}

    def construct(self, callee: External, call: Call) -> object:
        """Return an application; for a middleware or a server, note or return the application in it."""
        if self.is_constructor(callee):
            return self.keep(FalconTable(is_app=True, is_asgi="asgi" in callee.name))
        if callee.last in {"make_server", "serve", "run"}:
            for value in (*call.arguments, *call.named.values()):
                self.serve(value)
            return UNKNOWN
        return self.environment(callee, call)


def identify(app: Native) -> tuple[str, str]:
    """Return the name and title of an application: its server depends on its class."""
    return ("falcon-asgi" if isinstance(app, FalconTable) and app.is_asgi else "falcon"), "Falcon"
