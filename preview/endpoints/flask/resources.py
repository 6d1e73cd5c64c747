"""Flask-RESTful, Flask-RESTX and Flask-Smorest: an ``Api`` with resources, namespaces or blueprints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from preview.endpoints.flask.described import ClassView, make_described
from preview.endpoints.flask.registry import Registration, Registry, Rule
from preview.endpoints.python import UNKNOWN, Call, Class, Extensible, Native, Unread


@dataclass(eq=False, slots=True)
class Resources(Native):
    """``@api.route("/a", "/b")`` before it is applied to its class."""

    owner: Namespace
    urls: list[str]
    call_made: Call

    def decorate(self, target: object) -> object:
        """Register the class."""
        if isinstance(target, Class):
            self.owner.add(target, self.urls, self.call_made)
        return UNKNOWN

    def call(self, call: Call) -> object:
        """Evaluate ``api.route("/x")(Resource)``."""
        return self.decorate(call.argument(0, "cls"))


@dataclass(eq=False, slots=True)
class Namespace(Native):
    """``Namespace("name", path="/x")``.

    Attributes:
        name: The tag of its operations.
        path: The prefix of each of its URLs.
    """

    name: str
    path: str
    rules: list[Rule] = field(default_factory=list)

    def add(self, cls: Class, urls: list[str], call: Call) -> None:
        """Register a class under several URLs."""
        tags = (self.name,) if self.name else ()
        for url in urls:
            self.rules.append(Rule(url, None, ClassView(cls), call.named, call.scope, call.node.lineno, tags))

    def attribute(self, name: str) -> object:
        """Evaluate ``namespace.name`` and ``namespace.path``."""
        return {"name": self.name, "path": self.path}.get(name, UNKNOWN)

    def call_method(self, name: str, call: Call) -> object:
        """Register a resource, or make a model or parser."""
        if name == "route" or name == "resource":
            urls = [item for item in call.arguments if isinstance(item, str)]
            return Resources(self, urls, call)
        if name == "add_resource":
            cls = call.argument(0, "resource")
            if isinstance(cls, Class):
                self.add(cls, [item for item in call.arguments[1:] if isinstance(item, str)], call)
            return UNKNOWN
        return make_described(name, call)


@dataclass(eq=False, slots=True)
class _Api(Extensible):
    """An ``Api`` object of any of these packages.

    Attributes:
        owners: Applications and blueprints that the API is registered on.
    """

    owners: list[Registry] = field(default_factory=list, kw_only=True)

    def bind(self, owner: object) -> None:
        """Register the API on an application or a blueprint."""
        if isinstance(owner, Registry) and owner not in self.owners:
            self.owners.append(owner)
            owner.entries += self.entries()

    def entries(self) -> list[Rule | Registration | RestApi | Unread]:
        """Return the entries that the API adds to its application or blueprint."""
        raise NotImplementedError


@dataclass(eq=False, slots=True)
class RestApi(_Api):
    """``Api(app, prefix="/api")`` of Flask-RESTful or Flask-RESTX.

    Attributes:
        prefix: Follows the blueprint's prefix.
        own: Rules registered directly on the API.
        mounts: Namespaces, with the path that replaces the namespace's own.
    """

    prefix: str
    own: Namespace = field(default_factory=lambda: Namespace("", ""))
    mounts: list[tuple[Namespace, str | None]] = field(default_factory=list)

    def entries(self) -> list[Rule | Registration | RestApi | Unread]:
        """Return the API itself."""
        return [self]

    def call_method(self, name: str, call: Call) -> object:
        """Register a namespace or a resource, or the API on an application."""
        match name:
            case "init_app":
                prefix = call.named.get("prefix")
                self.prefix = prefix if isinstance(prefix, str) else self.prefix
                self.bind(call.argument(0, "app"))
            case "namespace":
                created = make_namespace(call)
                self.mounts.append((created, None))
                return created
            case "add_namespace":
                child = call.argument(0, "ns")
                path = call.argument(1, "path", None)
                if isinstance(child, Namespace):
                    self.mounts.append((child, path if isinstance(path, str) else None))
            case "__init__":
                self.bind(call.argument(0, "app"))
            case _:
                return self.own.call_method(name, call)
        return UNKNOWN

    def rules(self) -> Iterator[Rule]:
        """Yield all rules, with all prefixes except the blueprint's."""
        for rule in self.own.rules:
            yield replace(rule, path=self.prefix + rule.path)
        for namespace, path in self.mounts:
            prefix = self.prefix + (namespace.path if path is None else path)
            for rule in namespace.rules:
                yield replace(rule, path=prefix + rule.path)


def make_namespace(call: Call) -> Namespace:
    """Evaluate ``Namespace(name, description, path)``; the default path is the name."""
    name = call.text(0, "name")
    path = call.argument(2, "path", None)
    return Namespace(name, path.rstrip("/") if isinstance(path, str) else f"/{name}".rstrip("/"))


@dataclass(eq=False, slots=True)
class SmorestApi(_Api):
    """Flask-Smorest's ``Api``: passes its blueprints to its applications, in whichever order both are registered."""

    registrations: list[Registration] = field(default_factory=list)

    def entries(self) -> list[Rule | Registration | RestApi | Unread]:
        """Return the entries registered on the API so far."""
        return [*self.registrations]

    def call_method(self, name: str, call: Call) -> object:
        """Register a blueprint, or the API on an application."""
        if name in {"init_app", "__init__"}:
            self.bind(call.argument(0, "app"))
        elif name == "register_blueprint":
            child, prefix = call.argument(0, "blp"), call.named.get("url_prefix")
            if isinstance(child, Registry) and not child.is_app:
                registration = Registration(child, prefix if isinstance(prefix, str) else None)
                self.registrations.append(registration)
                for owner in self.owners:
                    owner.entries.append(registration)
        return UNKNOWN
