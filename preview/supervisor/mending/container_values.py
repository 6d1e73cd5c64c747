"""Values that only the project's Dockerfile gives its variables: ``ENV APP_SETTINGS=config.default``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

from preview.supervisor.mending.container_folder import dockerfile_text

_JOINED: Final = re.compile(r"\\[ \t]{0,8}\r?\n")
_ENV: Final = re.compile(r"^[ \t]{0,8}ENV[ \t]{1,8}(?P<rest>[^\r\n]{1,4000})$", re.MULTILINE | re.IGNORECASE)
_SPACED: Final = re.compile(r"(?P<name>[A-Za-z_]\w{0,80})[ \t]{1,8}(?P<value>\S.{0,500})")
_PAIR: Final = re.compile(r"(?P<name>[A-Za-z_]\w{0,80})=(?P<value>.{1,500})")
_MOST: Final = 200


def find_container_values(project: Path) -> dict[str, str]:
    """Return the variables that the project's Dockerfile sets to a text of its own, not to another variable's.

    Values that no variable can have are left out.

    Reads files, but follows no links.
    """
    found: dict[str, str] = {}
    for match in _ENV.finditer(_JOINED.sub(" ", dockerfile_text(project))):
        for name, value in _pairs(match["rest"].strip()):
            if not {"$", "\0"}.intersection(value) and len(found) < _MOST:
                found[name] = value
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    """Read ``A=1 B="two words"``, or the old form ``A two words``."""
    if (spaced := _SPACED.fullmatch(text)) is not None:
        return [(spaced["name"], spaced["value"].strip("\"' "))]
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    return [(pair["name"], pair["value"]) for word in words if (pair := _PAIR.fullmatch(word)) is not None]
