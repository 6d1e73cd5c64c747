"""Applications, blueprints and groups of blueprints of Sanic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.model import Found
from preview.endpoints.more_python.listing import Style, list_table
from preview.endpoints.more_python.paths import read_angles
from preview.endpoints.more_python.program import Program
from preview.endpoints.more_python.requests import Reads
from preview.endpoints.more_python.tables import (
    VERBS,
    Mount,
    Pending,
    Route,
    Table,
    handlers_of,
    paths_of,
    read_methods,
)
from preview.endpoints.python import UNKNOWN, Call, Class, External, Native, PythonEvaluator

STYLE: Final = Style(read_angles, Reads(frozenset({"args", "query_args"})), exact=False)
_MAX_DEPTH: Final = 10
_MAX_ITEMS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Version:
    """The version of a route or of a blueprint, as written; the prefix is ``/v`` unless given."""

    number: object = None
    prefix: str = "/v"

    def or_else(self, other: _Version) -> _Version:
        """Return this version, completed with the other one."""
        number = other.number if self.number is None else self.number
        return _Version(number, other.prefix if self.prefix == "/v" else self.prefix)

    def put_before(self, path: str) -> str:
        """Return the path with its version."""
        if not isinstance(self.number, (str, int, float)):
            return path
        number = str(self.number).strip("/").lstrip("v")
        return f"{self.prefix}{number}/{path.lstrip('/')}"


@dataclass(eq=False, slots=True)
class _VersionedRoute(Route):
    version: _Version


@dataclass(eq=False, slots=True)
class _Placed(Mount):
    """A registered blueprint; ``prefix`` is its whole prefix."""

    version: _Version


@dataclass(eq=False, slots=True)
class SanicTable(Table):
    """``Sanic("name")`` or ``Blueprint("name")``."""

    version: _Version = field(default_factory=_Version)
    attached: set[int] = field(default_factory=set)

    def attribute(self, name: str) -> object:
        """Evaluate ``blueprint.url_prefix`` or an attribute that the project has set."""
        if name in {"url_prefix", "version"} and name not in self.names:
            return self.prefix if name == "url_prefix" else self.version.number
        return Table.attribute(self, name)

    def call_method(self, name: str, call: Call) -> object:
        """Register a handler, a view or blueprints."""
        if name in VERBS or name in {"route", "add_route"}:
            return self._route(name, call)
        if name == "blueprint":
            self._add(call.argument(0, "blueprint"), call)
        elif name == "group":
            return _group(call)
        elif name == "copy":
            return self._copy(call)
        elif name in {"run", "create_server", "prepare"}:
            self.is_served = True
        return UNKNOWN

    def _route(self, name: str, call: Call) -> object:
        shift = 1 if name == "add_route" else 0
        methods = (name.upper(),) if name in VERBS else read_methods(call.argument(shift + 1, "methods", None), None)
        pending = _Pending(self, call.argument(shift, "uri"), methods, call)
        if name != "add_route":
            return pending
        pending.decorate(call.argument(0, "handler"))
        return UNKNOWN

    def _copy(self, call: Call) -> object:
        prefix = call.named.get("url_prefix", self.prefix)
        found = SanicTable(prefix=prefix if isinstance(prefix, str) else "", items=list(self.items))
        found.version = read_version(call).or_else(self.version)
        return found

    def _add(self, given: object, call: Call) -> None:
        prefix = call.named.get("url_prefix")
        prefix = prefix if isinstance(prefix, str) else None
        version = read_version(call)
        for item in given if isinstance(given, list) else [given]:
            if isinstance(item, Group):
                for child, prefixes, inner in item.flat((prefix or "",), version, 0):
                    call.evaluator.step()
                    whole = "/".join(part.strip("/") for part in prefixes if part.strip("/"))
                    self._place(child, whole and f"/{whole}", inner, call)
            elif isinstance(item, SanicTable):
                self._place(item, item.prefix if prefix is None else prefix, version.or_else(item.version), call)
            else:
                self._place(None, "", version, call)

    def _place(self, child: SanicTable | None, prefix: str | None, version: _Version, call: Call) -> None:
        if child is not self:
            self.items.append(_Placed(child, prefix, call.scope, call.node.lineno, version))


@dataclass(eq=False, slots=True)
class _Pending(Pending):
    """``app.get("/x", version=1)`` before it is applied to its handler."""

    def decorate(self, target: object) -> object:
        """Register the handler."""
        call = self.made
        handlers = handlers_of(target.cls if isinstance(target, _View) else target, self.methods, call.evaluator)
        for path in paths_of(self.path):
            route = _VersionedRoute(path, handlers, call.scope, call.node.lineno, read_version(call))
            self.table.items.append(route)
        return UNKNOWN


@dataclass(eq=False, slots=True)
class _View(Native):
    """``View.as_view()``."""

    cls: Class


@dataclass(eq=False, slots=True)
class Group(Native):
    """``Blueprint.group(a, b, url_prefix="/api")``."""

    members: list[object]
    prefix: str
    version: _Version

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``group.append(blueprint)`` and the like."""
        if len(self.members) < _MAX_ITEMS:
            if name in {"append", "insert"}:
                self.members.append(call.arguments[-1] if call.arguments else UNKNOWN)
            elif name == "extend" and isinstance(more := call.argument(0, "values"), list):
                self.members += more[:_MAX_ITEMS]
        return UNKNOWN

    def elements(self) -> list[object]:
        """Return the members of ``for blueprint in group``."""
        return list(self.members)

    def flat(
        self, prefixes: tuple[str, ...], version: _Version, depth: int
    ) -> Iterator[tuple[SanicTable | None, tuple[str, ...], _Version]]:
        """Yield each blueprint with the prefixes before its routes; None for one that is not known.

        ``version`` is the one from outside (an outer group's, the registration's): it is stronger than a member's
        own. This group's is for a member without one.
        """
        below, inner = (*prefixes, self.prefix), self.version.or_else(version)
        for item in list(self.members):
            if not isinstance(item, (Group, SanicTable)):
                yield None, below, inner
                continue
            number = (inner if item.version.number is None else version).number
            outer = _Version(number, (inner if item.version.prefix == "/v" else version).prefix)
            if isinstance(item, SanicTable):
                yield item, (*below, item.prefix or ""), outer.or_else(item.version)
            elif depth + 1 < _MAX_DEPTH:
                yield from item.flat(below, outer, depth + 1)
            else:
                yield None, below, outer


def read_version(call: Call) -> _Version:
    """Return the version that a call gives."""
    prefix = call.named.get("version_prefix")
    return _Version(call.named.get("version"), prefix if isinstance(prefix, str) else "/v")


def _group(call: Call) -> Group:
    members: list[object] = []
    for item in call.arguments:
        members += item if isinstance(item, list) else [item]
    prefix = call.named.get("url_prefix")
    return Group(members, prefix if isinstance(prefix, str) else "", read_version(call))


def list_sanic(app: Table, evaluator: PythonEvaluator, found: Found) -> None:
    """Add all endpoints of an application."""
    _attach(evaluator)
    whole = Table(is_app=True)
    _collect(app, "", _Version(), whole, 0, evaluator)
    list_table(whole, evaluator, found, STYLE)


def _collect(
    table: Table, prefix: str, version: _Version, whole: Table, depth: int, evaluator: PythonEvaluator
) -> None:
    """Add a table's routes with their whole paths: the version comes before the blueprint's prefix."""
    for item in table.items if depth < _MAX_DEPTH else ():
        evaluator.step()
        if isinstance(item, _VersionedRoute):
            path = None if item.path is None else item.version.or_else(version).put_before(_joined(prefix, item.path))
            whole.items.append(Route(path, item.handlers, item.scope, item.line))
        elif isinstance(item, _Placed) and item.child is not None and item.prefix is not None:
            _collect(item.child, item.prefix, item.version, whole, depth + 1, evaluator)
        else:
            whole.items.append(item)


def _joined(prefix: str, path: str) -> str:
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}" if prefix else path


def _attach(evaluator: PythonEvaluator) -> None:
    """Register the classes that name their application: ``class Users(HTTPMethodView, attach=app, uri="/users")``."""
    for module in evaluator.modules:
        for cls in [item for item in module.scope.names.values() if isinstance(item, Class) and item.node.keywords]:
            named = {item.arg: evaluator.evaluate(item.value, cls.scope) for item in cls.node.keywords if item.arg}
            owner = named.get("attach")
            if isinstance(owner, SanicTable) and id(cls) not in owner.attached:
                owner.attached.add(id(cls))
                uri, prefix = named.get("uri", ""), named.get("version_prefix")
                version = _Version(named.get("version"), prefix if isinstance(prefix, str) else "/v")
                handlers = handlers_of(cls, read_methods(named.get("methods"), None), evaluator)
                path = uri if isinstance(uri, str) else None
                owner.items.append(_VersionedRoute(path, handlers, cls.scope, cls.node.lineno, version))


class SanicFramework(Program):
    """Defines the effects of Sanic's names for the evaluator."""

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application or a blueprint."""
        return value.package == "sanic" and value.last in {"Sanic", "Blueprint"}

    def construct(self, callee: External, call: Call) -> object:
        """Return an application, a blueprint, a group or a view."""
        last = callee.last
        if last == "as_view" or last == "attach":
            return self._view(last, call)
        if callee.package != "sanic":
            return self.environment(callee, call)
        if last == "Blueprint":
            prefix = call.argument(1, "url_prefix", "")
            prefix = "" if prefix is None else prefix
            return SanicTable(prefix=prefix if isinstance(prefix, str) else None, version=read_version(call))
        if last in {"group", "BlueprintGroup"}:
            return _group(call)
        if last == "get_app":
            return self.made[0] if self.made else UNKNOWN
        return self.keep(SanicTable(is_app=True)) if last == "Sanic" else UNKNOWN

    def _view(self, last: str, call: Call) -> object:
        func = call.node.func
        owner = call.evaluator.evaluate(getattr(func, "value", None), call.scope)
        if not isinstance(owner, Class):
            return UNKNOWN
        table = call.argument(0, "to")
        if last == "attach" and isinstance(table, SanicTable):
            methods = read_methods(call.argument(2, "methods", None), None)
            _Pending(table, call.argument(1, "uri"), methods, call).decorate(owner)
        return _View(owner)
