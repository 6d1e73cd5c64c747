"""One variable that a project's source reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What the source makes of a variable's text."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    WORDS = "words"
    OBJECT = "object"
    EMAIL = "email"
    URL = "url"
    DATABASE = "database"


class Need(StrEnum):
    """What becomes of a program that does not find the variable."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    DEFAULTED = "defaulted"


@dataclass(frozen=True, slots=True)
class SettingRead:
    """One place where a variable is read.

    Attributes:
        name: As the source has it.
        file: Where, relative to the project.
        line: Likewise, from 1.
        need: Whether the program goes on without it.
        kind: What is made of its text; ``LIST`` is JSON, ``WORDS`` is separated by commas.
        default: The text that is taken without it, where it is written down.
        choices: The values it may have, where these are written down.
        annotation: The last part of its declared type, such as ``PostgresDsn``; empty where none is declared.
        least: The fewest characters, or the smallest number.
    """

    name: str
    file: str
    line: int
    need: Need
    kind: Kind = Kind.TEXT
    default: str | None = None
    choices: tuple[str, ...] = ()
    annotation: str = ""
    least: int = 0

    @property
    def where(self) -> str:
        """``app/config.py:12``."""
        return f"{self.file}:{self.line}"
