"""What a preview printed before it failed, as an answer of the service has it."""

from __future__ import annotations

from typing import Any

from preview.cli.exits import ApiRefused
from preview.cli.terminal import say


def say_last_lines(error: ApiRefused) -> None:
    """On stderr, indented; nothing where there are none."""
    lines: Any = error.facts.get("last_lines")
    for line in lines if isinstance(lines, list) else ():
        say(f"  {line}")
