"""Interpreters that environments are built for, and skeletons: stored empty environments."""

from __future__ import annotations

import os
import platform
import re
import stat
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from preview.environments.sandbox.program import program_environment, run_program, run_uv
from preview.errors import ConfigurationError

OWN = "own"
"""Value of ``environment_python`` that selects the service's own Python, unless a project requires another one."""
_BARE = re.compile(r"3(?:\.\d+){0,2}")
_ASK = "import platform, sys, sysconfig; print(platform.python_version(), sysconfig.get_platform(), sys.base_prefix)"


@dataclass(frozen=True, slots=True)
class PythonInterpreter:
    """One interpreter.

    Attributes:
        request: Path of the interpreter, which is passed to the installer.
        version: For example ``3.11.7``.
        identity: Version, platform and home folder: an environment works only with the same identity.
    """

    request: str
    version: str
    identity: str


async def find_interpreter(wanted: str | None, *, offline: bool) -> PythonInterpreter:
    """Return the running interpreter (None, or ``own``), or the configured one (``3.12``, or a path).

    Raises:
        ConfigurationError: The configured interpreter does not exist or does not run.

    Cancellation: the program that is being run is killed.
    """
    if wanted is None or wanted == OWN:
        version = platform.python_version()
        return PythonInterpreter(sys.executable, version, f"{version} {sysconfig.get_platform()} {sys.base_prefix}")
    found = await run_uv(["python", "find", "--no-project", "--no-cache", wanted], offline=offline)
    path = found.lines[-1].strip() if found.lines else ""
    if found.code != 0 or not path:
        raise ConfigurationError(
            f"PREVIEW_ENVIRONMENT_PYTHON={wanted}: there is no such Python here; install it or name another",
            output=found.tail(),
        )
    asked = await run_program(
        [path, "-I", "-c", _ASK], environment=program_environment(os.environ), directory=Path("/")
    )
    words = asked.lines[-1].split(maxsplit=2) if asked.lines else []
    if asked.code != 0 or len(words) != 3:
        raise ConfigurationError(
            f"PREVIEW_ENVIRONMENT_PYTHON={wanted}: {path} does not run; name another", output=asked.tail()
        )
    return PythonInterpreter(path, words[0], " ".join(words))


def allows(requires: str | None, interpreter: PythonInterpreter) -> bool:
    """Return whether a project with ``requires`` (``>=3.12``) runs on the interpreter; invalid ranges allow any."""
    if requires is None:
        return True
    # Poetry's form for an exact version; a minor version allows any of its releases.
    bare = _BARE.fullmatch(requires.strip())
    if bare is not None:
        requires = f"=={bare[0]}" if bare[0].count(".") > 1 else f"=={bare[0]}.*"
    try:
        return SpecifierSet(requires).contains(interpreter.version, prereleases=True)
    except InvalidSpecifier:
        return True


async def find_other(requires: str) -> PythonInterpreter | None:
    """Return an interpreter of this machine that ``requires`` allows, or None; none is downloaded.

    Cancellation: the program that is being run is killed.
    """
    arguments = ["python", "find", "--no-project", "--no-cache", "--no-python-downloads", requires.replace(" ", "")]
    found = await run_uv(arguments, offline=True)
    if found.code != 0 or not found.lines:
        return None
    try:
        other = await find_interpreter(found.lines[-1].strip(), offline=True)
    except ConfigurationError:
        return None
    return other if allows(requires, other) else None


# An empty environment has two dozen small files. A larger one is not kept.
_MAX_ENTRIES: Final = 200
_MAX_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Entry:
    """One folder, file or link.

    Attributes:
        path: Path in the environment.
        mode: Permission bits.
        target: Target of a link; None for a file or folder.
        content: Content of a file; None for a folder or link.
    """

    path: str
    mode: int
    target: str | None = None
    content: bytes | None = None


class Skeletons:
    """Empty environments by interpreter. They are relocatable, so each new environment is a copy of the first.

    Kept in memory only: a new service process may find another version of uv, which may create other files.
    """

    def __init__(self) -> None:
        self._kept: dict[PythonInterpreter, tuple[tuple[_Entry, ...], frozenset[str]]] = {}

    @property
    def are_known(self) -> bool:
        """True if any empty environment is known."""
        return bool(self._kept)

    def write(self, interpreter: PythonInterpreter, folder: Path, notes: frozenset[str] = frozenset()) -> bool:
        """Fill the empty folder; return False if no skeleton is known for this interpreter. Blocks on the disk.

        Args:
            interpreter: The interpreter.
            folder: The empty folder.
            notes: What is known of interpreters now. If something is missing since ``keep``, the skeleton is too old.

        Raises:
            OSError: The disk reported an error.
        """
        entries, needed = self._kept.get(interpreter, (None, notes))
        if entries is None or not needed <= notes:
            return False
        root = os.fspath(folder)
        for entry in entries:
            path = f"{root}/{entry.path}"
            if entry.target is not None:
                os.symlink(entry.target, path)  # noqa: PTH211  a launch waits: strings are faster
            elif entry.content is None:
                os.mkdir(path, entry.mode)  # noqa: PTH102
            else:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, entry.mode)
                try:
                    os.write(descriptor, entry.content)
                finally:
                    os.close(descriptor)
        return True

    def keep(self, interpreter: PythonInterpreter, folder: Path, notes: frozenset[str] = frozenset()) -> None:
        """Remember the environment that uv has just created, before anything is installed in it. Blocks on the disk.

        Raises:
            OSError: A file cannot be read.
        """
        entries = list(_read(os.fspath(folder), ""))
        if len(entries) <= _MAX_ENTRIES and sum(len(entry.content or b"") for entry in entries) <= _MAX_BYTES:
            self._kept[interpreter] = tuple(entries), notes


def _read(root: str, below: str) -> Iterator[_Entry]:
    """Yield all entries, each folder before its content."""
    with os.scandir(f"{root}/{below}") as entries:
        for found in entries:
            path = f"{below}{found.name}"
            mode = stat.S_IMODE(found.stat(follow_symlinks=False).st_mode)
            if found.is_symlink():
                yield _Entry(path, mode, target=os.readlink(found.path))  # noqa: PTH115
            elif found.is_dir():
                yield _Entry(path, mode)
                yield from _read(root, f"{path}/")
            elif found.is_file():
                yield _Entry(path, mode, content=Path(found.path).read_bytes())
