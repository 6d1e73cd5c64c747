"""Environment variables and settings, as the project's own ``.env`` files give them."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from preview.endpoints.python.values import UNKNOWN
from preview.sources import Sources
from preview.sources.environment import env_values, own_env_values

__all__ = ["Variables"]

_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})


class Variables:
    """Read where they are first asked for.

    Args:
        sources: The project's files.
        folder: Whose ``.env`` files come before those of the project's own folder.
    """

    def __init__(self, sources: Sources, folder: str) -> None:
        self._sources = sources
        self._folder = folder

    def get(self, name: str) -> object:
        """What any of the files says, examples too; ``UNKNOWN`` where none does."""
        return self._all.get(name, UNKNOWN)

    def setting(self, name: str, default: str | int | None) -> object:
        """A pydantic setting: ``.env`` comes before the code's default.

        Args:
            name: The field; the variable may be in upper case.
            default: What the code says. Numbers keep it.
        """
        given = self._own.get(name, self._own.get(name.upper()))
        if given is None:
            return default
        if isinstance(default, bool):
            return given.lower() in _TRUE
        return default if isinstance(default, int) else given

    @cached_property
    def _all(self) -> dict[str, str]:
        return env_values(self._sources, self._folder)

    @cached_property
    def _own(self) -> dict[str, str]:
        return own_env_values(self._sources, self._folder)
