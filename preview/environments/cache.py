"""The cache: each environment built once, however many ask, in this process and in others."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import trio

from preview.environments.build import Recipe, build_environment
from preview.environments.environment import Environment, EnvironmentRequest, How, Report
from preview.environments.eviction import evict
from preview.environments.interpreter import Interpreter, find_interpreter
from preview.environments.layout import Layout, remove_tree
from preview.environments.locks import FileLock, lock
from preview.environments.recipe import make_recipe
from preview.errors import EnvironmentFailed
from preview.settings import Settings

__all__ = ["EnvironmentCache"]


@dataclass(slots=True)
class _Entry:
    """What this process knows of one environment while somebody asks for it or holds it.

    Invariants: ``shared`` is a held lock exactly while ``holders`` > 0 or the asker that has ``turn`` is about to
    become one; an entry without askers and holders is not kept.
    """

    turn: trio.Lock = field(default_factory=trio.Lock)
    askers: int = 0
    holders: int = 0
    shared: FileLock | None = None
    failure: EnvironmentFailed | None = None


class EnvironmentCache:
    """Environments by what is required, the Python and the platform.

    Args:
        settings: ``cache_dir`` and the ``environment_*`` bounds.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = Layout(settings.cache_dir.absolute() / "environments")
        self._entries: dict[str, _Entry] = {}
        self._interpreter: Interpreter | None = None
        # Hashing, removing and measuring are disk work: two at a time keep a slow disk from taking all threads.
        self._threads = trio.CapacityLimiter(2)

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
        recipe = await self._recipe(request)
        for note in recipe.required.notes:
            report(note, logging.WARNING)
        with self._entry(recipe.key) as entry:
            how = await self._acquire(entry, recipe, report)
            try:
                directory, python = self._layout.directory(recipe.key), self._layout.python(recipe.key)
                yield Environment(
                    directory=directory,
                    program=python,
                    binaries=python.parent,
                    variables={"VIRTUAL_ENV": str(directory)},
                    elapsed_s=trio.current_time() - started,
                    how=how,
                )
            finally:
                self._let_go(entry)

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

    async def _recipe(self, request: EnvironmentRequest) -> Recipe:
        if self._interpreter is None:
            self._interpreter = await find_interpreter(
                self._settings.environment_python, offline=self._settings.uv_offline
            )
        return await trio.to_thread.run_sync(make_recipe, request, self._interpreter, limiter=self._threads)

    @contextmanager
    def _entry(self, key: str) -> Iterator[_Entry]:
        entry = self._entries.setdefault(key, _Entry())
        entry.askers += 1
        try:
            yield entry
        finally:
            entry.askers -= 1
            if entry.askers == 0:
                del self._entries[key]

    async def _acquire(self, entry: _Entry, recipe: Recipe, report: Report) -> How:
        """Become a holder. The first asker builds; a cancelled builder's turn goes to the next who waits."""
        waited = entry.turn.locked()
        if waited and entry.holders == 0:
            report("waiting for the same environment, which another launch is preparing", logging.INFO)
        async with entry.turn:
            if waited and entry.failure is not None:
                # It failed while this one waited for exactly that: trying again at once would fail again.
                raise EnvironmentFailed(entry.failure.message, **entry.failure.details)
            how: How = "reused"
            if entry.shared is None:
                try:
                    entry.shared, how = await self._prepare(recipe, report)
                except EnvironmentFailed as error:
                    entry.failure = error
                    raise
            entry.failure = None
            # No await from here to the caller's try: the holder cannot be lost.
            entry.holders += 1
        return how

    def _let_go(self, entry: _Entry) -> None:
        entry.holders -= 1
        if entry.holders == 0 and entry.shared is not None:
            entry.shared.touch()
            entry.shared.release()
            entry.shared = None

    async def _prepare(self, recipe: Recipe, report: Report) -> tuple[FileLock, How]:
        timeout_s = self._settings.environment_build_timeout_s
        with trio.move_on_after(timeout_s):
            try:
                return await self._find_or_build(recipe, report)
            except OSError as error:
                raise EnvironmentFailed(
                    f"The environment cache cannot be used: {error.strerror or error} ({error.filename}); "
                    "look at PREVIEW_CACHE_DIR",
                    reason="disk",
                ) from error
        raise EnvironmentFailed(
            f"The environment was not ready within {timeout_s:g} s; require less, or raise "
            "PREVIEW_ENVIRONMENT_BUILD_TIMEOUT",
            reason="timeout",
            limit=f"{timeout_s:g} s",
        )

    async def _find_or_build(self, recipe: Recipe, report: Report) -> tuple[FileLock, How]:
        layout, key = self._layout, recipe.key
        layout.root.mkdir(parents=True, exist_ok=True)
        how: How = "cached"
        while True:
            held = await lock(layout.lock(key), exclusive=False)
            if layout.is_usable(key):
                held.touch()
                return held, how
            held.release()
            held = await lock(layout.lock(key), exclusive=True)
            try:
                if not layout.is_usable(key):
                    for _, path in layout.leftovers(key):
                        await trio.to_thread.run_sync(remove_tree, path, limiter=self._threads)
                    await build_environment(recipe, layout, report, offline=self._settings.uv_offline)
                    how = "built"
            except BaseException:
                if not layout.directory(key).exists():
                    held.remove()
                raise
            finally:
                held.release()
