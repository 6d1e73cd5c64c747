"""Building one environment: into a folder beside its place, renamed when it is finished."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.clock import rfc3339, utc_now
from preview.environments.environment import Report
from preview.environments.explain import explain
from preview.environments.interpreter import Interpreter
from preview.environments.layout import Layout, measure_and_protect, remove_tree
from preview.environments.program import ProgramResult
from preview.environments.requirements import RequirementSet
from preview.environments.uv import run_uv
from preview.errors import EnvironmentFailed

__all__ = ["Recipe", "build_environment"]

_log = structlog.get_logger(__name__)

# Relocatable: it is renamed when finished. --no-project: what lies above the cache folder has no say.
_VENV = ("venv", "--relocatable", "--no-project", "--allow-existing", "--quiet")
# Removing a half-built environment: tens of thousands of files at worst.
_REMOVE_S = 10.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that determines an environment.

    Attributes:
        key: Its name: a hash over everything else.
        required: What the project asks for.
        interpreter: For which Python.
        server: The server's requirement line, or None where the project brings its own.
    """

    key: str
    required: RequirementSet
    interpreter: Interpreter
    server: str | None


async def build_environment(recipe: Recipe, layout: Layout, report: Report, *, offline: bool) -> None:
    """Build the environment; the caller holds its exclusive lock.

    Args:
        recipe: What to build.
        layout: Where.
        report: Is told the installer's output line by line.
        offline: Use nothing but the installer's cache.

    Raises:
        EnvironmentFailed: It cannot be built; nothing is left of it.

    Cancellation: the installer is killed and nothing is left.
    """
    temporary = layout.temporary(recipe.key, "building")
    try:
        await _fill(recipe, temporary, report, offline=offline)
        await trio.to_thread.run_sync(_finish, recipe, temporary, layout)
    except OSError as error:
        raise EnvironmentFailed(
            f"The environment could not be written: {error.strerror or error}; look at the service's cache folder",
            reason="disk",
        ) from error
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True):
            await trio.to_thread.run_sync(_remove, temporary, abandon_on_cancel=True)


def _remove(temporary: Path) -> None:
    try:
        remove_tree(temporary)
    except OSError as error:  # the next build or eviction of this key tries again
        _log.warning("half-built environment not removed", folder=str(temporary), error=str(error))


async def _fill(recipe: Recipe, temporary: Path, report: Report, *, offline: bool) -> None:
    await trio.to_thread.run_sync(partial(temporary.mkdir, parents=True))
    result = await run_uv(
        [*_VENV, "--python", recipe.interpreter.request, str(temporary)],
        offline=offline,
        directory=temporary.parent,
    )
    if result.code != 0:
        _fail(result, recipe, offline=offline)
    arguments = await trio.to_thread.run_sync(_install_arguments, recipe, temporary)
    if arguments is not None:
        await _install(arguments, recipe, temporary.parent, report, offline=offline)


async def _install(arguments: list[str], recipe: Recipe, directory: Path, report: Report, *, offline: bool) -> None:
    say = partial(_say, report)
    if offline:
        result = await run_uv(arguments, offline=True, directory=directory, say=say)
        if result.code != 0:
            _fail(result, recipe, offline=True)
        return
    if recipe.required.all_pinned:
        # What is pinned cannot have changed in the index: half a second of asking it is saved when all is cached.
        # Said only when it worked: a failure here just means that the network is needed.
        result = await run_uv(arguments, offline=True, directory=directory)
        if result.code == 0:
            for line in result.lines:
                say(line)
            return
    result = await run_uv(arguments, offline=False, directory=directory, say=say)
    if result.code == 0:
        return
    if explain(result.lines, recipe.required, offline=False).reason == "network" and not recipe.required.all_pinned:
        report("the package index cannot be reached: trying with what is in the package cache", logging.WARNING)
        cached = await run_uv(arguments, offline=True, directory=directory)
        if cached.code == 0:
            for line in cached.lines:
                say(line)
            return
    _fail(result, recipe, offline=False)


def _say(report: Report, line: str) -> None:
    # The folder's name means nothing to a reader, and it is gone when the build is.
    if line and not line.startswith("Using Python "):
        report(line, logging.ERROR if line.startswith("error:") else logging.INFO)


def _fail(result: ProgramResult, recipe: Recipe, *, offline: bool) -> None:
    explanation = explain(result.lines, recipe.required, offline=offline)
    raise EnvironmentFailed(
        explanation.message,
        reason=explanation.reason,
        requirement=explanation.requirement,
        origin=explanation.origin,
        output=result.tail(),
    )


def _install_arguments(recipe: Recipe, temporary: Path) -> list[str] | None:
    """Write the files for the installer; its arguments, or None when there is nothing to install."""
    required = recipe.required
    lines = [item.text for item in required.requirements]
    if recipe.server is not None:
        lines.append(recipe.server)
    if not lines:
        return None
    wanted = temporary / "requirements.txt"
    wanted.write_text("\n".join(lines) + "\n", "utf-8")
    # Compiled here, once: it takes a second for a small shop, and saves that second at each start.
    arguments = ["pip", "install", "--python", str(temporary / "bin" / "python"), "--compile-bytecode", "--no-sources"]
    arguments += ["--requirement", str(wanted), *required.options]
    if required.constraints:
        constraints = temporary / "constraints.txt"
        constraints.write_text("\n".join(item.text for item in required.constraints) + "\n", "utf-8")
        arguments += ["--constraint", str(constraints)]
    if required.prerelease:
        arguments.append("--prerelease=allow")
    return arguments


def _finish(recipe: Recipe, temporary: Path, layout: Layout) -> None:
    """Put the finished folder in its place; a broken one there goes first."""
    facts = {
        "requirements": [item.text for item in recipe.required.requirements],
        "server": recipe.server,
        "python": recipe.interpreter.identity,
        "built_at": rfc3339(utc_now()),
    }
    measure_and_protect(temporary, facts)
    place = layout.directory(recipe.key)
    if place.exists():
        broken = layout.temporary(recipe.key, "removing")
        place.rename(broken)
        remove_tree(broken)
    temporary.rename(place)
