"""Choosing versions before installing them: what turns out to have wheels alone is installed without any build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preview.environments.requirements.requirements import RequirementSet
from preview.environments.sandbox.interpreter import Interpreter
from preview.environments.sandbox.jail import Cage
from preview.environments.sandbox.program import ProgramResult
from preview.environments.sandbox.uv import run_uv

_FILE: Final = "resolved.txt"


def can_be_resolved(required: RequirementSet) -> bool:
    """Whether a list of names and versions says all: no hash, no address, no folder."""
    items = (*required.requirements, *required.constraints)
    return not any("--hash" in item.text or "@" in item.text or "/" in item.text for item in items)


async def resolve(
    arguments: Sequence[str], folder: Path, interpreter: Interpreter, cage: Cage, *, offline: bool
) -> tuple[ProgramResult, list[str]]:
    """Choose the version of each package, with what it requires.

    Args:
        arguments: As ``write_arguments`` made them.
        folder: The environment's; the list is written there.
        interpreter: For which Python.
        cage: Where code of packages may run: some say what they require only when they are built.
        offline: Use nothing but uv's cache.

    Returns:
        How uv ended, and the arguments that install what was chosen and nothing else.

    Cancellation: uv is killed.
    """
    at = arguments.index("--requirement")
    wanted, others = arguments[at + 1], [*arguments[:at], *arguments[at + 2 :]]
    chosen = str(folder / _FILE)
    command = ["pip", "compile", wanted, *others, "--python", interpreter.request, "--output-file", chosen]
    result = await run_uv(
        [*command, "--no-header", "--no-annotate", "--quiet"], offline=offline, directory=Path("/"), cage=cage
    )
    return result, ["--no-deps", *arguments[:at], "--requirement", chosen, *arguments[at + 2 :]]


async def read_names(folder: Path) -> list[str]:
    """The normalised names of what was chosen. Cancellation: nothing changes."""
    text = await trio.Path(folder / _FILE).read_text("utf-8")
    return [name for line in text.splitlines() if (name := _name(line))]


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return ""
