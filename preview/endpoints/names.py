"""Shared values for reading source without running it, in any language."""

from __future__ import annotations

from dataclasses import dataclass, field


class Unknown:
    """The one value that says nothing."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class External:
    """Something from outside the project, by its full name: ``fastapi.APIRouter``, ``express.Router``."""

    name: str

    @property
    def package(self) -> str:
        """The part before the first dot."""
        return self.name.partition(".")[0]

    @property
    def last(self) -> str:
        """The part behind the last dot."""
        return self.name.rpartition(".")[2]


@dataclass(eq=False, slots=True)
class Names:
    """The names of one scope."""

    file: str
    names: dict[str, object] = field(default_factory=dict)
    parent: Names | None = None
    returned: object = UNKNOWN

    def find(self, name: str) -> object:
        """Return the value of a name, from here outwards."""
        scope: Names | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return UNKNOWN
