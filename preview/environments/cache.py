"""The cache: each environment built once, however many ask, in this process and in others."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import trio

from preview.environments.build import Recipe, build_environment
from preview.environments.environment import Environment, EnvironmentRequest, Report
from preview.environments.eviction import evict
from preview.environments.held import HeldEnvironments
from preview.environments.interpreter import Interpreter, allows, find_interpreter, find_other
from preview.environments.layout import Layout
from preview.environments.markers import as_for
from preview.environments.memory import RequestMemory
from preview.environments.recipe import make_recipe
from preview.environments.requirements import RequirementSet
from preview.settings import Settings

__all__ = ["EnvironmentCache"]


class EnvironmentCache:
    """Environments by what is required, the Python and the platform.

    Args:
        settings: ``cache_dir`` and the ``environment_*`` bounds.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = Layout(settings.cache_dir.absolute() / "environments")
        self._interpreter: Interpreter | None = None
        # Other interpreters that were looked for, by what a project wants.
        self._others: dict[str, Interpreter | None] = {}
        self._memory = RequestMemory()
        # Hashing, removing and measuring are disk work: two at a time keep a slow disk from taking all threads.
        self._threads = trio.CapacityLimiter(2)
        self._held = HeldEnvironments(
            self._layout,
            timeout_s=settings.environment_build_timeout_s,
            is_usable=self._layout.is_usable,
            threads=self._threads,
        )

    @asynccontextmanager
    async def open_environment(self, request: EnvironmentRequest, report: Report) -> AsyncIterator[Environment]:
        """The environment for a project, built if there is none; held until the context is left.

        Args:
            request: The project and what is known about it.
            report: Is told each line of a build's output and each thing worth knowing, with its severity.

        Raises:
            EnvironmentFailed: It cannot be had; says which requirement and why. ``details`` holds ``requirement``,
                ``origin``, ``reason`` and ``output`` (last lines) where they are known.
            ConfigurationError: There is no Python as configured, or no installer.

        Cancellation: a build under way is killed and leaves nothing, unless others wait for it: then one of them
        begins anew.
        """
        started = trio.current_time()
        recipe = await self._recipe(request, report)
        key = recipe.key
        build = partial(
            build_environment,
            recipe,
            self._layout,
            report,
            offline=self._settings.uv_offline,
            patience_s=self._settings.environment_build_timeout_s / 2,
        )
        async with self._held.hold(key, build, report) as how:
            if how != "built":
                for sentence in self._layout.decisions(key):
                    report(sentence, logging.INFO)
            directory, python = self._layout.directory(key), self._layout.python(key)
            yield Environment(
                directory=directory,
                program=python,
                binaries=python.parent,
                variables={"VIRTUAL_ENV": str(directory)},
                elapsed_s=trio.current_time() - started,
                how=how,
            )

    async def evict(self) -> int:
        """Remove environments unused for ``environment_max_age_s``, then the longest unused over
        ``environment_max_bytes``; never one that this or another process holds.

        Returns:
            How many were removed.

        Cancellation: waits for the removal under way; what is removed stays removed.
        """  # noqa: D205  the promise takes two lines
        settings = self._settings
        return await trio.to_thread.run_sync(
            lambda: evict(
                self._layout, max_age_s=settings.environment_max_age_s, max_bytes=settings.environment_max_bytes
            ),
            limiter=self._threads,
        )

    async def _recipe(self, request: EnvironmentRequest, report: Report) -> Recipe:
        asked = await trio.to_thread.run_sync(self._memory.read, request, limiter=self._threads)
        for note in asked.required.notes:
            report(note, logging.WARNING)
        interpreter = await self._interpreter_for(asked.required, report)
        requires = asked.required.requires_python
        if requires is not None and not allows(requires, interpreter):
            asked = replace(asked, required=as_for(asked.required, requires))
        return make_recipe(asked, interpreter)

    async def _interpreter_for(self, required: RequirementSet, report: Report) -> Interpreter:
        """The configured one, or another of this machine where the project wants that."""
        wanted = self._settings.environment_python
        if self._interpreter is None:
            self._interpreter = await find_interpreter(wanted, offline=self._settings.uv_offline)
        requires = required.requires_python
        if requires is None or allows(requires, self._interpreter):
            return self._interpreter
        if wanted is None and requires not in self._others:
            self._others[requires] = await find_other(requires)
        found = self._others.get(requires)
        if found is not None:
            report(f"Python {found.version} is taken: the project wants {requires} ({required.source})", logging.INFO)
            return found
        report(
            f"The project wants Python {requires} ({required.source}), which is not installed here: it is tried with "
            f"{self._interpreter.version}",
            logging.WARNING,
        )
        return self._interpreter
