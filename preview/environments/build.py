"""Building one environment: into a folder beside its place, renamed when it is finished."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from preview.clock import rfc3339, utc_now
from preview.environments.environment import Report
from preview.environments.explain import explain
from preview.environments.imports.scan import Wanted
from preview.environments.install import Installation, fail
from preview.environments.interpreter import Interpreter
from preview.environments.layout import Layout, measure_and_protect, remove_tree
from preview.environments.requirements import RequirementSet
from preview.environments.unfinished import open_unfinished
from preview.environments.uv import run_uv

__all__ = ["Recipe", "build_environment"]

# Relocatable: it is renamed when finished. --no-project: what lies above the cache folder has no say.
_VENV = ("venv", "--relocatable", "--no-project", "--allow-existing", "--quiet")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that determines an environment.

    Attributes:
        key: Its name: a hash over everything else.
        required: What the project asks for.
        interpreter: For which Python.
        server: The server's requirement line, or None where the project brings its own.
        wanted: What its files import and no manifest names: added where it is missing in the end.
    """

    key: str
    required: RequirementSet
    interpreter: Interpreter
    server: str | None
    wanted: tuple[Wanted, ...] = ()


async def build_environment(
    recipe: Recipe, layout: Layout, report: Report, *, offline: bool, patience_s: float
) -> None:
    """Build the environment; the caller holds its exclusive lock.

    Args:
        recipe: What to build.
        layout: Where.
        report: Is told the installer's output line by line, and each decision.
        offline: Use nothing but the installer's cache.
        patience_s: Seconds after which no single requirement is loosened any more.

    Raises:
        EnvironmentFailed: It cannot be built; nothing is left of it.

    Cancellation: the installer is killed and nothing is left.
    """
    async with open_unfinished(layout, recipe.key) as temporary:
        decisions = await _fill(recipe, temporary, report, offline=offline, patience_s=patience_s)
        await trio.to_thread.run_sync(_finish, recipe, temporary, layout, decisions)


async def _fill(recipe: Recipe, temporary: Path, report: Report, *, offline: bool, patience_s: float) -> list[str]:
    await trio.to_thread.run_sync(partial(temporary.mkdir, parents=True))
    result = await run_uv(
        [*_VENV, "--python", recipe.interpreter.request, str(temporary)],
        offline=offline,
        directory=temporary.parent,
    )
    if result.code != 0:
        fail(result, explain(result.lines, recipe.required, offline=offline))
    installation = Installation(
        temporary,
        recipe.required,
        recipe.server,
        report,
        python=recipe.interpreter.version,
        offline=offline,
        patience_s=patience_s,
    )
    await installation.run(recipe.wanted)
    return installation.decisions


def _finish(recipe: Recipe, temporary: Path, layout: Layout, decisions: list[str]) -> None:
    """Put the finished folder in its place; a broken one there goes first."""
    facts = {
        "requirements": [item.text for item in recipe.required.requirements],
        "server": recipe.server,
        "python": recipe.interpreter.identity,
        "built_at": rfc3339(utc_now()),
        "decisions": decisions,
    }
    measure_and_protect(temporary, facts)
    place = layout.directory(recipe.key)
    if place.exists():
        broken = layout.temporary(recipe.key, "removing")
        place.rename(broken)
        remove_tree(broken)
    temporary.rename(place)
