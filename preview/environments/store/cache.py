"""The cache: each environment built once, however many ask, in this process and in others."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
import trio

from preview.environments.folders.environment import Environment, EnvironmentRequest, How, Report
from preview.environments.folders.layout import Layout
from preview.environments.manifests.stated import Asked
from preview.environments.python.build import build_environment, learn
from preview.environments.python.choosing import Choice
from preview.environments.python.recipe import Recipe
from preview.environments.requirements.requirements import RequirementSet
from preview.environments.sandbox.interpreter import Skeletons
from preview.environments.sandbox.jail import Jail
from preview.environments.sandbox.program import program_environment
from preview.environments.store.bytecode import Compiler
from preview.environments.store.eviction import RequestMemory, check_names, evict, is_shareable
from preview.environments.store.held import HeldEnvironments
from preview.environments.way_out import read_allowed
from preview.errors import EnvironmentFailed, PreviewError
from preview.settings import Settings

_log = structlog.get_logger(__name__)

# Seconds from the service's start.
_WARM_UP_S = 2.0


class EnvironmentCache:
    """Environments by what is required, the Python and the platform.

    Args:
        settings: ``cache_dir`` and the ``environment_*`` bounds.
        jail: What installers and the code of packages are isolated by; None runs them as any program of the service.
    """

    def __init__(self, settings: Settings, jail: Jail | None = None) -> None:
        self._settings = settings
        self._jail = jail
        root = settings.cache_dir.absolute() / "environments"
        self._layout = Layout(root, None if jail is None else jail.workshop_of(root))
        self._choice = Choice(settings, self._layout, is_held=jail is not None)
        self._memory = RequestMemory()
        self._skeletons = Skeletons()
        self._compiler = Compiler(self._layout, jail, timeout_s=settings.environment_build_timeout_s)
        # Hashing, removing and measuring are disk work: two at a time keep a slow disk from taking all threads.
        self._threads = trio.CapacityLimiter(2)
        self._held = HeldEnvironments(
            self._layout, self._layout.is_usable, self._threads, timeout_s=settings.environment_build_timeout_s
        )

    @asynccontextmanager
    async def open_environment(self, request: EnvironmentRequest, report: Report) -> AsyncIterator[Environment]:
        """Provide the environment for a project, built if there is none; held until the context is left.

        Args:
            request: The project and what is known about it.
            report: Called with each line of a build's output and each thing worth knowing, with its severity.

        Raises:
            EnvironmentFailed: It cannot be had; says which requirement and why. ``details`` holds ``requirement``,
                ``origin``, ``reason`` and ``output`` (last lines) where they are known.
            ConfigurationError: There is no Python as configured, or no installer.

        Cancellation: a build under way is killed and leaves nothing, unless others wait for it: then one of them
        begins again.
        """
        started = trio.current_time()
        asked = await self._read(request, report)
        async with AsyncExitStack() as stack:
            recipe, how = await self._hold(stack, asked, report)
            key = recipe.key
            if how != "built":
                for sentence in self._layout.decisions(key):
                    report(sentence, logging.INFO)
            self._compiler.want(key)
            directory, python = self._layout.directory(key), self._layout.python(key)
            yield Environment(
                directory=directory,
                program=python,
                binaries=python.parent,
                variables={"VIRTUAL_ENV": str(directory)},
                elapsed_s=trio.current_time() - started,
                how=how,
                language=f"Python {recipe.interpreter.version}",
                is_own=not recipe.required.is_from_index,
            )

    async def _hold(self, stack: AsyncExitStack, asked: Asked, report: Report) -> tuple[Recipe, How]:
        """Hold what is asked for until the stack is left: its recipe, and how it was had.

        Raises:
            EnvironmentFailed, ConfigurationError: As ``open_environment``.
        """
        while True:
            recipe = await self._choice.recipe(asked, report)
            build = partial(
                build_environment,
                recipe,
                self._layout,
                report,
                offline=self._settings.uv_offline,
                patience_s=self._settings.environment_build_timeout_s / 2,
                jail=self._jail,
                skeletons=self._skeletons,
            )
            try:
                return recipe, await stack.enter_async_context(self._held.hold(recipe.key, build, report))
            except EnvironmentFailed as error:
                # Remembered: the next round chooses another.
                if not self._choice.is_refused(recipe, error):
                    raise

    async def run_compiler(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what nobody waits for, until cancelled: compile the modules of what was handed out, and ``warm_up``.

        One task, in the service's nursery.

        Cancellation: the compiler is killed; what it has compiled stays, the rest is done at the next use.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._warm_up_later)
            await self._compiler.run(task_status=task_status)

    async def _warm_up_later(self) -> None:
        """Out of the way of the first launch, and of services that live for one."""
        await trio.sleep(_WARM_UP_S)
        if not self._skeletons.are_known:
            await self.warm_up()

    async def warm_up(self) -> None:
        """Do what each first build would do besides, before it; what fails here is for a build to tell.

        Cancellation: the programs are killed and nothing is left.
        """
        try:
            interpreters = await self._choice.usual()
        except (OSError, PreviewError) as error:
            _log.info("interpreter trial failed", why=str(error))
            return
        for interpreter in interpreters:
            # A name of its own, so that no build takes it for a leftover.
            empty = Recipe(secrets.token_hex(16), RequirementSet(), interpreter, None)
            try:
                await learn(empty, self._layout, self._skeletons, jail=self._jail)
            except (OSError, PreviewError) as error:
                _log.info("interpreter trial failed", python=interpreter.version, why=str(error))

    async def compile(self, key: str) -> None:
        """Compile one environment's modules now; nothing where they are compiled, or it is just being removed.

        Raises:
            OSError: The disk did not take it.
            PreviewError: There is no process or no memory for it.

        Cancellation: as ``run_compiler``.
        """
        await self._compiler.compile(key)

    async def key_of(self, request: EnvironmentRequest) -> str:
        """Return the name of the environment that this request would get, whether there is one or not.

        Raises:
            EnvironmentFailed: A manifest cannot be read.
            ConfigurationError: There is no Python as configured.

        Cancellation: nothing changes.
        """
        return (await self._choice.recipe(await self._read(request, _ignore), _ignore)).key

    async def is_shareable(self, request: EnvironmentRequest) -> bool:
        """Return whether another copy of the project gets the same environment: not with a package inside it.

        Raises:
            EnvironmentFailed: A manifest cannot be read.

        Cancellation: nothing changes.
        """
        return is_shareable(await self._asked(request))

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

    async def _read(self, request: EnvironmentRequest, report: Report) -> Asked:
        asked = await self._asked(request)
        await trio.to_thread.run_sync(self._check_sources, asked.required, limiter=self._threads)
        for note in asked.required.notes:
            report(note, logging.WARNING)
        return asked

    async def _asked(self, request: EnvironmentRequest) -> Asked:
        if request.asked is not None:
            return request.asked
        return await trio.to_thread.run_sync(self._memory.read, request, limiter=self._threads)

    def _check_sources(self, required: RequirementSet) -> None:
        """See that nothing is looked up where it does not come from. Reads files of the service's user."""
        if required.indexes or required.unfollowed:
            hosts = () if self._jail is None else self._jail.hosts
            check_names(required.indexes, required.unfollowed, read_allowed(program_environment(os.environ), hosts))


def _ignore(_line: str, _severity: int) -> None:
    """Ignore the report: it is repeated when the environment is opened."""
