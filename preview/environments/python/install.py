"""Installation of a project's requirements: loosened step by step on failure, and completed by missing imports."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import trio
from packaging.utils import canonicalize_name

from preview.environments.folders.environment import Report
from preview.environments.folders.overlaps import overwritten
from preview.environments.imports.names import Offered, distribution_of, read_offered
from preview.environments.imports.removed_apis import find_relics
from preview.environments.imports.scan import Wanted
from preview.environments.python.drift import Dated, failing_imports, find_newest_pin, find_old_build
from preview.environments.python.explain import Explanation, explain, fail
from preview.environments.python.installer import Installer
from preview.environments.python.mysql import serve_as_mysqldb
from preview.environments.python.output import Output
from preview.environments.python.recipe import Recipe
from preview.environments.python.refusals import PYTHON
from preview.environments.python.relax import Loosened, Loosening
from preview.environments.python.resolving import name_of
from preview.environments.requirements.arguments import write_arguments
from preview.environments.requirements.companions import with_companions
from preview.environments.requirements.floors import with_floors
from preview.environments.requirements.requirements import ProjectRequirement, parse_requirement
from preview.environments.sandbox.program import ProgramResult
from preview.environments.sandbox.time_limit import Patience
from preview.environments.sandbox.uv_cages import UvCages
from preview.errors import EnvironmentFailed

# Enough for an old list: of a hundred pins from years ago, a dozen have no wheel for this Python.
_MAX_STEPS: Final = 25
# A newer version may bring newer dependencies, which are checked again.
_MAX_RELIC_ROUNDS: Final = 3
# Packages of an old set without a wheel for this Python, which a resolution names one by one.
_MAX_EXEMPT: Final = 8
# A package without any wheel is mostly plain Python, built in seconds.
_DATED_BUILD_S: Final = 40.0


class Installation:
    """Installation of one recipe in a folder that has an interpreter already.

    Args:
        offline: Use only the installer's cache.
        patience_s: Seconds after which no further single loosening is tried.
        cages: The installer's jails; None if this machine has none.

    Attributes:
        decisions: Changed and added requirements, one sentence each.
        has_unbuilt: Whether a package could not be built, so that another version is there, or none.
    """

    def __init__(
        self,
        recipe: Recipe,
        temporary: Path,
        report: Report,
        cages: UvCages | None,
        *,
        offline: bool,
        patience_s: float,
    ) -> None:
        self._temporary = temporary
        self._server = recipe.server
        self._report = report
        self._offline = offline
        self._patience = Patience(patience_s)
        self._interpreter = recipe.interpreter
        self._installer = Installer(recipe, temporary, report, cages, offline=offline)
        # A trial loosens nothing, and mostly builds nothing: if it fails, another Python is used.
        self._is_trial = recipe.ahead_of is not None
        self._has_wheels_only = self._is_trial and not recipe.trial_builds
        self._runs_code = recipe.runs_code
        self._imports = recipe.imports
        self._told, self._is_dated = recipe.told, recipe.is_dated
        self._dated: Dated | None = None
        self._built_alone: set[str] = set()
        self._has_setuptools = False
        used = frozenset(canonicalize_name(distribution_of(module)[1]) for module, _ in recipe.imports)
        self._loosening = Loosening(used if recipe.imports else None)
        self._refused: set[str] = set()
        self.decisions: list[str] = []
        self.has_unbuilt = False
        self._required, sentences = with_floors(recipe.required, self._interpreter.version)
        for sentence in sentences:
            self._decide(sentence)

    async def run(self, wanted: Sequence[Wanted]) -> None:
        """Install the requirements, then packages that are imported and still missing.

        Raises:
            EnvironmentFailed: The installation failed.

        Cancellation: the installer is killed.
        """
        await self._complete(wanted)
        await self._check_drift()

    async def _complete(self, wanted: Sequence[Wanted]) -> None:
        await self._install()
        offered = await trio.to_thread.run_sync(read_offered, self._temporary)
        self._tell_company(offered)
        added = [self._added(one) for one in _missing(wanted, offered)]
        if added:
            self._require(added)
            if self._dated is not None:
                self._dated.exempt.update(item.name for item in added if item.name)
            self._required = with_companions(self._required)
            await self._install()
        for _ in range(_MAX_RELIC_ROUNDS):
            if not await self._mend("pkg_resources" in offered.modules):
                break
            await self._install()
        # Django's MySQL backend and SQLAlchemy's "mysql://" import MySQLdb, whichever driver the project names.
        if await trio.to_thread.run_sync(serve_as_mysqldb, self._temporary) and "mysqlclient" in self._loosening.levels:
            self._decide('"MySQLdb" is PyMySQL: mysqlclient cannot be built here')

    async def _check_drift(self) -> None:
        """Choose versions as of the newest pin's date if imports fail with today's, or if a start has failed.

        Raises:
            EnvironmentFailed: Imports fail in a trial of a newer Python.
        """
        is_dated = self._is_dated
        if self._offline or self._has_date or not (is_dated or (self._runs_code and self._imports)):
            return
        cage, imports = self._installer.trying, self._imports if self._runs_code else ()
        resolver = self._installer.resolver
        find = partial(find_newest_pin, self._required, self._temporary, self._interpreter, resolver, self._told)
        pin = await find(is_dated=is_dated)
        failing = () if pin is None or not imports else await failing_imports(imports, self._temporary, cage)
        if pin is None or not (failing or is_dated):
            return
        said = f"importing {failing[0].module} failed: {failing[0].why}" if failing else "a start failed"
        if self._is_trial:
            raise EnvironmentFailed(said, reason=PYTHON)
        required, exempt = self._required, {*self._loosening.levels, *([name_of(self._server)] if self._server else ())}
        self._dated = Dated(pin.day, exempt)
        if await self._install_dated(self._dated):
            left = await failing_imports(imports, self._temporary, cage) if imports else ()
            if len(left) < len(failing) or (is_dated and not left):
                self._decide(f"using package versions as of {pin.day}, {pin.why}: with current ones, {said}")
                return
        self._required, self._dated = required, Dated(None)
        await self._install()

    async def _install_dated(self, dated: Dated) -> bool:
        """Install as of a day; a package without a version for this Python from before that day may be newer."""
        with trio.move_on_after(max(0.0, self._patience.left_s)):
            for _ in range(_MAX_EXEMPT):
                result = await self._attempt(await self._arguments(), Output(self._report))
                if result.code == 0:
                    return True
                name = explain(result.lines, self._required, offline=False, refused=result.refused).package
                if name is None or name in dated.exempt:
                    return False
                dated.exempt.add(name)
        return False

    async def _build_alone(self, why: Explanation, lines: Sequence[str]) -> bool:
        """Install a package that cannot be built, without others, with the build tools of its day; once for each."""
        name = why.package
        if self._offline or why.reason != "build" or name is None or name in self._built_alone:
            return False
        if self._loosening.has_substitute(name) or any(item.location for item in self._required.find_all(name)):
            return False
        self._built_alone.add(name)
        with trio.move_on_after(min(_DATED_BUILD_S, max(0.0, self._patience.left_s))):
            old = await find_old_build(name, lines, self._temporary, self._interpreter, self._installer.trying)
            if old is None:
                return False
            # The installation that follows finds it installed, and its wheel in the cache.
            result = await self._installer.build(["--no-deps", "--no-sources", *self._required.options, *old.arguments])
            if result.code == 0:
                self._decide(f"{old.pin} is built with build tools as of {old.day}: current ones cannot build it")
                return True
        return False

    @property
    def _has_date(self) -> bool:
        return self._dated is not None and self._dated.day is not None

    async def _arguments(self) -> list[str]:
        write = partial(write_arguments, self._temporary, self._required, self._server, runs_code=self._runs_code)
        arguments = await trio.to_thread.run_sync(write)
        return [] if arguments is None else [*arguments, *(self._dated.arguments if self._dated else ())]

    def _tell_company(self, offered: Offered) -> None:
        """Report which limits of companion packages took effect."""
        for item in dict.fromkeys(item for item, _ in self._required.company):
            limits = [
                limit.text for other, limit in self._required.company if other is item and offered.has("", limit.text)
            ]
            if limits:
                self._decide(f"{item.text} ({item.origin}) is compatible with {', '.join(limits)}, so these are used")

    async def _mend(self, has_pkg_resources: bool) -> bool:
        """Loosen packages that use APIs that this Python lacks; return whether the requirements changed."""
        before = self._required
        for relic in await trio.to_thread.run_sync(find_relics, self._temporary, self._interpreter.version):
            if relic.uses != "pkg_resources" and not self._is_trial:
                step = self._loosening.away_from(self._required, relic.package, relic.uses)
                if step is not None:
                    self._required = step.required
                    self._decide(step.sentence)
                    if self._dated is not None:
                        self._dated.exempt.add(relic.package)
            elif relic.uses == "pkg_resources" and not has_pkg_resources and not self._has_setuptools:
                self._has_setuptools = True
                self._decide(f'setuptools<81 is added: {relic.package} imports "pkg_resources", which newer ones lack')
                self._without("setuptools")
                self._require([parse_requirement("setuptools<81", relic.package)])
        return self._required is not before

    def _require(self, added: Sequence[ProjectRequirement]) -> None:
        requirements = (*self._required.requirements, *added)
        self._required = replace(self._required, requirements=requirements)

    def _added(self, one: Wanted) -> ProjectRequirement:
        named = f"only {one.origin} mentions it" if one.origin else "no manifest mentions it"
        self._decide(f"{one.distribution} is added: {one.file} {one.why}, and {named}")
        return parse_requirement(one.distribution, one.file)

    def _without(self, name: str) -> None:
        rest = tuple(item for item in self._required.requirements if item.name != name)
        limits = tuple(item for item in self._required.constraints if item.name != name)
        self._required = replace(self._required, requirements=rest, constraints=limits)

    def _decide(self, sentence: str) -> None:
        self.decisions.append(sentence)
        self._report(sentence, logging.INFO)

    async def _install(self) -> None:
        """Install, loosening the requirement at fault after each failure, until it works."""
        for steps in range(_MAX_STEPS + 2):
            arguments = await self._arguments()
            if not arguments:
                return
            output = Output(self._report)
            result = await self._attempt(arguments, output)
            self._tell_refused(result)
            if result.code == 0:
                return
            may_build = self._runs_code and not self._has_wheels_only
            why = explain(
                result.lines, self._required, offline=self._offline, runs_code=may_build, refused=result.refused
            )
            if self._is_trial:
                fail(result, why)
            if steps < _MAX_STEPS and await self._build_alone(why, result.lines):
                continue
            step = None if steps > _MAX_STEPS else self._next(why, result, last=steps == _MAX_STEPS)
            if step is None:
                output.release()
                fail(result, why)
            self.has_unbuilt = self.has_unbuilt or why.reason == "build"
            self._required = step.required
            self._decide(step.sentence)

    def _tell_refused(self, result: ProgramResult) -> None:
        for sentence in result.refused:
            if sentence not in self._refused:
                self._refused.add(sentence)
                self._report(f"{sentence} (PREVIEW_BUILD_HOSTS)", logging.WARNING)

    def _next(self, why: Explanation, result: ProgramResult, *, last: bool) -> Loosened | None:
        if last or self._patience.left_s < 0:
            return self._loosening.last(self._required, why)
        return self._loosening.after(self._required, why, result.lines)

    async def _attempt(self, arguments: list[str], output: Output) -> ProgramResult:
        # uv keeps an installed version that a requirement allows, however new it is.
        result = await self._installer.attempt(arguments, self._required, output, again=self._dated is not None)
        if result.code == 0:
            for line in await trio.to_thread.run_sync(overwritten, self._temporary, self._interpreter.version):
                if self._patience.left_s < 0 or (await self._installer.install_again(line, self._required)).code != 0:
                    self._report(f"{line} was not installed last; another package has modules of it", logging.WARNING)
        return result


def _missing(wanted: Sequence[Wanted], offered: Offered) -> list[Wanted]:
    """Return the missing packages, each once."""
    found: dict[str, Wanted] = {}
    for one in wanted:
        if not offered.has(one.module, one.distribution):
            found.setdefault(one.distribution, one)
    return list(found.values())
