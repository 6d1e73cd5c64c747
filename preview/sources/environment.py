"""Values that a project's own ``.env`` files give to environment variables."""

from __future__ import annotations

import io
import posixpath
from typing import Final

from dotenv.parser import parse_stream

from preview.sources.files import Sources

# Files that are in use come before example files.
_NAMES: Final = (
    *(".env", ".env.local", ".env.development", ".env.dev", ".flaskenv", ".env.example", ".env.sample"),
    *(".env.template", ".env.dist", "env.example", "env.sample", ".env-example", ".env.test"),
)


def env_values(sources: Sources, folder: str) -> dict[str, str]:
    """Return the variables that have a value in the ``.env`` files of the folder or of the project's root."""
    return _read(sources, folder, _NAMES)


def own_env_values(sources: Sources, folder: str) -> dict[str, str]:
    """Return the values of the ``.env`` files alone, as ``env_values`` does; they override defaults in the code."""
    return _read(sources, folder, (".env",))


def _read(sources: Sources, folder: str, names: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for place in dict.fromkeys([folder, "."]):
        for name in names:
            file = posixpath.normpath(posixpath.join(place, name))
            if sources.has_file(file):
                text = io.StringIO(sources.text(file).decode("utf-8", "replace"))
                for item in parse_stream(text):
                    if item.key and item.value and not item.error:
                        found.setdefault(item.key, item.value)
    return found
