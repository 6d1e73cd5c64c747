"""Pythons that are installed here, where ``uv`` does not look: in the folders of those who manage versions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from packaging.version import Version

from preview.environments.interpreter import Interpreter, allows
from preview.environments.program import run_program
from preview.environments.uv import program_environment

__all__ = ["Installed", "find_installed", "look_at"]

_ASK: Final = (
    "import json, platform, sys, sysconfig; "
    "print(json.dumps([platform.python_version(), sysconfig.get_platform(), sys.base_prefix, "
    "platform.python_implementation(), bool(sysconfig.get_config_var('Py_GIL_DISABLED')), "
    "sorted(sys.stdlib_module_names)]))"
)
# One that says nothing within this is not one to run previews in.
_PATIENCE_S: Final = 5.0
# The variable that names a manager's folder, where that is below the home else, and where its Pythons are in there:
# pyenv, mise, asdf, and uv itself.
_MANAGERS: Final = (
    ("PYENV_ROOT", ".pyenv", "versions"),
    ("MISE_DATA_DIR", ".local/share/mise", "installs/python"),
    ("ASDF_DATA_DIR", ".asdf", "installs/python"),
    ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", "."),
)
_VERSION: Final = re.compile(r"(?:cpython-)?(?P<minor>3\.\d+)(?:\.\d+)?(?=$|-)")
# pyenv's and asdf's: programs that look for another, and fail where it is not the one that is chosen.
_NO_PROGRAMS: Final = "shims"


@dataclass(frozen=True, slots=True)
class Installed:
    """A Python that answered.

    Attributes:
        interpreter: It.
        modules: The names of its standard library.
    """

    interpreter: Interpreter
    modules: frozenset[str]


async def find_installed(
    minors: range, requires: str = "", variables: Mapping[str, str] | None = None
) -> Installed | None:
    """The first CPython of these minor versions that runs and that ``requires`` allows, or None.

    Those without the interpreter's lock are passed over: packages have wheels of their own for them.

    Args:
        minors: ``range(12, 15)`` looks for 3.12, then 3.13, then 3.14.
        requires: ``>=3.12``, say.
        variables: The service's environment.

    Cancellation: the program that is asked is killed.
    """
    given = os.environ if variables is None else variables
    for minor in minors:
        for path in await trio.to_thread.run_sync(_candidates, minor, given):
            found = await look_at(path)
            if found is not None and _is_it(found.interpreter, minor, requires):
                return found
    return None


def _is_it(interpreter: Interpreter, minor: int, requires: str) -> bool:
    """What is called ``python3.12`` may be another, and not all of 3.12 may do."""
    return interpreter.version.startswith(f"3.{minor}.") and allows(requires or None, interpreter)


async def look_at(path: Path) -> Installed | None:
    """What the program says of itself; None where it is no CPython of ours. Cancellation: it is killed."""
    argv = [str(path), "-I", "-c", _ASK]
    try:
        with trio.fail_after(_PATIENCE_S):
            asked = await run_program(argv, environment=program_environment(os.environ), directory=Path("/"))
        version, machine, home, kind, is_free, modules = json.loads(asked.lines[-1])
    except (OSError, trio.TooSlowError, IndexError, ValueError, TypeError):
        return None
    if asked.code != 0 or kind != "CPython" or is_free:
        return None
    return Installed(Interpreter(str(path), version, f"{version} {machine} {home}"), frozenset(modules))


def _candidates(minor: int, variables: Mapping[str, str]) -> list[Path]:
    """Programs of that name, the likeliest first, each once; blocks on the disk."""
    found: dict[Path, None] = {}
    for folder in _folders(f"3.{minor}", variables):
        path = folder / f"python3.{minor}"
        if folder.name != _NO_PROGRAMS and os.access(path, os.X_OK):
            found[path] = None
    return list(found)


def _folders(minor: str, variables: Mapping[str, str]) -> Iterator[Path]:
    for entry in variables.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(entry):  # noqa: PTH117  it is a text yet
            yield Path(entry)
    home = variables.get("HOME")
    for variable, usual, below in _MANAGERS:
        root = variables.get(variable) or (f"{home}/{usual}" if home else None)
        if root is not None:
            yield from _newest_first(Path(root) / below, minor)


def _newest_first(folder: Path, minor: str) -> list[Path]:
    """The folders of programs of what is installed there of this minor version."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
    found = [(match[0].removeprefix("cpython-"), name) for name in names if (match := _VERSION.match(name))]
    fitting = [(Version(version), name) for version, name in found if f"{version}.".startswith(f"{minor}.")]
    return [folder / name / "bin" for _, name in sorted(fitting, reverse=True)]
