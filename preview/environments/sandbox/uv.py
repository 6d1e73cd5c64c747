"""``uv``, the installer: which variables it sees and how it is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uv

from preview.environments.sandbox.jail import Cage
from preview.environments.sandbox.program import ProgramResult, run_program
from preview.errors import ConfigurationError

# What operators set to reach their package index, and what programs need to run at all. Nothing else of the service's
# environment goes to the build of a project's packages.
_PASSED_PREFIXES = ("UV_", "SSL_", "LC_", "XDG_")
_PASSED = frozenset(
    {
        "ALL_PROXY",
        "HOME",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "LANG",
        "NETRC",
        "NO_PROXY",
        "PATH",
        "REQUESTS_CA_BUNDLE",
        "TMPDIR",
    }
)
# They would point uv at another environment or project than the one it is told to work on.
_WITHHELD = frozenset({"UV_ENV_FILE", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_WORKING_DIRECTORY"})
# Publishing is nothing that an environment needs.
_WITHHELD_PREFIXES = ("UV_PUBLISH_",)
BUILDER = Path(__file__).parents[1] / "builder"
"""Holds a ``sitecustomize``: Pythons that uv starts to build a package forget uv's variables with it."""


def program_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of the service's environment that an installer sees: what leads to packages and programs."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _WITHHELD
        and not name.startswith(_WITHHELD_PREFIXES)
        and (name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES))
    }


async def run_uv(
    arguments: Sequence[str],
    *,
    offline: bool,
    directory: Path = Path("/"),
    say: Callable[[str], None] | None = None,
    cage: Cage | None = None,
) -> ProgramResult:
    """Run ``uv`` and wait for its end.

    Args:
        arguments: Without the program's name.
        offline: Use nothing but uv's cache.
        directory: Working folder; uv looks for its settings from there upwards.
        say: Is told each line as it comes.
        cage: The jail that it runs in; None runs it as any program of the service.

    Raises:
        ConfigurationError: The program is missing.

    Cancellation: uv and all that it started are killed before this returns.
    """
    argv = [find_uv(), *arguments, "--color", "never", "--no-progress", *(["--offline"] if offline else [])]
    environment = {**program_environment(os.environ), "PYTHONPATH": str(BUILDER)}
    return await run_program(
        argv, environment=environment, directory=directory, say=say, cage=cage, reaches_out=not offline
    )


def find_uv() -> str:
    """Where it is.

    Raises:
        ConfigurationError: It is missing.
    """
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        raise ConfigurationError("The program uv is missing; install this package again, it depends on uv") from error
