"""The composition root: everything the service owns, built in order, as one ``async with``."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
import trio

from preview.environments import EnvironmentCache
from preview.environments.node import NodeEnvironmentCache
from preview.errors import ConfigurationError
from preview.generations import GenerationLibrary, GenerationSource
from preview.lifecycle import StopCause
from preview.logs import LogStore, LogWriter, run_log_writer
from preview.runtime import PlainRuntime, Runtime, child_subreaper, many_open_files
from preview.settings import Settings
from preview.storage import Database, PreviewStore, UserStore, open_database, prepare
from preview.supervisor import House, PreviewManager, reconcile, run_cleanup

__all__ = ["Service", "open_service"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What the edges work with.

    Attributes:
        settings: As given.
        database: The service's own.
        generations: Where generations come from: the host's, or ``library``.
        library: The built-in store, which also takes uploads; None when a host brings its own generations.
        previews: Launches, finds and stops previews.
        log_store: Stored lines, for previews that are over.
        users: The users table.
        draining: Set when the shutdown begins: streams say goodbye, nothing new is launched.
    """

    settings: Settings
    database: Database
    generations: GenerationSource
    library: GenerationLibrary | None
    previews: PreviewManager
    log_store: LogStore
    users: UserStore
    draining: trio.Event


@asynccontextmanager
async def open_service(
    settings: Settings, *, generations: GenerationSource | None = None, runtime: Runtime | None = None
) -> AsyncIterator[Service]:
    """The service, ready: database migrated, what a crash left behind reconciled, its tasks running.

    Nesting is the order of shutdown: previews end first, then the writer that keeps their last lines, then the
    database. While it is open this process is a child subreaper (see ``runtime.child_subreaper``) and may open as many
    files as its hard limit allows.

    Args:
        settings: Parsed at the edge.
        generations: A host's own; None means the built-in store in the service's database.
        runtime: How processes are started; None means the plain runtime.

    Raises:
        ConfigurationError: The data folder is in use by another service, or the database cannot be used as it is.
        DatabaseUnavailable: The database did not answer.

    Cancellation: every preview is torn down within the stop budget, lines are flushed, the database is closed.
    """
    with _private_data_folder(settings), child_subreaper(), many_open_files():
        async with open_database(settings.resolved_database_url) as database:
            await prepare(database)
            store = PreviewStore(database)
            await reconcile(settings, store)
            library = GenerationLibrary(database, settings) if generations is None else None
            source = generations or library
            assert source is not None, "one of the two lines above has set it"  # noqa: S101
            async with _open_writer(database, settings) as writer:
                house = House(
                    settings=settings,
                    source=source,
                    environments=EnvironmentCache(settings),
                    node_environments=NodeEnvironmentCache(settings),
                    runtime=runtime or PlainRuntime(),
                    store=store,
                    writer=writer,
                )
                users, log_store = UserStore(database), LogStore(database)
                draining = trio.Event()
                async with _open_manager(house, users, log_store, draining) as manager:
                    yield Service(settings, database, source, library, manager, log_store, users, draining)


@contextmanager
def _private_data_folder(settings: Settings) -> Iterator[None]:
    """Hold the data folder: what lies there and belongs to no preview of this process is a leftover.

    The kernel lets go of the lock when the process ends, however it ends (flock(2)).
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(settings.data_dir / "previews.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {settings.data_dir} cannot be used ({error.strerror}); "
            "set PREVIEW_DATA_DIR to one you can write."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"The data folder {settings.data_dir} is in use by another service; stop that one, "
                "or set PREVIEW_DATA_DIR to another folder."
            ) from error
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def _open_writer(database: Database, settings: Settings) -> AsyncIterator[LogWriter]:
    """The writer and its task, which outlives the body: shielded, and cancelled here when the body is over."""
    writer = LogWriter(database, settings)
    scope = trio.CancelScope(shield=True)

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await run_log_writer(writer, task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        try:
            yield writer
        finally:
            # Bounded: run_log_writer gives its last write a deadline of its own.
            scope.cancel()


@asynccontextmanager
async def _open_manager(
    house: House, users: UserStore, log_store: LogStore, draining: trio.Event
) -> AsyncIterator[PreviewManager]:
    """The manager in the nursery of all previews; leaving it stops every one of them, within the stop budget."""
    async with trio.open_nursery() as nursery:
        manager = PreviewManager(nursery, house, users=users, log_store=log_store, draining=draining)
        await nursery.start(run_cleanup, manager, house)
        try:
            yield manager
        finally:
            draining.set()
            with trio.move_on_after(house.settings.stop_budget_s, shield=True) as scope:
                await manager.stop_all(StopCause.SHUTDOWN)
            if scope.cancelled_caught:
                log.error("previews did not stop within the budget", left=len(manager.all_active))
            nursery.cancel_scope.cancel()
