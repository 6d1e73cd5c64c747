"""Build of one environment, in a temporary folder that is renamed when the environment is finished."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from preview.core.clock import rfc3339, utc_now
from preview.environments.folders.environment import Report
from preview.environments.folders.layout import Layout, measure_and_protect
from preview.environments.folders.locks import make_folder, open_cage, open_unfinished
from preview.environments.python.explain import explain, fail
from preview.environments.python.install import Installation
from preview.environments.python.output import KeptReport
from preview.environments.python.recipe import Recipe
from preview.environments.python.refusals import PYTHON, is_final
from preview.environments.python.resolving import interpreter_notes
from preview.environments.python.trial import objection_to_packages
from preview.environments.requirements.requirements import check_locations
from preview.environments.sandbox.interpreter import Skeletons
from preview.environments.sandbox.jail import Jail
from preview.environments.sandbox.program import program_environment, run_uv
from preview.environments.sandbox.uv_cages import UvCages, make_uv_cages
from preview.environments.way_out.allowed import read_allowed
from preview.errors import EnvironmentFailed
from preview.runtime.cgroups import Cgroup

# --relocatable: the folder is renamed when finished. --no-project: ignore projects in folders above the cache.
_VENV = ("venv", "--relocatable", "--no-project", "--allow-existing", "--quiet")
# Working folder in a jail: uv must not read files that builds left in the cache as settings of the project.
_ANYWHERE = Path("/")


async def build_environment(
    recipe: Recipe,
    layout: Layout,
    report: Report,
    *,
    offline: bool,
    patience_s: float,
    jail: Jail | None = None,
    skeletons: Skeletons | None = None,
) -> None:
    """Build the environment; the caller holds its exclusive lock.

    Raises:
        EnvironmentFailed: The environment cannot be built; no files are left.

    Cancellation: the installer is killed and no files are left.
    """
    if jail is not None and not offline:
        allowed = await trio.to_thread.run_sync(read_allowed, program_environment(os.environ), jail.hosts)
        check_locations(recipe.required, allowed)
    async with open_unfinished(layout, recipe.key) as temporary:
        await trio.to_thread.run_sync(make_folder, temporary)
        async with open_cage(jail, layout, recipe.key, _cages(recipe, temporary)) as cages:
            await _make_empty(recipe, temporary, cages, skeletons or Skeletons(), offline=offline)
            filled = await _fill(recipe, temporary, report, cages, offline=offline, patience_s=patience_s)
        await trio.to_thread.run_sync(_finish, recipe, temporary, layout, filled)


def _cages(recipe: Recipe, temporary: Path) -> Callable[[Jail, Path, Cgroup | None], UvCages]:
    return partial(make_uv_cages, recipe.interpreter, recipe.required, temporary)


async def learn(recipe: Recipe, layout: Layout, skeletons: Skeletons, *, jail: Jail | None) -> None:
    """Have uv create an empty environment and inspect its interpreter, so that builds do not wait for these steps.

    Raises:
        EnvironmentFailed: No environment can be created.

    Cancellation: uv is killed and no files are left.
    """
    async with open_unfinished(layout, recipe.key) as temporary:
        await trio.to_thread.run_sync(make_folder, temporary)
        async with open_cage(jail, layout, recipe.key, _cages(recipe, temporary)) as cages:
            await _make_empty(recipe, temporary, cages, skeletons, offline=True)


async def _make_empty(
    recipe: Recipe, temporary: Path, cages: UvCages | None, skeletons: Skeletons, *, offline: bool
) -> None:
    """Create an empty environment with its interpreter in the folder."""
    cage = None if cages is None else cages.preparing

    def write() -> bool:
        return skeletons.write(recipe.interpreter, temporary, interpreter_notes(recipe.interpreter, cage))

    def keep() -> None:
        skeletons.keep(recipe.interpreter, temporary, interpreter_notes(recipe.interpreter, cage))

    if await trio.to_thread.run_sync(write):
        return
    result = await run_uv(
        [*_VENV, "--python", recipe.interpreter.request, str(temporary)],
        offline=offline,
        directory=temporary.parent if cages is None else _ANYWHERE,
        cage=cage,
    )
    if result.code != 0:
        fail(result, explain(result.lines, recipe.required, offline=offline))
    # A uv that cannot start programs takes what it needs to know of the interpreter from its cache.
    if cages is not None:
        look = ["pip", "freeze", "--quiet", "--python", str(cages.place / "bin" / "python")]
        await run_uv(look, offline=True, cage=cage)
    await trio.to_thread.run_sync(keep)


async def _fill(
    recipe: Recipe, temporary: Path, report: Report, cages: UvCages | None, *, offline: bool, patience_s: float
) -> Installation:
    if recipe.ahead_of is None:
        return await _install(recipe, temporary, report, cages, offline=offline, patience_s=patience_s)
    kept = KeptReport(report)
    filled: Installation | None = None
    try:
        with trio.move_on_after(patience_s):
            filled = await _install(recipe, temporary, kept, cages, offline=offline, patience_s=patience_s)
    except EnvironmentFailed as error:
        if is_final(error):
            kept.release()
        raise
    if filled is None:
        raise EnvironmentFailed(f"it was not ready within {patience_s:g} s", reason="slow")
    why = None
    if int(recipe.interpreter.version.split(".")[1]) > sys.version_info.minor:
        why = await trio.to_thread.run_sync(objection_to_packages, temporary, recipe.interpreter.version)
    if why is not None:
        raise EnvironmentFailed(why, reason=PYTHON)
    kept.release()
    return filled


async def _install(
    recipe: Recipe, temporary: Path, report: Report, cages: UvCages | None, *, offline: bool, patience_s: float
) -> Installation:
    cages = None if cages is None else await trio.to_thread.run_sync(cages.with_interpreters)
    installation = Installation(recipe, temporary, report, cages, offline=offline, patience_s=patience_s)
    await installation.run(recipe.wanted)
    return installation


def _finish(recipe: Recipe, temporary: Path, layout: Layout, filled: Installation) -> None:
    """Write the marker and move the finished folder to the environment's path."""
    facts: dict[str, object] = {
        "requirements": [item.text for item in recipe.required.requirements],
        "server": recipe.server,
        "python": recipe.interpreter.identity,
        "built_at": rfc3339(utc_now()),
        "decisions": filled.decisions,
    }
    if filled.has_unbuilt:
        facts["unbuilt_by"] = recipe.builder
    measure_and_protect(temporary, facts)
    layout.put(recipe.key, temporary)
