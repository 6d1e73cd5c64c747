"""What names stand for when source is read without being run."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["UNKNOWN", "Class", "Expression", "External", "Function", "Instance", "Module", "Record", "Scope", "Unknown"]


class Unknown:
    """The one value that says nothing."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


@dataclass(eq=False, slots=True)
class Scope:
    """Names of a module, a class body or one call of a function.

    Attributes:
        file: The module's file, relative to the project.
        names: What is bound.
        parent: Where to look next.
        returned: What a call gave back.
        jump: ``Return``, ``Break`` or ``Continue`` once one is reached that is sure to be.
        unsure: How many bodies that may or may not be run are being read.
        elsewhere: Names that ``global`` binds in the module.
    """

    file: str
    names: dict[str, object] = field(default_factory=dict)
    parent: Scope | None = None
    returned: object = UNKNOWN
    jump: str = ""
    unsure: int = 0
    elsewhere: set[str] = field(default_factory=set)

    def find(self, name: str) -> object:
        """The value of a name, from here outwards."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return UNKNOWN

    def outermost(self) -> Scope:
        """The module's scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


@dataclass(eq=False, slots=True)
class Module:
    """A module of the project; its names may still be filling while an import cycle is read."""

    file: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class External:
    """Something imported from outside the project, by its full name: ``fastapi.APIRouter``."""

    name: str

    @property
    def last(self) -> str:
        """The part behind the last dot."""
        return self.name.rpartition(".")[2]


@dataclass(eq=False, slots=True)
class Function:
    """A function of the project; ``receiver`` is bound to its first parameter."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    scope: Scope
    receiver: object = None


@dataclass(eq=False, slots=True)
class Class:
    """A class of the project; ``scope`` is where it stands, ``body`` what it defines."""

    node: ast.ClassDef
    scope: Scope
    body: Scope


@dataclass(eq=False, slots=True)
class Instance:
    """What calling a class of the project gives."""

    cls: Class
    names: dict[str, object] = field(default_factory=dict)


class Record(list[object]):
    """A tuple whose parts have names too, such as ``ModuleInfo``.

    Args:
        values: In order.
        names: The parts' names, with their values.
    """

    def __init__(self, values: Sequence[object], names: Mapping[str, object] | None = None) -> None:
        super().__init__(values)
        self.names = dict(names or {})


@dataclass(eq=False, slots=True)
class Expression:
    """An annotation kept under a name: ``SessionDep = Annotated[…]``."""

    node: ast.expr
    scope: Scope
