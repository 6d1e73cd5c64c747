"""Values shared by the evaluators of all languages, which read source without running it."""

from __future__ import annotations

from dataclasses import dataclass, field


class Unknown:
    """The type of ``UNKNOWN``, which stands for every value that is not known."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class External:
    """A name from outside the project, in full: ``fastapi.APIRouter``, ``express.Router``."""

    name: str

    @property
    def package(self) -> str:
        """The part before the first dot."""
        return self.name.partition(".")[0]

    @property
    def last(self) -> str:
        """The part after the last dot."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Unread:
    """A registration that cannot be read from the source: a route with an unknown path, an unknown router."""

    file: str
    line: int
    what: str


@dataclass(eq=False, slots=True)
class Names:
    """The names of one scope."""

    file: str
    names: dict[str, object] = field(default_factory=dict)
    parent: Names | None = None
    returned: object = UNKNOWN

    def find(self, name: str) -> object:
        """Look a name up in this scope, then in the surrounding ones."""
        scope: Names | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return UNKNOWN
