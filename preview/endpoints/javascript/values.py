"""Values for reading JavaScript without running it. ``None`` is ``null`` and ``undefined``."""

from __future__ import annotations

from dataclasses import dataclass, field

from tree_sitter import Node

from preview.endpoints.javascript.syntax import text
from preview.endpoints.names import UNKNOWN, Names


@dataclass(eq=False, slots=True)
class Scope(Names):
    """Names of a module, a block or one call of a function; ``this`` is a name too.

    Attributes:
        is_block: Whether this is a block within a function's scope; ``var`` and ``return`` belong to that function.
    """

    parent: Scope | None = None
    is_block: bool = False

    def assign(self, name: str, value: object) -> None:
        """Execute ``name = value`` in the scope that declares the name; an undeclared name becomes the module's."""
        scope = self
        while name not in scope.names and scope.parent is not None:
            scope = scope.parent
        scope.names[name] = value

    def function(self) -> Scope:
        """Return the scope of the surrounding function or module."""
        scope = self
        while scope.is_block and scope.parent is not None:
            scope = scope.parent
        return scope


@dataclass(eq=False, slots=True)
class JSObject:
    """An object: a literal, the exports of a module, an instance of a class (``cls``).

    Attributes:
        cls: The class or function that constructed the object.
        native: The framework's object that the class inherits from; None for most objects.
    """

    names: dict[str, object] = field(default_factory=dict)
    cls: Class | Function | None = None
    native: object = None


@dataclass(eq=False, slots=True)
class Module:
    """A module of the project; during an import cycle some of its names may still be missing.

    Attributes:
        holder: The object ``module``, whose ``exports`` may be replaced.
        is_esm: Whether the module has ``import`` or ``export`` statements.
    """

    file: str
    scope: Scope
    holder: JSObject
    is_esm: bool = False

    @property
    def exports(self) -> object:
        """``module.exports``."""
        return self.holder.names.get("exports", UNKNOWN)


@dataclass(eq=False, slots=True)
class Binding:
    """A name of another module or scope. Lookup happens on use, so that import cycles work."""

    origin: Module | Scope
    name: str


@dataclass(eq=False, slots=True)
class Made:
    """Result of an external call: an unknown value with a known origin.

    Attributes:
        name: Full name of the called function (``joi.string``), or only the method's name (``required``).
        arguments: The arguments' values, as far as they are known.
        receiver: The object of the method call; None for a plain call.
    """

    name: str
    arguments: list[object]
    receiver: object = None


@dataclass(eq=False, slots=True)
class Function:
    """A function of the project.

    Attributes:
        this: The bound value of ``this``; None if the call decides.
        names: The function's own properties, including ``prototype``.
        owner: The class that has the function as a method.
    """

    node: Node
    scope: Scope
    this: object = None
    names: dict[str, object] = field(default_factory=dict)
    owner: Class | None = None

    @property
    def is_arrow(self) -> bool:
        """True if the function takes ``this`` from the surrounding code."""
        return self.node.type == "arrow_function"

    @property
    def name(self) -> str:
        """Declared name; empty for an expression without one."""
        return text(self.node.child_by_field_name("name"))


@dataclass(eq=False, slots=True)
class Getter:
    """A property that calls a function."""

    function: Function


@dataclass(eq=False, slots=True)
class Class:
    """A class of the project.

    Attributes:
        names: Static properties and methods.
        members: Methods and getters of the instances.
        fields: Declared properties with their values' nodes, in order.
        base: The base class; None if there is none.
        decorators: Values of the decorators above the class.
        member_decorators: Values of the decorators above each method.
    """

    node: Node
    scope: Scope
    names: dict[str, object] = field(default_factory=dict)
    members: dict[str, object] = field(default_factory=dict)
    fields: list[tuple[str, Node]] = field(default_factory=list)
    base: object = None
    decorators: list[object] = field(default_factory=list)
    member_decorators: dict[str, list[object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Declared name; empty for an expression without one."""
        return text(self.node.child_by_field_name("name"))


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression, as written: ``/^a$/i``."""

    source: str
    flags: str = ""
