"""What the installer says, on its way to whoever waits."""

from __future__ import annotations

import logging
from typing import Final

from preview.environments.folders.environment import Report
from preview.environments.sandbox.program import ProgramResult

# How uv begins the line of a large download.
_LONG: Final = ("Downloading ", "Downloaded ")


class Output:
    """Passes the installer's lines on; those of a failure are kept until it is certain that it stays one."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._held: list[str] = []
        self._told: set[str] = set()

    def __call__(self, line: str) -> None:
        """Pass on a line of an attempt that counts."""
        if self._held or line.startswith("error:"):
            self._held.append(line)
        # The folder's name means nothing to a reader, and it is gone when the build is.
        elif line and not line.startswith("Using Python "):
            self._report(line, logging.INFO)

    def progress(self, line: str) -> None:
        """Pass on what takes long, of an attempt that may yet fail."""
        if line.lstrip().startswith(_LONG):
            self._told.add(line)
            self._report(line, logging.INFO)

    def replay(self, result: ProgramResult) -> None:
        """Pass on all of an attempt that counts."""
        self._held.clear()  # what failed before succeeded in another way
        for line in result.lines:
            if line not in self._told:
                self(line)

    def release(self) -> None:
        """Pass on what was kept: it stays a failure."""
        for line in self._held:
            self._report(line, logging.ERROR if line.startswith("error:") else logging.INFO)
        self._held.clear()


class KeptReport:
    """A report whose lines are kept until they count; that something takes long is told at once.

    Args:
        report: Is told them.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._kept: list[tuple[str, int]] = []

    def __call__(self, line: str, severity: int) -> None:
        """Take one line, as any ``Report``."""
        if line.lstrip().startswith(_LONG):
            self._report(line, severity)
        else:
            self._kept.append((line, severity))

    def release(self) -> None:
        """Pass on what was kept."""
        for line, severity in self._kept:
            self._report(line, severity)
        self._kept.clear()
