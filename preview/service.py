"""The composition root: one ``async with`` that builds everything the service owns, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count

import structlog
import trio

from preview.alerts import Alerts, open_alerts
from preview.backing import Backing, open_backing
from preview.cluster import Cluster, node_name, open_cluster
from preview.core.isolation import Network
from preview.core.lifecycle import StopCause
from preview.data import Confined, SnapshotStore
from preview.detection import ServiceKind
from preview.embedding import in_asyncio
from preview.environments import EnvironmentCache, Jail, Shelf, find_jail, open_images
from preview.environments.node.build import NodeEnvironmentCache
from preview.generations import GenerationLibrary, GenerationSource
from preview.github import GithubImporter
from preview.launch_settings import LaunchSettings
from preview.logs import LogStore, LogWriter, journal_folder, open_journal, recover_lines, run_log_writer
from preview.logs.failures.collector import FailureCollector, open_failures
from preview.logs.shipping.shipper import open_shipping
from preview.logs.storage.archived import find_archive
from preview.logs.storage.archiving import archiving
from preview.rollout import Rollout
from preview.runtime import (
    IsolationLevel,
    IsolationSupport,
    ProcessSpec,
    Runtime,
    child_subreaper,
    limits_of,
    many_open_files,
    open_ladder,
)
from preview.service_folder import DataFolderInUse, private_data_folder
from preview.settings import Settings
from preview.storage import Database, PreviewStore, Sealer, UserStore, open_database, open_sealer, prepare
from preview.supervisor import (
    AnalysisCache,
    DataManager,
    PreviewManager,
    PushQueue,
    StartQueue,
    SupervisorContext,
    preview_folders,
    reconcile,
    run_builder,
    run_cleanup,
)
from preview.tracing import TraceKeeper
from preview.traffic import SeriesKeeper, TrafficStore, TrafficWriter, run_traffic_writer
from preview.worker import ProjectReader, WorkerReader, open_worker_pool

__all__ = ["DataFolderInUse", "Service", "open_service"]

log = structlog.get_logger(__name__)

_COMPARE_SLOT = 4  # a port that no preview has; see ``ProcessSpec.slot``


@dataclass(frozen=True, slots=True)
class Service:
    """The running service's parts, for HTTP, the CLI and host applications.

    Attributes:
        settings: The settings that it was opened with.
        database: The service's database.
        generations: Source of generations: the host's, or ``library``.
        library: The built-in store, which accepts uploads; None if a host provides the generations.
        previews: Launches, finds and stops previews.
        log_store: Stored lines of previews that are over.
        log_writer: Stores the lines of all previews.
        users: The users table.
        rungs: Isolation levels, from the weakest; empty if a host provides the runtime.
        reader: Analyses projects' files.
        draining: Set when the shutdown starts: streams end, and launches are refused.
        backing: Servers that previews get.
        runtime: Starts processes.
        data: Reads, saves and replaces the data of previews.
        traffic: Stored requests to previews.
        traffic_writer: Stores requests to previews.
        series: Stored measurements of previews.
        failures: Failure records of previews.
        alerts: Rules of users, and their firings.
        sealer: Encrypts secrets that are stored in the database.
        launch_settings: Settings of projects.
        shelf: Stored environments.
        rollout: Flags of operators.
        traces: Spans of previews' requests.
        imports: Imports repositories from GitHub.
        cluster: The cluster of which this service is a node; None if it is none.
    """

    settings: Settings
    database: Database
    generations: GenerationSource
    library: GenerationLibrary | None
    previews: PreviewManager
    log_store: LogStore
    log_writer: LogWriter
    users: UserStore
    rungs: Sequence[IsolationLevel]
    reader: ProjectReader
    draining: trio.Event
    backing: Backing
    runtime: Runtime
    data: DataManager
    traffic: TrafficStore
    traffic_writer: TrafficWriter
    series: SeriesKeeper
    failures: FailureCollector
    alerts: Alerts
    sealer: Sealer
    launch_settings: LaunchSettings
    shelf: Shelf
    traces: TraceKeeper
    rollout: Rollout
    imports: GithubImporter
    cluster: Cluster | None = None

    @property
    def supplied(self) -> frozenset[ServiceKind]:
        """Kinds of servers that each preview gets."""
        return self.backing.kinds


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    generations: GenerationSource | None = None,
    runtime: Runtime | None = None,
    reader: ProjectReader | None = None,
) -> AsyncIterator[Service]:
    """Open the service: database migrated, leftovers of a crash removed, tasks running.

    The nesting is the order of shutdown: previews end first, then the writer that stores their last lines, then the
    database. While the service is open, this process is a child subreaper (see ``runtime.child_subreaper``), and its
    limit of open files is raised to the hard limit.

    Args:
        settings: Parsed settings.
        generations: The host's source of generations; None means the built-in store in the service's database.
        runtime: Starts processes; None means the best isolation that the machine offers and the settings allow.
        reader: Analyses projects; None means worker processes, one for each analysis.

    Raises:
        RuntimeError: Asyncio runs the caller.
        ConfigurationError: Another service uses the data folder, the database is not usable, or the machine offers less
            isolation than required.
        DatabaseUnavailable: The database did not respond.

    Cancellation: every preview is torn down within the stop budget, lines are flushed, and the database is closed.
    """
    if in_asyncio():
        raise RuntimeError(
            "open_service needs trio. Under asyncio, make the application with create_app(), enter "
            "`async with app.running() as service`, and call its functions with `await app.call(function, ...)`."
        )
    with private_data_folder(settings), child_subreaper(), many_open_files():
        sealer = open_sealer(settings)
        async with open_database(settings.resolved_database_url, settings.database_timeout_s) as database:
            await prepare(database, upgrades=settings.database_upgrade == "auto")
            store = PreviewStore(database)
            # Lines before rows: a client that sees the end of a preview then sees all of its lines.
            await recover_lines(journal_folder(settings), database, node_name(settings))
            await reconcile(settings, store)
            snapshots = SnapshotStore(settings, database, node_name(settings) or "")
            await snapshots.reconcile(has_generations=generations is None)
            pushed = PushQueue(settings)
            on_push = pushed.put if settings.build_on_push else None
            library = GenerationLibrary(database, settings, on_push) if generations is None else None
            source = generations or library
            traces = TraceKeeper(most_spans=settings.trace_spans, most_bytes=settings.traces_mb * 1024 * 1024)
            launch_settings = LaunchSettings(database, sealer, has_projects=library is not None)
            assert source is not None, "one of the two lines above has set it"  # noqa: S101
            async with (
                _open_reader(settings, reader) as reading,
                _open_writer(database, settings) as writer,
                _open_traffic(database, settings) as traffic,
                _open_series(database) as series,
                open_failures(database, settings) as failures,
                _open_ladder(settings, runtime) as ladder,
                open_backing(settings, ladder.runtime) as backing,
                open_cluster(settings, database, ladder.runtime.name, preview_folders(settings)) as cluster,
                open_images(settings, (ladder.runtime, *ladder.further.values()), ladder.groups) as images,
            ):
                jail = await _find_jail(settings, ladder)
                rollout = Rollout(database, settings, ladder.runtime.name, ladder.further)
                rollout.tell_refused_tiers()
                context = SupervisorContext(
                    settings=settings,
                    source=source,
                    environments=EnvironmentCache(settings, jail),
                    node_environments=NodeEnvironmentCache(settings, jail, reading),
                    runtime=ladder.runtime,
                    store=store,
                    writer=writer,
                    analyses=AnalysisCache(reading, backing.kinds),
                    start_queue=StartQueue(settings.starts_at_once),
                    backing=backing,
                    snapshots=snapshots,
                    migration_lock=ladder.migration_lock,
                    traffic=traffic,
                    traces=traces,
                    launch_settings=launch_settings,
                    rollout=rollout,
                    runtimes=ladder.further,
                    cluster=cluster,
                    sealer=sealer,
                    images=images,
                )
                context.environments.shelf.taken["node"] = context.node_environments.taken
                context.observers.extend((failures.watch, series.watch))
                context.farewells.extend((series.end, lambda preview: failures.settle_last(preview.id)))
                archived = await find_archive(settings, database)
                users, log_store, draining = UserStore(database), LogStore(database, archived), trio.Event()
                async with (
                    archiving(archived, settings, writer),
                    open_alerts(
                        settings,
                        database,
                        log_store,
                        context.observers,
                        has_generations=library is not None,
                        sealer=sealer,
                        notices=None if cluster is None else cluster.notices,
                    ) as alerts,
                    _open_manager(context, users, log_store, draining) as manager,
                    _run_builders(context, pushed, rollout),
                ):
                    yield Service(
                        settings, database, source, library, manager, log_store, writer, users, ladder.rungs, reading,
                        draining, backing, ladder.runtime,
                        DataManager(settings, manager, snapshots, _comparing(settings, ladder.runtime).run),
                        TrafficStore(database), traffic, series,
                        failures, alerts, sealer, launch_settings, context.environments.shelf, traces, rollout,
                        GithubImporter(settings, reading), cluster,
                    )  # fmt: skip


def _comparing(settings: Settings, runtime: Runtime) -> Confined:
    """Return what runs the programs that compare snapshots: they belong to no preview."""
    like = ProcessSpec(
        preview_id="compare",
        argv=(),
        directory=settings.data_dir,
        environment={},
        listener=None,
        limits=limits_of(settings),
        slot=_COMPARE_SLOT,
    )
    return Confined(runtime, like, count(1).__next__)


@asynccontextmanager
async def _open_reader(settings: Settings, reader: ProjectReader | None) -> AsyncIterator[ProjectReader]:
    if reader is not None:
        yield reader
        return
    async with open_worker_pool(settings) as pool:
        yield WorkerReader(pool)


@asynccontextmanager
async def _open_ladder(settings: Settings, runtime: Runtime | None) -> AsyncIterator[IsolationSupport]:
    if runtime is not None:
        yield IsolationSupport(runtime, ())
        return
    async with open_ladder(settings) as ladder:
        _tell_isolation(ladder, ladder.runtime.network(settings.network))
        yield ladder


async def _find_jail(settings: Settings, ladder: IsolationSupport) -> Jail | None:
    """Find a jail for builds, if previews run in a sandbox."""
    if not any(rung.name == "sandbox" and rung.holds for rung in ladder.rungs):
        return None
    return await find_jail(settings, settings.data_dir / "sandbox", ladder.groups)


def _tell_isolation(ladder: IsolationSupport, network: Network) -> None:
    """Log the enabled isolation levels, and one warning per reason why a level is unavailable, with advice."""
    held_by = ", ".join(rung.name for rung in ladder.rungs if rung.holds)
    log.info("isolation enabled", by=held_by, network=network)
    missing: dict[tuple[str, str], list[str]] = {}
    for rung in ladder.rungs:
        if not rung.holds:
            missing.setdefault((rung.found, rung.advice), []).append(rung.name)
    for (why, advice), names in missing.items():
        log.warning("isolation level unavailable", levels=", ".join(names), why=why, advice=advice)


@asynccontextmanager
async def _open_writer(database: Database, settings: Settings) -> AsyncIterator[LogWriter]:
    """Open the writer with its journal, which keeps lines that the database lacks at the end."""
    with open_journal(journal_folder(settings)) as journal:
        async with open_shipping(settings) as shipper:
            writer = LogWriter(database, settings, journal)
            writer.shipper = shipper
            async with _outliving(partial(run_log_writer, writer)):
                yield writer


@asynccontextmanager
async def _open_series(database: Database) -> AsyncIterator[SeriesKeeper]:
    keeper = SeriesKeeper(database)
    async with _outliving(keeper.run):
        yield keeper


@asynccontextmanager
async def _open_traffic(database: Database, settings: Settings) -> AsyncIterator[TrafficWriter]:
    writer = TrafficWriter(database, settings)
    async with _outliving(partial(run_traffic_writer, writer)):
        yield writer


@asynccontextmanager
async def _outliving(run_writer: Callable[..., Awaitable[None]]) -> AsyncIterator[None]:
    """Run a writer in a shielded task that outlives the body; the task is cancelled here afterwards."""
    scope = trio.CancelScope(shield=True)

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await run_writer(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        try:
            yield
        finally:
            # Bounded: each writer sets a deadline for its last write.
            scope.cancel()


@asynccontextmanager
async def _run_builders(context: SupervisorContext, pushed: PushQueue, rollout: Rollout) -> AsyncIterator[None]:
    """Run background builds of environments, and read flags; leaving the context kills their programs."""
    async with trio.open_nursery() as nursery:
        await nursery.start(rollout.run)
        await nursery.start(context.environments.run_compiler)
        await nursery.start(run_builder, pushed, context)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def _open_manager(
    context: SupervisorContext, users: UserStore, log_store: LogStore, draining: trio.Event
) -> AsyncIterator[PreviewManager]:
    """Open the manager in the nursery of all previews; leaving the context stops them all within the stop budget."""
    async with trio.open_nursery() as nursery:
        manager = PreviewManager(nursery, context, users=users, log_store=log_store, draining=draining)
        await nursery.start(run_cleanup, manager, context)
        await nursery.start(manager.keep_spares)
        if manager.takeovers is not None:
            await nursery.start(manager.takeovers.run)
        try:
            yield manager
        finally:
            draining.set()
            with trio.move_on_after(context.settings.stop_budget_s, shield=True) as scope:
                await manager.stop_all(StopCause.SHUTDOWN)
            if scope.cancelled_caught:
                log.error("previews not stopped in time", left=len(manager.all_active))
            nursery.cancel_scope.cancel()
