"""Shapes that Python's and Node's environments share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from preview.environments.manifests.stated import Asked

How = Literal["built", "cached", "reused"]

SuppliedServer = Literal["uvicorn", "waitress"]

Report = Callable[[str, int], None]
"""Called with one line and its severity (``logging``'s numbers, which are ``logs.Level``'s too)."""


@dataclass(frozen=True, slots=True)
class EnvironmentRequest:
    """Request for an environment.

    Attributes:
        project: The project's folder.
        folder: Whose manifest counts, relative to the project; ``.`` searches the usual places.
        extra: Further requirements, one line each, that no manifest names.
        server: Added where the project does not bring it; None for a project that is run by its own command.
        entry: The application's file, relative to the project: the imports of what it reaches are looked at. None
            looks at none.
        asked: What the files say of it, where they have been read already; else they are read in a thread.
    """

    project: Path
    folder: str = "."
    extra: tuple[str, ...] = ()
    server: SuppliedServer | None = "uvicorn"
    entry: str | None = None
    asked: Asked | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that is held: it stays as it is until the context that yielded it is left.

    Attributes:
        directory: Its folder; nobody writes there.
        program: Its interpreter, absolute.
        binaries: The folder of its programs.
        variables: What a process needs in its environment to be in this one, ``PATH`` left out.
        elapsed_s: Seconds from asking to having.
        how: ``built`` now, ``cached`` from before, or ``reused``: this process holds it already.
        language: ``Python 3.12.1``, say.
        is_own: Whether a package of it comes from the project, an address or a repository: what imports these packages
            is shared with nobody but this project.
    """

    directory: Path
    program: Path
    binaries: Path
    variables: Mapping[str, str]
    elapsed_s: float
    how: How
    language: str = ""
    is_own: bool = False

    @property
    def said(self) -> str:
        """``environment ready in 0.03 s (cached, Python 3.12.1)``."""
        of = f", {self.language}" if self.language else ""
        return f"environment ready in {self.elapsed_s:.2f} s ({self.how}{of})"

    @property
    def key(self) -> str:
        """Its name in the cache, 32 hexadecimal digits."""
        return self.directory.name

    @property
    def python(self) -> Path:
        """The interpreter of a Python environment."""
        return self.program
