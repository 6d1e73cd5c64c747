"""Programs that run in a sandbox next to a preview, and read or write its data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from preview.runtime import Serve


@dataclass(frozen=True, slots=True)
class ConfinedProgram:
    """A program that runs as the preview's own user, without a network, within the preview's limits.

    Attributes:
        argv: Program (absolute path) and arguments.
        environment: All variables.
        readable: Folders and files that it needs besides the system's.
        writable: Folders that it may change.
        directory: Working folder, one of these.
        reaches: See ``ProcessSpec.reaches``.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    directory: Path
    reaches: Mapping[int, Serve] = field(default_factory=dict)


# Runs a program to its end, and returns its bounded output (stdout and stderr). Raises DataUnavailable with its last
# line if it fails or takes too long.
RunConfined = Callable[[ConfinedProgram], Awaitable[bytes]]
