"""Calls, addresses, imports and comparisons of an application: the shapes."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """One call of something from outside.

    Attributes:
        name: Full, as far as imports tell: ``asyncpg.create_pool``; else ``.create_all``.
        function: The outermost function it stands in; empty for the module's own level.
        guarded: A ``try`` around it goes on after an error.
    """

    name: str
    node: ast.Call = field(repr=False)
    file: str
    line: int
    function: str
    guarded: bool

    @property
    def where(self) -> str:
        """``app/db.py:7``."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of a server, as it is written in the source.

    Attributes:
        text: With ``*`` for what is not written down.
        host: The name that its host is taken from; empty where that is written down.
        port: Likewise.
    """

    text: str
    file: str
    line: int
    host: str = ""
    port: str = ""

    @property
    def scheme(self) -> str:
        """``postgresql``, without the driver."""
        return self.text.partition(":")[0].partition("+")[0].lower()

    @property
    def where(self) -> str:
        """``app/db.py:7``."""
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Facts:
    """All of it.

    Attributes:
        imports: Full names of all that is imported from outside.
        compared: Texts that a name or attribute is compared with, by that name.
        called_by: Functions' names to the names that they call or mention.
        started: Names of functions that run when the application comes up.
    """

    calls: list[Call] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    compared: dict[str, set[str]] = field(default_factory=dict)
    called_by: dict[str, set[str]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    defined: Counter[str] = field(default_factory=Counter)

    def imported(self, *modules: str) -> str | None:
        """Return where one of these modules, or a part of it, is imported; None if nowhere."""
        for name, where in self.imports.items():
            if any(name == module or name.startswith(f"{module}.") for module in modules):
                return where
        return None

    def at_startup(self, call: Call) -> bool:
        """Return whether the call is made at start-up, and its failure ends the program."""
        return not call.guarded and (not call.function or call.function in self.started)
