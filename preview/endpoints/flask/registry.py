"""Applications and blueprints, and the rules registered on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from preview.endpoints.flask.described import ClassView, wrapped_view
from preview.endpoints.model import SOCKET
from preview.endpoints.python import (
    UNKNOWN,
    Call,
    Class,
    Extensible,
    Function,
    Instance,
    Module,
    Native,
    PythonEvaluator,
    Scope,
    Unread,
)

if TYPE_CHECKING:
    from preview.endpoints.flask.resources import RestApi


_MAX_KEYS = 2_000
_UNREAD_PREFIX = "the prefix of a blueprint is not known from the source, so its paths are incomplete here"


@dataclass(eq=False, slots=True)
class Config(Native):
    """An application's configuration.

    Attributes:
        values: Values that were set key by key.
        objects: Classes and modules that the configuration was loaded from, the last one first.
        complete: False once the configuration was loaded from a source that cannot be read here.
    """

    values: dict[object, object] = field(default_factory=lambda: {"DEBUG": False, "TESTING": False})
    objects: list[object] = field(default_factory=list)
    complete: bool = True

    def item(self, key: object) -> object:
        """Evaluate ``config["KEY"]``."""
        return self.values.get(key, UNKNOWN) if isinstance(key, str) else UNKNOWN

    def set_item(self, key: object, value: object) -> None:
        """Execute ``config["KEY"] = value``."""
        if isinstance(key, str) and len(self.values) < _MAX_KEYS:
            self.values[key] = value

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``config.from_object(…)`` and the like."""
        match name:
            case "get" | "pop" | "setdefault":
                key = call.argument(0, "key")
                missing = call.argument(1, "default", None)
                found = self.values.get(key, UNKNOWN) if isinstance(key, str) else UNKNOWN
                return missing if found is UNKNOWN and (self.complete or missing is not None) else found
            case "from_object":
                self._fill(call.argument(0, "obj"), call.evaluator)
            case "from_mapping" | "update":
                given = call.argument(0, "mapping", {})
                self._set(given if isinstance(given, dict) else {})
                self._set(call.named)
            case "from_pyfile":
                self._fill(_file(call.argument(0, "filename"), call), call.evaluator)
            case _:
                self.complete = False
        return UNKNOWN

    def _set(self, values: Mapping[object, object] | Mapping[str, object]) -> None:
        for key, value in values.items():
            self.set_item(key, value)

    def _fill(self, source: object, evaluator: PythonEvaluator) -> None:
        if isinstance(source, str):
            source = _imported(source, evaluator)
        if isinstance(source, Module):
            self._set({key: value for key, value in source.scope.names.items() if key.isupper()})
        elif isinstance(source, (Class, Instance)):
            cls = source.cls if isinstance(source, Instance) else source
            for ancestor in reversed(evaluator.lineage(cls)):
                names = ancestor.body.names if isinstance(ancestor, Class) else {}
                self._set({key: value for key, value in names.items() if key.isupper()})
            if isinstance(source, Instance):
                self._set({key: value for key, value in source.names.items() if key.isupper()})
        else:
            self.complete = False


def _imported(name: str, evaluator: PythonEvaluator) -> object:
    """Return the module or the name in a module that ``"config.Development"`` names."""
    found = evaluator.module(name)
    if found is not None:
        return found
    module, _, last = name.replace(":", ".").rpartition(".")
    owner = evaluator.module(module) if module else None
    return evaluator.attribute(owner, last) if owner is not None else UNKNOWN


def _file(name: object, call: Call) -> object:
    """Return the project's module in a file, searched from the calling module's folder upwards."""
    if not isinstance(name, str) or not name.endswith((".py", ".cfg")):
        return UNKNOWN
    files = call.evaluator.sources
    folder = call.scope.file.rpartition("/")[0]
    while True:
        path = f"{folder}/{name}" if folder else name
        if name.endswith(".py") and files.has_file(path):
            return call.evaluator.load(path)
        if not folder:
            return UNKNOWN
        folder = folder.rpartition("/")[0]


_VERBS = frozenset({"get", "post", "put", "patch", "delete"})


@dataclass(eq=False, slots=True)
class Rule:
    """A rule as registered; its path lacks the blueprint's prefix.

    Attributes:
        path: As written, ``/users/<int:id>``.
        methods: In upper case; None if the view decides.
        view: A function or a class; ``UNKNOWN`` if it could not be followed.
        tags: Tags in addition to the blueprint's name.
    """

    path: str
    methods: tuple[str, ...] | None
    view: object
    values: dict[str, object]
    scope: Scope
    line: int
    tags: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Registration:
    """A blueprint on an application or within a blueprint; with ``prefix`` None the blueprint's own prefix applies."""

    child: Registry
    prefix: str | None


@dataclass(eq=False, slots=True)
class Registry(Extensible):
    """``Flask(…)``, ``Blueprint(…)`` and the like. ``entries`` are in the order of registration."""

    is_app: bool
    name: str
    prefix: str | None = None
    tags: tuple[str, ...] = ()
    entries: list[Rule | Registration | RestApi | Unread] = field(default_factory=list)
    config: Config = field(default_factory=Config)
    names: dict[str, object] = field(default_factory=dict)

    def attribute(self, name: str) -> object:
        """Evaluate ``app.config``, ``blueprint.name`` or an attribute set by the project."""
        if name in self.names:
            return self.names[name]
        match name:
            case "config":
                return self.config
            case "debug" | "testing":
                return self.config.item(name.upper())
            case "name":
                return self.name
            case "url_prefix":
                return self.prefix
            case _:
                return UNKNOWN

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``app.x = value``."""
        if name == "url_prefix":
            self.prefix = value if isinstance(value, str) else self.prefix
        else:
            self.names[name] = value

    def call_method(self, name: str, call: Call) -> object:
        """Register a rule or a blueprint."""
        if name in _VERBS or name == "route":
            return self._pending(name, call)
        if name == "websocket":
            return self._pending(name, call)
        if name == "add_url_rule":
            self._add(call)
        elif name in {"register_blueprint", "register_api", "register_api_view"}:
            self._register(call)
        elif name == "__init__":
            self.set_attribute("url_prefix", call.named.get("url_prefix"))
        elif name in {"test_request_context", "app_context"}:
            return self
        return UNKNOWN

    def _pending(self, name: str, call: Call) -> object:
        path = call.argument(0, "rule")
        if call.named.get("build_only") is True or call.named.get("websocket") is True:
            return UNKNOWN
        if not isinstance(path, str):
            return self._miss("the path of a route", call)
        methods = (name.upper(),) if name in _VERBS else read_methods(call.named.get("methods"))
        if name == "websocket":
            methods = (SOCKET,)
        return Pending(self, Rule(path, methods, UNKNOWN, call.named, call.scope, call.node.lineno))

    def _add(self, call: Call) -> None:
        path = call.argument(0, "rule")
        node = call.node.args[2] if len(call.node.args) > 2 else None
        node = next((item.value for item in call.node.keywords if item.arg == "view_func"), node)
        view = call.argument(2, "view_func")
        if not isinstance(view, (ClassView, Function)):
            view = wrapped_view(node, call)
        if not isinstance(path, str):
            self._miss("the path of a route", call)
        elif call.named.get("build_only") is not True:
            methods = read_methods(call.named.get("methods"))
            self.entries.append(Rule(path, methods, view, call.named, call.scope, call.node.lineno))

    def _register(self, call: Call) -> None:
        child = call.argument(0, "blueprint")
        if isinstance(child, Module):
            child = next((item for item in child.scope.names.values() if isinstance(item, Registry)), UNKNOWN)
        if isinstance(child, Registry) and child is not self and not child.is_app:
            prefix = call.named.get("url_prefix")
            if prefix is UNKNOWN:
                self.entries.append(call.unread(_UNREAD_PREFIX))
            self.entries.append(Registration(child, prefix if isinstance(prefix, str) else None))
        elif not isinstance(child, Registry):
            self._miss("a blueprint", call)

    def _miss(self, what: str, call: Call) -> object:
        """Note that something is registered that is not known from the source."""
        self.entries.append(call.unread(f"{what} is not known from the source"))
        return UNKNOWN


@dataclass(eq=False, slots=True)
class Pending(Native):
    """``app.route("/x")`` before it is applied to its view."""

    registry: Registry
    rule: Rule

    def call(self, call: Call) -> object:
        """Evaluate ``app.route("/x")(view)``."""
        view = call.argument(0, "f")
        if not isinstance(view, (Function, Class, ClassView)):
            view = wrapped_view(call.node.args[0] if call.node.args else None, call)
        return self.decorate(view)

    def decorate(self, target: object) -> object:
        """Register the view; a class counts as its ``as_view``."""
        # One `app.route(…)` kept under a name may serve several views.
        view = ClassView(target) if isinstance(target, Class) else target
        self.registry.entries.append(replace(self.rule, view=view))
        return UNKNOWN


def read_methods(value: object) -> tuple[str, ...] | None:
    """Return the methods in ``methods=[…]`` in upper case; None if not given."""
    if isinstance(value, str):
        return (value.upper(),)
    found = [item.upper() for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return tuple(found) or None
