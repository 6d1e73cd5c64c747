"""Values for reading Python source without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from preview.endpoints.names import Names


@dataclass(eq=False, slots=True)
class Scope(Names):
    """Names of a module, a class body or one call of a function.

    Attributes:
        jump: ``Return``, ``Break`` or ``Continue`` once such a statement is certainly reached; else empty.
        unsure: The number of surrounding bodies that may or may not run.
        elsewhere: Names that a ``global`` statement binds in the module.
    """

    parent: Scope | None = None
    jump: str = ""
    unsure: int = 0
    elsewhere: set[str] = field(default_factory=set)

    def outermost(self) -> Scope:
        """Return the module's scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


@dataclass(eq=False, slots=True)
class Module:
    """A module of the project; during an import cycle some of its names may still be missing."""

    file: str
    scope: Scope


@dataclass(eq=False, slots=True)
class Function:
    """A function of the project; ``receiver`` is bound to its first parameter."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    scope: Scope
    receiver: object = None


@dataclass(eq=False, slots=True)
class Class:
    """A class of the project; ``scope`` surrounds the class, ``body`` has the names that the class defines."""

    node: ast.ClassDef
    scope: Scope
    body: Scope


@dataclass(eq=False, slots=True)
class Instance:
    """An instance of a project's class."""

    cls: Class
    names: dict[str, object] = field(default_factory=dict)


class Record(list[object]):
    """A named tuple such as ``ModuleInfo``: its parts have names too."""

    def __init__(self, values: Sequence[object], names: Mapping[str, object] | None = None) -> None:
        super().__init__(values)
        self.names = dict(names or {})


@dataclass(eq=False, slots=True)
class Expression:
    """An annotation kept under a name: ``SessionDep = Annotated[…]``."""

    node: ast.expr
    scope: Scope
