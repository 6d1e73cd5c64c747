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
from preview.environments.sandbox.sweep import read_left
from preview.errors import EnvironmentFailed

_FILE: Final = "resolved.txt"


def can_be_resolved(required: RequirementSet) -> bool:
    """Return whether uv can resolve names and versions alone: hashes would be lost."""
    return not any("--hash" in item.text for item in (*required.requirements, *required.constraints))


async def resolve(
    arguments: Sequence[str], interpreter: PythonInterpreter, cage: Cage, *, offline: bool
) -> tuple[ProgramResult, list[str]]:
    """Choose the version of each package and its dependencies.

    Returns:
        uv's result, and the lines of the chosen packages.

    Raises:
        EnvironmentFailed: The chosen packages cannot be read: code of a package has changed them.

    Cancellation: uv is killed.
    """
    at = arguments.index("--requirement")
    chosen = cage.scratch / _FILE
    command = ["pip", "compile", *arguments[at + 1 : at + 2], *arguments[:at], *arguments[at + 2 :]]
    command += ["--python", interpreter.request, "--output-file", str(chosen), "--no-header", "--no-annotate"]
    result = await run_uv([*command, "--quiet"], offline=offline, directory=Path("/"), cage=cage)
    return result, await trio.to_thread.run_sync(read_pins, chosen) if result.code == 0 else []


def read_pins(file: Path) -> list[str]:
    """Return the lines of packages in one version, with an address, or with an absolute path. Blocks on the disk.

    Raises:
        EnvironmentFailed: There is another line.
    """
    lines = [line.strip() for line in read_left(file).splitlines() if line.strip()]
    if not all(map(_is_pin, lines)):
        raise EnvironmentFailed("The environment could not be built: the chosen versions are invalid", reason="other")
    return lines


def _is_pin(line: str) -> bool:
    if line.startswith("/"):
        return True
    try:
        parsed = Requirement(line)
    except InvalidRequirement:
        return False
    return parsed.url is not None or [one.operator for one in parsed.specifier] in (["=="], ["==="])


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


def interpreter_notes(interpreter: PythonInterpreter, cage: Cage | None) -> frozenset[str]:
    """Return what builds without further programs depend on: the interpreter's file, and uv's cache of interpreters.

    Empty if the cache has none: somebody may have emptied it. This depends on uv's private cache layout; a wrong guess
    costs two runs of 30 ms. Blocks on the disk.
    """
    try:
        status = Path(interpreter.request).stat()
    except OSError:
        return frozenset()
    file = f"{status.st_ino} {status.st_ctime_ns}"
    if cage is None:
        return frozenset({file})
    found = [str(path) for path in cage.jail.uv_cache.glob("interpreter-v*/*/*.msgpack")]
    return frozenset({file, *found}) if found else frozenset()
