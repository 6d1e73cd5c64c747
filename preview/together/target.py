"""A line, a request or a failure of a preview, as people point at it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TargetKind(Enum):
    """The kinds of things that people point at."""

    LINE = "line"
    REQUEST = "request"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Target:
    """One line, request or failure.

    Attributes:
        id: The number in decimal digits; for a failure, its id.
    """

    kind: TargetKind
    id: str
