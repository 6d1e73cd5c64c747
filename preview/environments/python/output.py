"""Output of the installer: what is shown of an attempt that may still fail."""

from __future__ import annotations

import logging
from typing import Final

from preview.environments.folders.environment import Report
from preview.environments.sandbox.program import ProgramResult

# First words of uv's lines about large downloads.
_LONG: Final = ("Downloading ", "Downloaded ")


class Output:
    """Forwards the installer's lines; holds lines of a failed attempt back until the failure is final."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._held: list[str] = []
        self._told: set[str] = set()

    def __call__(self, line: str) -> None:
        """Forward one line of an attempt whose output is shown."""
        if self._held or line.startswith("error:"):
            self._held.append(line)
        # Skip the line with the interpreter's path: a temporary folder that means nothing to a reader.
        elif line and not line.startswith("Using Python "):
            self._report(line, logging.INFO)

    def progress(self, line: str) -> None:
        """Forward lines about long downloads of an attempt that may still fail."""
        if line.lstrip().startswith(_LONG):
            self._told.add(line)
            self._report(line, logging.INFO)

    def replay(self, result: ProgramResult) -> None:
        """Forward all lines of an attempt whose output is shown."""
        self._held.clear()  # the failure before was overcome by another attempt
        for line in result.lines:
            if line not in self._told:
                self(line)

    def release(self) -> None:
        """Forward the lines held back, because the failure is final."""
        for line in self._held:
            self._report(line, logging.ERROR if line.startswith("error:") else logging.INFO)
        self._held.clear()


class KeptReport:
    """A report that holds lines back until ``release``, except lines about long downloads."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._kept: list[tuple[str, int]] = []

    def __call__(self, line: str, severity: int) -> None:
        """Take one line, like any ``Report``."""
        if line.lstrip().startswith(_LONG):
            self._report(line, severity)
        else:
            self._kept.append((line, severity))

    def release(self) -> None:
        """Forward the lines held back."""
        for line, severity in self._kept:
            self._report(line, severity)
        self._kept.clear()
