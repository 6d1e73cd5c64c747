"""The result of one check of ``preview doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: The subject of the check.
        result: ``fail`` means that previews will not work.
        found: The observed state.
        advice: A way to fix it; empty if there is nothing to do.
        section: The heading under which the check is shown.
    """

    name: str
    result: Result
    found: str
    advice: str = ""
    section: str = "machine"
