"""The Python that environments are built for."""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from preview.environments.sandbox.program import run_program
from preview.environments.sandbox.uv import program_environment, run_uv
from preview.errors import ConfigurationError

OWN = "own"
"""What ``environment_python`` calls the service's own Python, for all that do not want another themselves."""
_BARE = re.compile(r"3(?:\.\d+){0,2}")
_ASK = "import platform, sys, sysconfig; print(platform.python_version(), sysconfig.get_platform(), sys.base_prefix)"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One interpreter.

    Attributes:
        request: What the installer is asked for: a path.
        version: ``3.11.7``.
        identity: Version, platform and home: what makes an environment of it usable or not.
    """

    request: str
    version: str
    identity: str


async def find_interpreter(wanted: str | None, *, offline: bool) -> Interpreter:
    """The running interpreter (None, or ``own``), or the one that ``environment_python`` names (``3.12``, or a path).

    Raises:
        ConfigurationError: There is none like it.

    Cancellation: the program that looks is killed.
    """
    if wanted is None or wanted == OWN:
        version = platform.python_version()
        return Interpreter(sys.executable, version, f"{version} {sysconfig.get_platform()} {sys.base_prefix}")
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
    return Interpreter(path, words[0], " ".join(words))


def allows(requires: str | None, interpreter: Interpreter) -> bool:
    """Whether a project that wants ``requires`` (``>=3.12``) runs on the interpreter; what is no range allows any."""
    if requires is None:
        return True
    # Poetry's way to say exactly this one; of a minor version any release is meant.
    bare = _BARE.fullmatch(requires.strip())
    if bare is not None:
        requires = f"=={bare[0]}" if bare[0].count(".") > 1 else f"=={bare[0]}.*"
    try:
        return SpecifierSet(requires).contains(interpreter.version, prereleases=True)
    except InvalidSpecifier:
        return True


async def find_other(requires: str) -> Interpreter | None:
    """An interpreter of this machine that ``requires`` allows, or None; none is downloaded.

    Cancellation: the program that looks is killed.
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
