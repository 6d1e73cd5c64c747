"""Model of an application's calls, addresses, imports and comparisons."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an external function.

    Attributes:
        name: The full name, as far as imports show it: ``asyncpg.create_pool``; else ``.create_all``.
        function: The outermost function that contains the call; empty at module level.
        guarded: An enclosing ``try`` continues after an error.
    """

    name: str
    node: ast.Call = field(repr=False)
    file: str
    line: int
    function: str
    guarded: bool

    @property
    def where(self) -> str:
        """File and line: ``app/db.py:7``."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL in the source.

    Attributes:
        text: The URL, with ``*`` for unknown parts.
        host: The name of the variable with the host; empty for a literal host.
        port: The name of the variable with the port; empty for a literal port.
        scheme_name: The name of the variable with the scheme; empty for a literal scheme.
    """

    text: str
    file: str
    line: int
    host: str = ""
    port: str = ""
    scheme_name: str = ""

    @property
    def scheme(self) -> str:
        """The scheme without the driver: ``postgresql``."""
        return self.text.partition(":")[0].partition("+")[0].lower()

    @property
    def where(self) -> str:
        """File and line: ``app/db.py:7``."""
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Facts:
    """All facts about an application.

    Attributes:
        imports: Places of external imports, by full name.
        compared: Texts that a name or attribute is compared with, by that name.
        called_by: Names that a function calls or mentions, by the function's name.
        started: Names of functions that run at startup.
    """

    calls: list[Call] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    compared: dict[str, set[str]] = field(default_factory=dict)
    called_by: dict[str, set[str]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    defined: Counter[str] = field(default_factory=Counter)

    def imported(self, *modules: str) -> str | None:
        """Return the place where one of these modules, or a part of it, is imported, or None."""
        for name, where in self.imports.items():
            if any(name == module or name.startswith(f"{module}.") for module in modules):
                return where
        return None

    def at_startup(self, call: Call) -> bool:
        """Return true if the call runs at startup and its failure ends the program."""
        return not call.guarded and (not call.function or call.function in self.started)
