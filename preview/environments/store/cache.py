"""Cache in which each environment is built once for all requests, in this process and in others."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
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
from preview.environments.sandbox.progress import open_progress
from preview.environments.store.bytecode import Compiler
from preview.environments.store.eviction import RequestMemory, check_names, evict, is_shareable
from preview.environments.store.held import HeldEnvironments
from preview.environments.store.shelf import Shelf
from preview.environments.way_out.allowed import read_allowed
from preview.errors import EnvironmentFailed, PreviewError
from preview.settings import Settings

_log = structlog.get_logger(__name__)

# Seconds after the service's start.
_WARM_UP_S = 2.0


class EnvironmentCache:
    """Environments by requirements, Python and platform.

    Args:
        settings: The settings ``cache_dir`` and ``environment_*``.
        jail: Jail for installers and the code of packages; None runs them like any other program of the service.

    Attributes:
        shelf: The stored environments, those of Node projects too.
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
        # Hashing, removing and measuring use the disk: a limit of two keeps threads free on a slow disk.
        self._threads = trio.CapacityLimiter(2)
        self.shelf = Shelf(self._layout, self._threads)
        self._held = HeldEnvironments(
            self._layout, self._layout.is_usable, self._threads, timeout_s=settings.environment_build_timeout_s
        )
        self.shelf.taken["python"] = self._held.taken

    @asynccontextmanager
    async def open_environment(self, request: EnvironmentRequest, report: Report) -> AsyncIterator[Environment]:
        """Provide the environment for a project; build it if necessary. It stays until the context ends.

        Args:
            request: The project and the facts known about it.
            report: Called with each line of a build's output and each decision, with its severity.

        Raises:
            EnvironmentFailed: The build failed. ``details`` has ``requirement``, ``origin``, ``reason`` and ``output``
                (last lines) as far as they are known.
            ConfigurationError: The configured Python or the installer is missing.

        Cancellation: a running build is killed and removed; if other requests wait for it, one of them builds again.
        """
        started = trio.current_time()
        asked = await self._read(request, report)
        async with AsyncExitStack() as stack:
            async with open_progress(report) as progress:
                recipe, how = await self._hold(stack, asked, progress)
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
        """Acquire the environment until the stack closes; return its recipe and how it was obtained.

        Raises:
            EnvironmentFailed, ConfigurationError: See ``open_environment``.
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
                # If another Python is left, the failure is remembered and the next iteration uses that Python.
                if not self._choice.is_refused(recipe, error):
                    raise

    async def run_compiler(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Compile used environments in the background until cancelled, and ``warm_up`` once.

        Run as one task in the service's nursery.

        Cancellation: the compiler is killed; complete modules stay, and the rest is compiled after the next use.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._warm_up_later)
            await self._compiler.run(task_status=task_status)

    async def _warm_up_later(self) -> None:
        """Warm up after a delay, which keeps the first launch and short-lived services fast."""
        await trio.sleep(_WARM_UP_S)
        if not self._skeletons.are_known:
            await self.warm_up()

    async def warm_up(self) -> None:
        """Do the one-time work of first builds in advance; failures are logged, and the build reports them again.

        Cancellation: the programs are killed and no files are left.
        """
        try:
            interpreters = await self._choice.usual()
        except (OSError, PreviewError) as error:
            _log.info("interpreter trial failed", why=str(error))
            return
        for interpreter in interpreters:
            # A random key: a build would remove the leftovers of its own key.
            empty = Recipe(secrets.token_hex(16), RequirementSet(), interpreter, None)
            try:
                await learn(empty, self._layout, self._skeletons, jail=self._jail)
            except (OSError, PreviewError) as error:
                _log.info("interpreter trial failed", python=interpreter.version, why=str(error))

    async def compile(self, key: str) -> None:
        """Compile one environment's modules now, unless it is compiled or locked for a build or removal.

        Raises:
            OSError: The disk reported an error.
            PreviewError: The compiler cannot be started or ran out of memory.

        Cancellation: see ``run_compiler``.
        """
        await self._compiler.compile(key)

    async def key_of(self, request: EnvironmentRequest) -> str:
        """Return the key of the environment for this request, even if the environment does not exist.

        Raises:
            EnvironmentFailed: A manifest cannot be read.
            ConfigurationError: The configured Python does not exist.

        Cancellation: nothing changes.
        """
        return (await self._choice.recipe(await self._read(request, _ignore), _ignore)).key

    async def is_shareable(self, request: EnvironmentRequest) -> bool:
        """Return whether copies of the project share one environment: False if it requires a package inside itself.

        Raises:
            EnvironmentFailed: A manifest cannot be read.

        Cancellation: nothing changes.
        """
        return is_shareable(await self._asked(request))

    async def evict(self) -> int:
        """Remove environments that are unused for ``environment_max_age_s``, then the least recently used ones.

        The second step frees space down to ``environment_max_bytes``. Environments that any process uses stay.

        Returns:
            Number of removed environments.

        Cancellation: takes effect after the eviction has finished.
        """
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
        asked = request.asked
        if asked is None:
            asked = await trio.to_thread.run_sync(self._memory.read, request, limiter=self._threads)
        return replace(asked, owner=request.owner)

    def _check_sources(self, required: RequirementSet) -> None:
        """Check that no package is looked up in an index other than its own. Reads files of the service's user."""
        if required.indexes or required.unfollowed:
            hosts = () if self._jail is None else self._jail.hosts
            check_names(required.indexes, required.unfollowed, read_allowed(program_environment(os.environ), hosts))


def _ignore(_line: str, _severity: int) -> None:
    """Drop the report: opening the environment repeats it."""
