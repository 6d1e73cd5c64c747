"""Applications and URL specifications of Tornado."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from preview.endpoints.more_python.listing import Style
from preview.endpoints.more_python.paths import read_expression
from preview.endpoints.more_python.program import Program
from preview.endpoints.more_python.requests import Reads
from preview.endpoints.more_python.tables import Handlers, Route, Table, class_handlers
from preview.endpoints.python import UNKNOWN, Call, Class, External, Native

_ARGUMENTS: Final = frozenset({"get_argument", "get_query_argument", "get_arguments", "get_query_arguments"})
STYLE: Final = Style(read_expression, Reads(methods=_ARGUMENTS))
# Tornado's own handlers: files are no endpoints.
_FILES: Final = frozenset({"StaticFileHandler"})
_OWN: Final = {"RedirectHandler": ("GET",), "FallbackHandler": ("*",)}


@dataclass(eq=False, slots=True)
class _Spec(Native):
    """``url(r"/x", Handler)``, ``URLSpec(…)`` or ``Rule(PathMatches(…), Handler)``."""

    parts: list[object]


@dataclass(eq=False, slots=True)
class TornadoTable(Table):
    """``tornado.web.Application([…])``."""

    def call_method(self, name: str, call: Call) -> object:
        """Register handlers, or note that the application is served."""
        if name == "__init__":
            self.add_all(call.argument(0, "handlers", []), call)
        elif name == "add_handlers":
            self.add_all(call.argument(1, "host_handlers"), call)
        elif name == "listen":
            self.is_served = True
        return UNKNOWN

    def add_all(self, rules: object, call: Call) -> None:
        """Register a list of URL specifications."""
        if rules is None or not call.evaluator.enter():
            return
        try:
            self._add_each(list(rules) if isinstance(rules, list) else [UNKNOWN], call)
        finally:
            call.evaluator.leave()

    def _add_each(self, rules: list[object], call: Call) -> None:
        for rule in rules:
            call.evaluator.step()
            parts = rule.parts if isinstance(rule, _Spec) else rule
            if isinstance(parts, list) and len(parts) > 1:
                self._add(parts[0], parts[1], call)
            else:
                self.mount(UNKNOWN, "", call)

    def _add(self, pattern: object, target: object, call: Call) -> None:
        path = pattern if isinstance(pattern, str) else None
        if isinstance(target, str):
            target = _imported(target, call)
        if isinstance(target, External) and target.last in _FILES:
            return
        # Rules within rules match the whole path too.
        if isinstance(target, list):
            self.add_all(target, call)
        elif isinstance(target, Table):
            self.mount(target, "", call)
        else:
            self.items.append(Route(path, _handlers(target, call), call.scope, call.node.lineno))


def _handlers(target: object, call: Call) -> Handlers | None:
    if isinstance(target, Class):
        # A class without such methods serves no requests of its own: a WebSocket.
        return class_handlers(target, call.evaluator, "{}")
    own = _OWN.get(target.last) if isinstance(target, External) else None
    return dict.fromkeys(own) if own else None


def _imported(name: str, call: Call) -> object:
    """Return the class that ``"app.handlers.Main"`` names."""
    module, _, last = name.rpartition(".")
    owner = call.evaluator.module(module) if module else None
    return call.evaluator.attribute(owner, last) if owner is not None else UNKNOWN


class TornadoFramework(Program):
    """Defines the effects of Tornado's names for the evaluator."""

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application."""
        return value.package == "tornado" and value.last == "Application"

    def construct(self, callee: External, call: Call) -> object:
        """Return an application or a URL specification."""
        last = callee.last
        if callee.package != "tornado":
            return self.environment(callee, call)
        if self.is_constructor(callee):
            table = TornadoTable(is_app=True)
            rules = call.argument(0, "handlers", None)
            # A subclass passes its handlers to `super().__init__`; the arguments here are its own.
            is_subclass = isinstance(call.evaluator.evaluate(call.node.func, call.scope), Class)
            if not is_subclass:
                table.add_all(rules, call)
            return self.keep(table)
        if callee.name.endswith("Application.__init__"):
            table_given = call.argument(0, "self")
            if isinstance(table_given, TornadoTable):
                table_given.add_all(call.argument(1, "handlers", None), call)
            return UNKNOWN
        if last in {"url", "URLSpec", "Rule"}:
            names = ("matcher", "target") if last == "Rule" else ("pattern", "handler")
            return _Spec([call.argument(0, names[0]), call.argument(1, names[1])])
        if last == "PathMatches":
            return call.argument(0, "path_pattern")
        if last == "HTTPServer":
            return self.serve(call.argument(0, "request_callback"))
        return UNKNOWN
