"""uv's installations into one environment; as far as possible they run no code of packages.

1. Wheels are linked from the package cache of all builds, by a uv that cannot start programs.
2. A package that must be built is built in a jail with an empty cache. From then on the folder holds what code of
   packages has written, so uv no longer gets it together with the cache of all builds.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio
from packaging.requirements import Requirement

from preview.environments.folders.environment import Report
from preview.environments.python.explain import explain
from preview.environments.python.output import Output
from preview.environments.python.recipe import Recipe
from preview.environments.python.resolving import can_be_resolved, may_be_cached, name_of, resolve
from preview.environments.requirements.arguments import build_options
from preview.environments.requirements.requirements import RequirementSet
from preview.environments.sandbox.jail import Cage
from preview.environments.sandbox.program import ProgramResult, run_uv
from preview.environments.sandbox.uv_cages import UvCages

# Reasons of a failed resolution that a build of packages may overcome.
_NEEDS_CODE: Final = frozenset({"build", "denied", "download", "other"})
_PINS: Final = "pins.txt"
_ANYWHERE: Final = Path("/")


class Installer:
    """uv with the jails of one build.

    Args:
        temporary: The environment's folder, which has an interpreter already.
        offline: Use only uv's cache.
        cages: The jails; None if this machine has none.
    """

    def __init__(
        self, recipe: Recipe, temporary: Path, report: Report, cages: UvCages | None, *, offline: bool
    ) -> None:
        self._temporary = temporary
        self._interpreter = recipe.interpreter
        self._runs_code = recipe.runs_code
        # A trial loosens nothing, and mostly builds nothing: if it fails, another Python is used.
        self._has_wheels_only = recipe.ahead_of is not None and not recipe.trial_builds
        self._report = report
        self._cages = cages
        self._offline = offline
        self._resolves = False
        # Whether code of packages may have written to the folder.
        self._is_foreign = False
        self.resolver = None if cages is None else cages.unpacking
        """Jail of the last resolution: its cache has what the index says of the packages."""

    @property
    def trying(self) -> Cage | None:
        """Jail for code of packages that must not change the environment; None if this machine has none."""
        return None if self._cages is None else self._cages.trying

    async def attempt(
        self, arguments: list[str], required: RequirementSet, output: Output, *, again: bool
    ) -> ProgramResult:
        """Install once.

        Args:
            arguments: What ``write_arguments`` returns, and options that choose versions.
            required: The requirements that the arguments describe.
            output: Takes the lines of uv.
            again: Whether to replace installed packages, however new they are.

        Cancellation: uv is killed.
        """
        options = ["--reinstall"] if again else []
        cages = self._cages
        if cages is None or not (self._runs_code or self._has_wheels_only):
            return await self._install_all([*options, *arguments], required, output)
        if "--no-binary" not in required.options and not self._is_foreign:
            names = [item.name for item in required.requirements if item.name is not None and item.applies]
            if required.all_pinned and not self._resolves:
                result = await self._unpack([*options, *arguments], names, cages, output)
                if result.code == 0:
                    output.replay(result)
                    return result
                # A wheel or the whole version is missing: resolving the versions shows which.
                self._resolves = True
            if can_be_resolved(required):
                return await self._install_chosen(arguments, required, cages, output, options)
        if self._has_wheels_only:
            return ProgramResult()
        # A resolution alone would build again what `build` has made: an index may tell uv to keep nothing in its cache.
        self.resolver = cages.trying
        return await self.build([*options, *arguments], say=output)

    async def build(self, arguments: Sequence[str], *, say: Callable[[str], None] | None = None) -> ProgramResult:
        """Install with builds, which run code of packages. Cancellation: uv is killed."""
        self._is_foreign = True
        cage = None if self._cages is None else self._cages.building
        return await self._run(self._temporary, arguments, offline=self._offline, say=say, cage=cage)

    async def install_again(self, line: str, required: RequirementSet) -> ProgramResult:
        """Install one package over others that bring the same modules. Cancellation: uv is killed."""
        builds = build_options(required, runs_code=self._runs_code)
        arguments = ["--no-deps", "--no-sources", *builds, "--reinstall-package", name_of(line), line]
        if self._cages is not None and not self._is_foreign:
            return await self._unpack(arguments, [name_of(line)], self._cages, Output(self._report))
        cage = None if self._cages is None else self._cages.building
        return await self._run(self._temporary, arguments, offline=self._offline, cage=cage)

    async def _install_all(self, arguments: list[str], required: RequirementSet, output: Output) -> ProgramResult:
        """Install in one run: without jails, or if no code may run."""
        cages = self._cages
        if cages is None:
            run = partial(self._run, self._temporary, arguments)
        else:
            run = partial(self._run, cages.place, arguments, cage=cages.unpacking)
        if not self._offline and required.all_pinned:
            # The index cannot change pinned versions: if all is cached, an offline run saves half a second of queries.
            # Its output is reported only on success: a failure here just means that the network is needed.
            result = await run(offline=True)
            if result.code == 0:
                output.replay(result)
                return result
        result = await run(offline=self._offline, say=output)
        if result.code == 0 or self._offline or required.all_pinned or not self._is_cut_off(result, required):
            return result
        cached = await run(offline=True)
        if cached.code != 0:
            return result
        output.replay(cached)
        return cached

    async def _install_chosen(
        self, arguments: list[str], required: RequirementSet, cages: UvCages, output: Output, options: list[str]
    ) -> ProgramResult:
        """Choose all versions; then link those with wheels, and build the others."""
        resolved, lines = await self._resolve(arguments, required, cages)
        if resolved.code != 0:
            output.replay(resolved)
            return resolved
        at = arguments.index("--requirement")
        rest = ["--no-deps", *arguments[:at], *arguments[at + 2 :]]
        result, left = await self._link(lines, [*options, *rest], required, cages, output)
        if left and result.code == 0 and self._has_wheels_only:
            return ProgramResult()
        if left and not self._has_wheels_only:
            return await self.build([*rest, *await _write_pins(left, cages.building)], say=output)
        output.replay(result)
        return result

    async def _link(
        self, lines: list[str], rest: list[str], required: RequirementSet, cages: UvCages, output: Output
    ) -> tuple[ProgramResult, list[str]]:
        """Install what has wheels; return the last result and the lines that are left."""
        left = [line for line in lines if _must_be_built(line)]
        linked = [line for line in lines if line not in left]
        result = ProgramResult(0)
        while linked:
            names = [name_of(line) for line in linked]
            result = await self._unpack([*rest, *await _write_pins(linked, cages.unpacking)], names, cages, output)
            if result.code == 0:
                break
            why = explain(result.lines, required, offline=self._offline, runs_code=False, refused=result.refused)
            unbuilt = [line for line in linked if name_of(line) == why.package]
            if why.reason not in {"denied", "no_version"} or not unbuilt or self._has_wheels_only:
                return result, [*left, *linked]
            left += unbuilt
            linked = [line for line in linked if line not in unbuilt]
        return result, left

    async def _resolve(
        self, arguments: list[str], required: RequirementSet, cages: UvCages
    ) -> tuple[ProgramResult, list[str]]:
        self.resolver = cages.unpacking
        run = partial(resolve, arguments, self._interpreter)
        resolved, lines = await run(cages.unpacking, offline=self._offline)
        if resolved.code == 0:
            return resolved, lines
        why = explain(resolved.lines, required, offline=self._offline, refused=resolved.refused)
        if self._runs_code and why.reason in _NEEDS_CODE:
            # What a package requires is known only after its code has run.
            self.resolver = cages.trying
            return await run(cages.trying, offline=self._offline)
        if self._offline or not self._is_cut_off(resolved, required):
            return resolved, lines
        cached, lines = await run(cages.unpacking, offline=True)
        return (cached if cached.code == 0 else resolved), lines

    def _is_cut_off(self, result: ProgramResult, required: RequirementSet) -> bool:
        """Return whether the network caused the failure; report it in that case."""
        if explain(result.lines, required, offline=False, refused=result.refused).reason != "network":
            return False
        sentence = "the package index cannot be reached: trying with what is in the package cache"
        self._report(sentence, logging.WARNING)
        return True

    async def _unpack(self, arguments: list[str], names: list[str], cages: UvCages, output: Output) -> ProgramResult:
        """Install without running code of packages: from the cache, else with wheels from the index."""
        # If no code may run, the arguments contain --no-build already, and uv does not accept both options.
        wheels_only = ["--only-binary", ":all:"] if self._runs_code else []
        run = partial(self._run, cages.place, [*arguments, *wheels_only], cage=cages.unpacking)
        tries = (True,) if self._offline else (True, False)
        if not self._offline and not await trio.to_thread.run_sync(may_be_cached, cages.unpacking.jail.uv_cache, names):
            tries = (False,)
        for offline in tries:
            result = await run(offline=offline, say=None if offline else output.progress)
            if result.code == 0:
                break
        return result

    def _run(
        self,
        environment: Path,
        arguments: Sequence[str],
        *,
        offline: bool,
        say: Callable[[str], None] | None = None,
        cage: Cage | None = None,
    ) -> Awaitable[ProgramResult]:
        directory = self._temporary.parent if cage is None else _ANYWHERE
        command = ["pip", "install", "--python", str(environment / "bin" / "python"), *arguments]
        # Settings in a file may ask for it, but it starts Python.
        command += ["--no-compile-bytecode"] if cage is not None and cage.alone else []
        return run_uv(command, offline=offline, directory=directory, say=say, cage=cage)


async def _write_pins(lines: Sequence[str], cage: Cage) -> list[str]:
    """Write a requirements file that the jail shows; return the arguments that name it."""
    place = cage.scratch / _PINS
    # Code of packages may have put a link to another file there.
    await trio.Path(place).unlink(missing_ok=True)
    await trio.Path(place).write_text("\n".join(lines) + "\n", "utf-8")
    return ["--requirement", str(place)]


def _must_be_built(line: str) -> bool:
    """Return whether a chosen package comes from a folder, an archive or a repository."""
    address = line if line.startswith("/") else Requirement(line).url
    return address is not None and not address.partition("#")[0].endswith(".whl")
