"""Installing what a project requires: as it is written, else loosened step by step, and what it imports besides."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import trio

from preview.environments.environment import Report
from preview.environments.explain import Explanation, explain
from preview.environments.floors import with_floors
from preview.environments.imports.offered import Offered, read_offered
from preview.environments.imports.relics import find_relics
from preview.environments.imports.scan import Wanted
from preview.environments.program import ProgramResult
from preview.environments.relax import Loosened, Loosening
from preview.environments.requirements import ProjectRequirement, RequirementSet, parse_requirement
from preview.environments.uv import run_uv
from preview.errors import EnvironmentFailed

__all__ = ["Installation", "fail"]

# A list of a hundred pins from years ago has a dozen that have no wheel for this Python.
_MAX_STEPS: Final = 25
# Building one of these takes minutes, or a compiler that is not there: the next version with a wheel is taken.
_WHEELS_ONLY: Final = (
    "aiohttp", "asyncpg", "bcrypt", "blis", "cffi", "cryptography", "fiona", "gevent", "greenlet", "grpcio", "h5py",
    "httptools", "llvmlite", "lxml", "matplotlib", "numba", "numpy", "opencv-contrib-python", "opencv-python",
    "opencv-python-headless", "orjson", "pandas", "pillow", "polars", "psycopg2", "psycopg2-binary",
    "pyarrow", "pydantic-core", "pymssql", "pyyaml", "rpds-py", "scikit-image", "scikit-learn", "scipy", "shapely",
    "spacy", "statsmodels", "tensorflow", "thinc", "tiktoken", "tokenizers", "torch", "ujson", "uvloop",
    "watchfiles", "yarl",
)  # fmt: skip
# A newer version may want a newer version of something else, which is looked at again.
_MAX_RELIC_ROUNDS: Final = 3


class Installation:
    """One environment being filled.

    Args:
        temporary: The environment's folder, with an interpreter in it.
        required: What the project asks for.
        server: The server's requirement line, or None.
        report: Is told the installer's output line by line, and each decision.
        python: The environment's version, ``3.11.7``.
        offline: Use nothing but the installer's cache.
        patience_s: Seconds after which no further single step is tried.

    Attributes:
        decisions: What was changed and added, one sentence each.
    """

    def __init__(
        self,
        temporary: Path,
        required: RequirementSet,
        server: str | None,
        report: Report,
        *,
        python: str,
        offline: bool,
        patience_s: float,
    ) -> None:
        self._temporary = temporary
        self._server = server
        self._report = report
        self._offline = offline
        self._until = trio.current_time() + patience_s
        self._python = python
        self._has_setuptools = False
        self._loosening = Loosening()
        self.decisions: list[str] = []
        self._required, sentences = with_floors(required, python)
        for sentence in sentences:
            self._decide(sentence)

    async def run(self, wanted: Sequence[Wanted]) -> None:
        """Install all, then what is imported and still missing.

        Raises:
            EnvironmentFailed: It cannot be done.

        Cancellation: the installer is killed.
        """
        await self._install()
        offered = await trio.to_thread.run_sync(read_offered, self._temporary)
        self._tell_company(offered)
        added = [self._added(one) for one in _missing(wanted, offered)]
        if added:
            self._require(added)
            await self._install()
        for _ in range(_MAX_RELIC_ROUNDS):
            if not await self._mend("pkg_resources" in offered.modules):
                break
            await self._install()

    def _tell_company(self, offered: Offered) -> None:
        """Say which limits were set, of those that matter here."""
        for item in dict.fromkeys(item for item, _ in self._required.company):
            limits = [
                limit.text for other, limit in self._required.company if other is item and offered.has("", limit.text)
            ]
            if limits:
                self._decide(f"{item.text} ({item.origin}) goes with {', '.join(limits)}: so they are taken")

    async def _mend(self, has_pkg_resources: bool) -> bool:
        """Loosen what uses something that this Python lacks; whether anything changed."""
        before = self._required
        for relic in await trio.to_thread.run_sync(find_relics, self._temporary, self._python):
            if relic.uses != "pkg_resources":
                step = self._loosening.away_from(self._required, relic.package, relic.uses)
                if step is not None:
                    self._required = step.required
                    self._decide(step.sentence)
            elif not has_pkg_resources and not self._has_setuptools:
                self._has_setuptools = True
                self._decide(f'setuptools<81 is added: {relic.package} imports "pkg_resources", which newer ones lack')
                self._without("setuptools")
                self._require([parse_requirement("setuptools<81", relic.package)])
        return self._required is not before

    def _require(self, added: Sequence[ProjectRequirement]) -> None:
        requirements = (*self._required.requirements, *added)
        self._required = replace(self._required, requirements=requirements)

    def _added(self, one: Wanted) -> ProjectRequirement:
        self._decide(f"{one.distribution} is added: {one.file} {one.why}, and no manifest names it")
        return parse_requirement(one.distribution, one.file)

    def _without(self, name: str) -> None:
        rest = tuple(item for item in self._required.requirements if item.name != name)
        limits = tuple(item for item in self._required.constraints if item.name != name)
        self._required = replace(self._required, requirements=rest, constraints=limits)

    def _decide(self, sentence: str) -> None:
        self.decisions.append(sentence)
        self._report(sentence, logging.INFO)

    async def _install(self) -> None:
        """Try, and loosen what is at fault, until it works."""
        for steps in range(_MAX_STEPS + 2):
            arguments = await trio.to_thread.run_sync(self._write)
            if arguments is None:
                return
            output = _Output(self._report)
            result = await self._attempt(arguments, output)
            if result.code == 0:
                return
            why = explain(result.lines, self._required, offline=self._offline)
            step = self._next(why, result, last=steps >= _MAX_STEPS)
            if step is None:
                output.release()
                fail(result, why)
            self._required = step.required
            self._decide(step.sentence)

    def _next(self, why: Explanation, result: ProgramResult, *, last: bool) -> Loosened | None:
        if last or trio.current_time() > self._until:
            return self._loosening.all_at_once(self._required)
        return self._loosening.after(self._required, why, result.lines)

    async def _attempt(self, arguments: list[str], output: _Output) -> ProgramResult:
        run = partial(run_uv, arguments, directory=self._temporary.parent)
        pinned = self._required.all_pinned
        if not self._offline and pinned:
            # What is pinned cannot have changed in the index: half a second of asking it is saved when all is cached.
            # Said only when it worked: a failure here just means that the network is needed.
            result = await run(offline=True)
            if result.code == 0:
                output.replay(result)
                return result
        result = await run(offline=self._offline, say=output)
        if result.code == 0 or self._offline or pinned:
            return result
        if explain(result.lines, self._required, offline=False).reason == "network":
            sentence = "the package index cannot be reached: trying with what is in the package cache"
            self._report(sentence, logging.WARNING)
            cached = await run(offline=True)
            if cached.code == 0:
                output.replay(cached)
                return cached
        return result

    def _write(self) -> list[str] | None:
        """Write the files for the installer; its arguments, or None when there is nothing to install."""
        required = self._required
        lines = [item.text for item in required.requirements]
        if self._server is not None:
            lines.append(self._server)
        if not lines:
            return None
        wanted = self._temporary / "requirements.txt"
        wanted.write_text("\n".join(lines) + "\n", "utf-8")
        # Compiled here, once: it takes a second for a small shop, and saves that second at each start.
        arguments = ["pip", "install", "--python", str(self._temporary / "bin" / "python"), "--compile-bytecode"]
        arguments += ["--no-sources", "--requirement", str(wanted), *required.options]
        if "--no-binary" not in required.options:
            arguments += [word for name in _WHEELS_ONLY for word in ("--only-binary", name)]
        if required.constraints:
            constraints = self._temporary / "constraints.txt"
            constraints.write_text("\n".join(item.text for item in required.constraints) + "\n", "utf-8")
            arguments += ["--constraint", str(constraints)]
        if required.prerelease:
            arguments.append("--prerelease=allow")
        return arguments


class _Output:
    """Passes the installer's lines on; those of a failure are kept until it is certain that it stays one."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._held: list[str] = []

    def __call__(self, line: str) -> None:
        if self._held or line.startswith("error:"):
            self._held.append(line)
        # The folder's name means nothing to a reader, and it is gone when the build is.
        elif line and not line.startswith("Using Python "):
            self._report(line, logging.INFO)

    def replay(self, result: ProgramResult) -> None:
        self._held.clear()  # what failed before succeeded in another way
        for line in result.lines:
            self(line)

    def release(self) -> None:
        for line in self._held:
            self._report(line, logging.ERROR if line.startswith("error:") else logging.INFO)
        self._held.clear()


def _missing(wanted: Sequence[Wanted], offered: Offered) -> list[Wanted]:
    """What is not there, each package once."""
    found: dict[str, Wanted] = {}
    for one in wanted:
        if not offered.has(one.module, one.distribution):
            found.setdefault(one.distribution, one)
    return list(found.values())


def fail(result: ProgramResult, why: Explanation) -> NoReturn:
    """Raise what the installer's failure means.

    Raises:
        EnvironmentFailed: Always.
    """
    raise EnvironmentFailed(
        why.message, reason=why.reason, requirement=why.requirement, origin=why.origin, output=result.tail()
    )
