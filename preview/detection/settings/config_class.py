"""``APP_SETTINGS=config.DevelopmentConfig``: variables that name a class of the project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from preview.detection.plan import Origin, Variable
from preview.sources import Sources

_NAME: Final = re.compile(r"^(?:\w+_)?(?:SETTINGS|CONFIG_CLASS|CONFIG_OBJECT|CONFIGURATION)$")
_CLASS: Final = re.compile(rb"^class ((?:Dev|Development|Local)\w*|\w*Config|Config\w*)\b", re.MULTILINE)
_PREFERRED: Final = ("DevelopmentConfig", "DevConfig", "LocalConfig", "Config")


def with_config_classes(variables: Mapping[str, Variable], sources: Sources, app_dir: str) -> dict[str, Variable]:
    """The variables, with a class for development in the place of what was made up for such a name.

    Args:
        variables: By name.
        sources: The project's files.
        app_dir: Folder that imports count from.
    """
    wanted = [name for name, one in variables.items() if _NAME.match(name) and one.origin is Origin.MADE_UP]
    if not wanted:
        return dict(variables)
    found = _find(sources, app_dir)
    return {name: replace(one, value=found) if name in wanted and found else one for name, one in variables.items()}


def _find(sources: Sources, app_dir: str) -> str | None:
    prefix = "" if app_dir == "." else f"{app_dir}/"
    for file in sources.names:
        name = file.rpartition("/")[2]
        if not file.startswith(prefix) or not re.search(r"config|settings", name):
            continue
        classes = [found.decode() for found in _CLASS.findall(sources.text(file))]
        chosen = next((one for one in _PREFERRED if one in classes), next(iter(classes), None))
        if chosen:
            module = file[len(prefix) :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return f"{module}.{chosen}"
    return None
