"""The tables of compatible versions in ``compatibility.toml``."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def compatibility_rows(table: str) -> list[dict[str, Any]]:
    """Return the rows of ``companions`` or ``floors``, in the file's order. Reads the file: called once, at import.

    The values are ``Any`` because they come from TOML; each caller converts the rows to a dataclass.
    """
    rows: list[dict[str, Any]] = tomllib.loads((files(__package__) / "compatibility.toml").read_text("utf-8"))[table]
    return rows
