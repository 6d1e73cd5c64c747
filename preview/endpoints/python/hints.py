"""What a project's own files say about the module that is started."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from preview.sources import Sources
from preview.sources.commands import start_commands

__all__ = ["Hint", "is_module", "read_hints"]

_MAX_HINTS: Final = 50
# What deploys or runs the project, not what writes about it.
_LEAST_WEIGHT: Final = 2
_IN_CODE: Final = re.compile(rb"""(?:uvicorn|hypercorn)\.run\(\s*f?["']([A-Za-z_][\w.]*):([A-Za-z_]\w*)["']""")


@dataclass(frozen=True, slots=True)
class Hint:
    """A module that is started.

    Attributes:
        module: Its name, from whatever folder.
        attribute: The name in it; empty where only the module is said.
        file: The file of Python code that says so; empty for all others.
    """

    module: str
    attribute: str
    file: str = ""


def read_hints(sources: Sources) -> list[Hint]:
    """Modules that the project's own files start, in the order in which they are found."""
    found: list[Hint] = []
    for command in start_commands(sources):
        if command.weight < _LEAST_WEIGHT:
            continue
        if command.app is not None and command.app[0]:
            found.append(Hint(*command.app))
        elif command.script:
            found.append(Hint(command.script.removesuffix(".py").removeprefix("./").replace("/", "."), ""))
    for name in sources.names:
        text = sources.text(name)
        if b".run(" in text:
            found += [Hint(match[1].decode(), match[2].decode(), name) for match in _IN_CODE.finditer(text)]
    return list(dict.fromkeys(found))[:_MAX_HINTS]


def is_module(file: str, module: str) -> bool:
    """Whether a file may be the module of this name, from whatever folder its imports count."""
    path = module.replace(".", "/")
    return any(file == f"{path}{end}" or file.endswith(f"/{path}{end}") for end in (".py", "/__init__.py"))
