"""Types that Python and Node environments share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from preview.environments.folders.image_source import BuiltImage
from preview.environments.manifests.stated import Asked
from preview.sources.image_source import ImageSource

How = Literal["built", "cached", "reused"]

SuppliedServer = Literal["uvicorn", "waitress"]

Report = Callable[[str, int], None]
"""Callback for one line of output and its severity (``logging``'s numbers, which ``logs.Level`` uses too)."""


def builder_name(*, is_held: bool) -> str:
    """Return what decides whether a package can be built: the sandbox, and the service's version."""
    return f"{'sandbox' if is_held else 'plain'} {_version()}"


@cache
def _version() -> str:
    return version("preview")


@dataclass(frozen=True, slots=True)
class EnvironmentRequest:
    """Request for an environment.

    Attributes:
        project: The project's folder.
        folder: Folder of the manifest, relative to the project; ``.`` searches the usual folders.
        extra: Further requirement lines, which no manifest contains.
        server: Server to add if the project does not require it; None if the project's own command runs it.
        entry: The application's file, relative to the project. Its imports, direct and indirect, are read for missing
            requirements; None reads no imports.
        asked: Requirements that were read already; None reads them in a thread.
        image: The project's Dockerfile, if it is started by that.
        owner: The user, for a fair order of builds. An environment with a package from a project, a URL or a repository
            is this user's alone: the hash of a folder cannot vouch for what its build reads, or for changes meanwhile.
        is_dated: All packages are as of the day that the project's files tell, also if imports work with current ones.
    """

    project: Path
    folder: str = "."
    extra: tuple[str, ...] = ()
    server: SuppliedServer | None = "uvicorn"
    entry: str | None = None
    asked: Asked | None = field(default=None, compare=False, repr=False)
    image: ImageSource | None = None
    owner: str = field(default="", compare=False)
    is_dated: bool = False


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment in use: it does not change until the context that yielded it ends.

    Attributes:
        directory: The environment's folder; read-only.
        program: The interpreter, an absolute path.
        binaries: Folder of the environment's programs.
        variables: Variables that a process needs to use the environment, without ``PATH``.
        elapsed_s: Seconds from the request until the environment was ready.
        how: ``built`` for this request, ``cached`` by an earlier build, or ``reused``: this process uses it already.
        language: For example ``Python 3.12.1``.
        is_own: Whether a package comes from the project, a URL or a repository. A process that has imported these
            packages is then shared only within this project.
        image: The image that the processes run in; None for programs of this machine.
    """

    directory: Path
    program: Path
    binaries: Path
    variables: Mapping[str, str]
    elapsed_s: float
    how: How
    language: str = ""
    is_own: bool = False
    image: BuiltImage | None = None

    @property
    def said(self) -> str:
        """Summary: ``environment ready in 0.03 s (cached, Python 3.12.1)``."""
        of = f", {self.language}" if self.language else ""
        return f"environment ready in {self.elapsed_s:.2f} s ({self.how}{of})"

    @property
    def key(self) -> str:
        """The environment's name in the cache, 32 hexadecimal digits."""
        return self.directory.name

    @property
    def python(self) -> Path:
        """The interpreter of a Python environment."""
        return self.program
