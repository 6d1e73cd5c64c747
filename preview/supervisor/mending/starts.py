"""Failures of loading an application, after which the project's own start command may name a better one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from preview.detection import StartPlan
from preview.supervisor.mending.model import newest_error

_LOADING: Final = re.compile(
    r"(?:Uncaught )?(?:(?:ModuleNotFound|Import|Attribute|Name|Syntax|Indentation|Tab|Type|Reference)Error\b"
    r"|Error(?: \[\w{1,60}\])?: Cannot find (?:module|package)\b|Error \[ERR_MODULE\w{1,30}\])"
)
# What the launchers print of a module without the application (``load_application``).
_NOTHING: Final = re.compile(r"The module '[^']{1,300}' has no '[^']{1,300}' to serve: ")


def has_failed_to_load(lines: Sequence[str]) -> bool:
    """Return whether the last lines say that the application could not be loaded, or tell no error at all.

    A program without an error may have ended because its file is not the one that serves.
    """
    number = newest_error(lines)
    said = any(_NOTHING.match(line) for line in lines)
    return said or number is None or _LOADING.match(lines[number]) is not None


def is_other_start(plan: StartPlan, other: StartPlan) -> bool:
    """Return whether the second plan starts another application or command than the first."""
    ways = [(one.target and (one.target.file, one.target.attribute), one.command, one.server) for one in (plan, other)]
    return ways[0] != ways[1]
