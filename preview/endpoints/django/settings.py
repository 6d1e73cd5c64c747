"""A project's settings, as ``django.conf.settings`` gives them."""

from __future__ import annotations

from typing import Final

from preview.endpoints.python import UNKNOWN, Class, Interpreter, Module, Native
from preview.sources import Sources

__all__ = ["Settings"]

_DEFAULTS: Final[dict[str, object]] = {"LANGUAGE_CODE": "en-us", "DEBUG": True}


class Settings(Native):
    """Names of the settings module.

    Args:
        module: Its full name.
        interpreter: Reads it.
        sources: The project's files.
    """

    __slots__ = ("_interpreter", "_module", "_sources")

    def __init__(self, module: str, interpreter: Interpreter, sources: Sources) -> None:
        self._module = module
        self._interpreter = interpreter
        self._sources = sources

    def attribute(self, name: str) -> object:
        """``settings.NAME``; ``model LABEL NAME`` is the class of a model."""
        if name.startswith("model "):
            return self._model(*name.split()[1:])
        found = self._interpreter.module(self._module)
        return found.scope.names.get(name, _DEFAULTS.get(name, UNKNOWN)) if found else UNKNOWN

    def _model(self, label: str, name: str) -> object:
        for file in self._sources.names:
            if f"/{file}".endswith((f"/{label}/models.py", f"/{label}/models/__init__.py")):
                module: Module = self._interpreter.load(file)
                value = module.scope.names.get(name)
                if isinstance(value, Class):
                    return value
        return UNKNOWN
