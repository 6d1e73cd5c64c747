"""The table of versions that go together, from the file beside this module."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def compatibility_rows(table: str) -> list[dict[str, Any]]:
    """Return the rows of ``companions`` or ``floors``, in the file's order. Reads the file: called once, at import.

    ``Any``: TOML's values; each reader makes a dataclass of them.
    """
    rows: list[dict[str, Any]] = tomllib.loads((files(__package__) / "compatibility.toml").read_text("utf-8"))[table]
    return rows
