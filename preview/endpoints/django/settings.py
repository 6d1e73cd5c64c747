"""A project's settings, as ``django.conf.settings`` gives them."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import Final

from preview.endpoints.django.classes import find_value
from preview.endpoints.python import UNKNOWN, Call, Class, Module, Native, PythonEvaluator
from preview.sources import Sources

_DEFAULTS: Final[dict[str, object]] = {"LANGUAGE_CODE": "en-us", "DEBUG": True}
_NEWEST: Final = 5
_REQUIREMENTS: Final = ("requirements", "Pipfile", "pyproject.toml", "setup.py", "setup.cfg", "base.txt")
_PINNED: Final = re.compile(
    rb"""(?im)^[\s"'-]*django["']?\s*(?:==|~=|<=|=\s*["'][\^~=]*|\^)\s*["'\^~=]*(\d+)|^[\s"']*django\b[^\n#]*<\s*(\d+)"""
)
_MAX_INCLUDED: Final = 50


class DjangoSettings(Native):
    """Names of the settings module.

    Attributes:
        django: The major version of Django that the project asks for; the newest known where it does not say.
    """

    __slots__ = ("_evaluator", "_module", "_sources", "django")

    def __init__(self, module: str, evaluator: PythonEvaluator, sources: Sources) -> None:
        self._module = module
        self._evaluator = evaluator
        self._sources = sources
        self.django = _read_version(sources)

    def attribute(self, name: str) -> object:
        """Return the value of ``settings.NAME``; for ``model LABEL NAME`` return that model's class."""
        if name.startswith("model "):
            return self._model(*name.split()[1:])
        found = self._evaluator.module(self._module)
        names = found.scope.names if found else {}
        if name in names:
            return names[name]
        # Settings as classes (django-configurations): whichever is chosen, most are shared.
        classes = [value for value in names.values() if isinstance(value, Class)]
        values = [value for cls in classes if (value := find_value(cls, name, self._evaluator)) is not UNKNOWN]
        return values[0] if values else _DEFAULTS.get(name, UNKNOWN)

    def include(self, call: Call) -> None:
        """``include("components/base.py", …)`` of django-split-settings: the files become part of the module."""
        folder = posixpath.dirname(call.scope.file)
        for pattern in call.arguments:
            path = posixpath.normpath(posixpath.join(folder, pattern)) if isinstance(pattern, str) else ""
            for file in fnmatch.filter(self._sources.names, path)[:_MAX_INCLUDED]:
                call.scope.names.update(self._evaluator.load(file).scope.names)

    def _model(self, label: str, name: str) -> object:
        for file in self._sources.names:
            if f"/{file}".endswith((f"/{label}/models.py", f"/{label}/models/__init__.py")):
                module: Module = self._evaluator.load(file)
                value = module.scope.names.get(name)
                if isinstance(value, Class):
                    return value
        return UNKNOWN


def _read_version(sources: Sources) -> int:
    for file in sources.all_names:
        if file.rpartition("/")[2].startswith(_REQUIREMENTS) or "requirements/" in file:
            match = _PINNED.search(sources.text(file))
            if match:
                # Below 5.0 is 4; below 4.2 is 4 too, which is near enough.
                return int(match[1]) if match[1] else max(int(match[2]) - 1, 1)
    return _NEWEST
