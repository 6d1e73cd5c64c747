"""Search for installed Pythons in the folders of version managers, where ``uv`` does not look."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import trio
from packaging.version import Version
from pydantic import TypeAdapter, ValidationError

from preview.core.descriptors import raise_want
from preview.environments.sandbox.interpreter import PythonInterpreter, allows
from preview.environments.sandbox.program import program_environment, run_program

_log = structlog.get_logger(__name__)

# Parts of the standard library that a build of Python may lack.
_PARTS: Final = (
    "_bz2", "_ctypes", "_decimal", "_hashlib", "_lzma", "_multiprocessing", "_posixshmem", "_sqlite3", "_ssl", "_uuid",
    "zlib",
)  # fmt: skip
_ASK: Final = (
    "import importlib.util, json, platform, sys, sysconfig; "
    "print(json.dumps([platform.python_version(), sysconfig.get_platform(), sys.base_prefix, "
    "platform.python_implementation(), bool(sysconfig.get_config_var('Py_GIL_DISABLED')), "
    "sorted(getattr(sys, 'stdlib_module_names', ())), "
    f"[one for one in {_PARTS} if importlib.util.find_spec(one) is None]]))"
)
_RELEASE: Final = re.compile(r"3\.\d{1,2}\.\d{1,3}")
_OWN_LACKS: Final = frozenset(one for one in _PARTS if importlib.util.find_spec(one) is None)
# A Python that does not answer within this time is not usable for previews.
_PATIENCE_S: Final = 5.0
# Variable with a manager's folder, default folder below the home, and subfolder with the Pythons: pyenv, mise, asdf,
# and uv itself.
_MANAGERS: Final = (
    ("PYENV_ROOT", ".pyenv", "versions"),
    ("MISE_DATA_DIR", ".local/share/mise", "installs/python"),
    ("ASDF_DATA_DIR", ".asdf", "installs/python"),
    ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", "."),
)
_VERSION: Final = re.compile(r"(?:cpython-)?(?P<minor>3\.\d+)(?:\.\d+)?(?=$|-)")
# pyenv and asdf put wrapper programs there, which fail unless the user has selected that version.
_NO_PROGRAMS: Final = "shims"


@dataclass(frozen=True, slots=True)
class Installed:
    """A Python that answered the query.

    Attributes:
        modules: Names of its standard library's modules; empty before Python 3.10.
        lacks: Parts of the standard library that it was built without.
    """

    interpreter: PythonInterpreter
    modules: frozenset[str]
    lacks: frozenset[str] = frozenset()


async def find_installed(
    minors: Iterable[int], requires: str = "", variables: Mapping[str, str] | None = None, *, whole: bool = False
) -> Installed | None:
    """Return the first CPython of these minor versions that runs and that ``requires`` allows; None if there is none.

    Skips free-threaded builds, which need separate wheels, and pre-releases.

    Args:
        minors: Minor versions in order of preference: ``range(12, 15)`` looks for 3.12, then 3.13, then 3.14.
        requires: A version range such as ``>=3.12``.
        variables: Environment variables to use; None uses the service's.
        whole: Whether to skip Pythons without a part of the standard library that the service's own Python has.

    Raises:
        OSError: No file descriptor is free.

    Cancellation: the interpreter that is being queried is killed.
    """
    given = os.environ if variables is None else variables
    for minor in minors:
        for path in await trio.to_thread.run_sync(_candidates, minor, given):
            found = await look_at(path)
            if found is None or not _is_it(found.interpreter, minor, requires):
                continue
            if missing := found.lacks - _OWN_LACKS if whole else frozenset():
                _log.info("interpreter skipped", path=str(path), lacks=sorted(missing))
                continue
            return found
    return None


def _is_it(interpreter: PythonInterpreter, minor: int, requires: str) -> bool:
    """Return whether the interpreter fits: a program ``python3.12`` may run another version."""
    return interpreter.version.startswith(f"3.{minor}.") and allows(requires or None, interpreter)


async def look_at(path: Path) -> Installed | None:
    """Query an interpreter; None unless it is a released CPython.

    Raises:
        OSError: No file descriptor is free.

    Cancellation: the interpreter is killed.
    """
    argv = [str(path), "-I", "-c", _ASK]
    try:
        with trio.fail_after(_PATIENCE_S):
            asked = await run_program(argv, environment=program_environment(os.environ), directory=Path("/"))
    except (OSError, trio.TooSlowError) as error:
        if isinstance(error, OSError):
            raise_want(error)
        _log.info("interpreter skipped", path=str(path), why=str(error) or f"no answer in {_PATIENCE_S:g} s")
        return None
    said = _read(asked.lines[-1] if asked.code == 0 and asked.lines else "")
    if said is None or said.kind != "CPython" or said.is_free or _RELEASE.fullmatch(said.version) is None:
        _log.info("interpreter skipped", path=str(path), why="it is not a released CPython")
        return None
    identity = f"{said.version} {said.machine} {said.home}"
    return Installed(PythonInterpreter(str(path), said.version, identity), said.modules, said.lacks)


class _Said(NamedTuple):
    version: str
    machine: str
    home: str
    kind: str
    is_free: bool
    modules: frozenset[str]
    lacks: frozenset[str]


_SAID: Final = TypeAdapter(_Said)


def _read(line: str) -> _Said | None:
    try:
        return _SAID.validate_json(line, strict=False)
    except ValidationError:
        return None


def _candidates(minor: int, variables: Mapping[str, str]) -> list[Path]:
    """Return programs that may be this Python, the likeliest first, each once. Blocks on the disk."""
    found: dict[Path, None] = {}
    for folder in _folders(f"3.{minor}", variables):
        path = folder / f"python3.{minor}"
        if folder.name != _NO_PROGRAMS and os.access(path, os.X_OK):
            found[path] = None
    return list(found)


def _folders(minor: str, variables: Mapping[str, str]) -> Iterator[Path]:
    for entry in variables.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(entry):  # noqa: PTH117  the entry is a string
            yield Path(entry)
    home = variables.get("HOME")
    for variable, usual, below in _MANAGERS:
        root = variables.get(variable) or (f"{home}/{usual}" if home else None)
        if root is not None:
            yield from _newest_first(Path(root) / below, minor)


def _newest_first(folder: Path, minor: str) -> list[Path]:
    """Return the program folders of installed Pythons of this minor version, the newest first."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        raise_want(error)
        return []
    found = [(match[0].removeprefix("cpython-"), name) for name in names if (match := _VERSION.match(name))]
    fitting = [(Version(version), name) for version, name in found if f"{version}.".startswith(f"{minor}.")]
    return [folder / name / "bin" for _, name in sorted(fitting, reverse=True)]
