"""Leases of environments: each is built once for all requests, in this process and in others, and kept while in use."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import structlog
import trio

from preview.environments.folders.environment import How, Report
from preview.environments.folders.layout import Layout, remove_tree
from preview.environments.folders.locks import FileLock, lock
from preview.environments.sandbox.time_limit import TimeLimit
from preview.errors import EnvironmentFailed

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    """State of one environment in this process while it is requested or in use.

    Invariants: ``shared`` is a held lock while ``holders`` > 0, or while the requester with ``turn`` is about to become
    a holder; otherwise it is None. An entry without requesters (``askers``) and holders is removed.
    """

    turn: trio.Lock = field(default_factory=trio.Lock)
    askers: int = 0
    holders: int = 0
    shared: FileLock | None = None
    failure: EnvironmentFailed | None = None


class HeldEnvironments:
    """Leases of the environments of one folder.

    Args:
        timeout_s: Maximum seconds to find or build an environment; see ``TimeLimit``.
        is_usable: Returns whether the environment of a key is finished.
        threads: Limits the threads that remove leftovers of killed builds.

    Attributes:
        taken: Numbers of requests by how the environment was obtained.
    """

    def __init__(
        self, layout: Layout, is_usable: Callable[[str], bool], threads: trio.CapacityLimiter, *, timeout_s: float
    ) -> None:
        self._layout = layout
        self._timeout_s = timeout_s
        self._is_usable = is_usable
        self._threads = threads
        self._entries: dict[str, _Entry] = {}
        self.taken: Counter[How] = Counter()

    @asynccontextmanager
    async def hold(self, key: str, build: Callable[[], Awaitable[None]], report: Report) -> AsyncIterator[How]:
        """Keep an environment until the context ends; build it if it does not exist.

        Raises:
            EnvironmentFailed: The build failed or took too long, or the cache cannot be used.

        Cancellation: a running build is cancelled; if other requests wait for it, one of them starts the build again.
        """
        with self._entry(key) as entry:
            how = await self._acquire(entry, key, build, report)
            self.taken[how] += 1
            try:
                yield how
            finally:
                _let_go(entry)

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

    async def _acquire(self, entry: _Entry, key: str, build: Callable[[], Awaitable[None]], report: Report) -> How:
        """Become a holder. The first requester builds; if it is cancelled, the next waiting one builds."""
        waited = entry.turn.locked()
        if waited and entry.holders == 0:
            report("waiting for the same environment, which is already being built", logging.INFO)
        async with entry.turn:
            if waited and entry.failure is not None:
                # The build that this request waited for has failed; another one now would fail too.
                raise EnvironmentFailed(entry.failure.message, **entry.failure.details)
            how: How = "reused"
            if entry.shared is None:
                try:
                    entry.shared, how = await self._prepare(key, build)
                except EnvironmentFailed as error:
                    entry.failure = error
                    raise
            entry.failure = None
            # No await from here to the caller's try, so a cancellation cannot lose the holder.
            entry.holders += 1
        return how

    async def _prepare(self, key: str, build: Callable[[], Awaitable[None]]) -> tuple[FileLock, How]:
        limit = TimeLimit(self._timeout_s)
        held: list[FileLock] = []

        async def find() -> tuple[FileLock, How]:
            made = await self._find_or_build(key, build)
            held.append(made[0])
            return made

        try:
            found = await limit.run(find)
        except OSError as error:
            raise EnvironmentFailed(
                f"The environment cache cannot be used: {error.strerror or error} ({error.filename}); "
                "look at PREVIEW_CACHE_DIR",
                reason="disk",
            ) from error
        except BaseException:
            # A cancellation may come after the result, while the task of the limit ends.
            for one in held:
                one.release()
            raise
        if found is not None:
            return found
        raise EnvironmentFailed(
            f"The environment was not ready within {limit.describe()}; use fewer dependencies, or raise "
            "PREVIEW_ENVIRONMENT_BUILD_TIMEOUT",
            reason="timeout",
            limit=f"{self._timeout_s:g} s",
        )

    async def _find_or_build(self, key: str, build: Callable[[], Awaitable[None]]) -> tuple[FileLock, How]:
        layout = self._layout
        layout.root.mkdir(parents=True, exist_ok=True)
        how: How = "cached"
        while True:
            held = await lock(layout.lock(key), exclusive=False)
            if self._is_usable(key):
                if not layout.is_readable(key):
                    await self._make_readable(key)
                held.touch()
                return held, how
            held.release()
            held = await lock(layout.lock(key), exclusive=True)
            try:
                if not self._is_usable(key):
                    for _, path in layout.leftovers(key):
                        await trio.to_thread.run_sync(remove_tree, path, limiter=self._threads)
                    await build()
                    how = "built"
            except BaseException:
                if not layout.directory(key).exists():
                    held.remove()
                raise
            finally:
                held.release()

    async def _make_readable(self, key: str) -> None:
        """Mend an older version's environment once; previews with the service's user can read it anyway.

        Cancellation: takes effect after the environment is mended.
        """
        try:
            await trio.to_thread.run_sync(self._layout.make_readable, key, limiter=self._threads)
        except OSError as error:
            _log.info("environment not readable for all users", key=key, why=str(error))


def _let_go(entry: _Entry) -> None:
    entry.holders -= 1
    if entry.holders == 0 and entry.shared is not None:
        entry.shared.touch()
        entry.shared.release()
        entry.shared = None
