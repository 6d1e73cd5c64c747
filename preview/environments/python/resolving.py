"""Resolution of names and versions by uv, and guesses about its cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import trio
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preview.environments.requirements.requirements import RequirementSet
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.environments.sandbox.jail import Cage
from preview.environments.sandbox.program import ProgramResult, run_uv

_FILE: Final = "resolved.txt"


def can_be_resolved(required: RequirementSet) -> bool:
    """Return whether uv can resolve names and versions alone: no hash, no URL, no folder."""
    items = (*required.requirements, *required.constraints)
    return not any("--hash" in item.text or "@" in item.text or "/" in item.text for item in items)


async def resolve(
    arguments: Sequence[str], folder: Path, interpreter: PythonInterpreter, cage: Cage, *, offline: bool
) -> tuple[ProgramResult, list[str]]:
    """Choose the version of each package and its dependencies.

    Returns:
        uv's result, and the arguments that install exactly the chosen packages.

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
    """Return the normalised names of the chosen packages. Cancellation: nothing changes."""
    text = await trio.Path(folder / _FILE).read_text("utf-8")
    return [name for line in text.splitlines() if (name := name_of(line))]


def name_of(line: str) -> str:
    """Return the normalised name in a requirement line; empty if there is none."""
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return ""


def may_be_cached(cache: Path, names: Iterable[str]) -> bool:
    """Return whether an offline installation may work: the cache has an entry for each package.

    This guess depends on uv's private cache layout; it saves attempts that must fail. If the operator has a folder of
    wheels, the answer is always True. Blocks on the disk.
    """
    if os.environ.get("UV_FIND_LINKS"):
        return True
    # wheels-v8/pypi/NAME, wheels-v8/index/HASH/NAME
    folders = [*cache.glob("wheels-v*/*"), *cache.glob("wheels-v*/index/*")]
    return all(any((folder / name).is_dir() for folder in folders) for name in names)
