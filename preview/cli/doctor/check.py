"""One thing that ``preview doctor`` has looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        result: ``fail`` means that previews will not work.
        found: What there is.
        advice: What to do, where there is something to do.
        section: Under which heading it is shown.
    """

    name: str
    result: Result
    found: str
    advice: str = ""
    section: str = "machine"
