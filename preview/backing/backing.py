"""All backing services of the service, and those of one preview."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.backing.admin.postgresql import PostgresqlLimits
from preview.backing.carrier import Carrier
from preview.backing.interface import BackingDatabase, BackingEngine, QueryResult, RunClient, TableSummary
from preview.backing.mongodb import OperatorMongodb
from preview.backing.mysql import MysqlEngine
from preview.backing.mysql_command import MysqlLimits
from preview.backing.mysql_session import MysqlDatabase
from preview.backing.operator.mysql import OperatorMysql
from preview.backing.operator.names import Names, read_mark, read_secret
from preview.backing.operator.postgresql import OperatorPostgresql
from preview.backing.own import OwnLimits, OwnPostgresqlEngine
from preview.backing.postgresql import PostgresqlEngine
from preview.backing.redis import RedisEngine, RedisLimits
from preview.backing.streams import Join
from preview.backing.tls import TlsFront, certificate_file
from preview.core.isolation import Network
from preview.core.servers import SERVICE_HOSTS, Program, find_mysql, find_postgresql, find_redis
from preview.detection import ServiceKind, ServiceNeed
from preview.runtime import Runtime, Serve, beside, limits_of
from preview.settings import Settings
from preview.settings_address import ServerAddress

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
_MOST_PORTS = 8

DEFAULT_PORTS: Mapping[ServiceKind, int] = {
    ServiceKind.POSTGRESQL: 5432,
    ServiceKind.MYSQL: 3306,
    ServiceKind.REDIS: 6379,
    ServiceKind.MONGODB: 27017,
}
_HERE = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", *SERVICE_HOSTS})  # noqa: S104  compared only


@dataclass(frozen=True, slots=True)
class ServerUse:
    """A server that a preview has of its own, and how much of it is in use.

    Attributes:
        version: Program and version: ``PostgreSQL 15.13``.
        connections: Connections that are open now.
        size_bytes: Size of its database; None if it has not connected yet.
    """

    kind: ServiceKind
    version: str
    connections: int
    size_bytes: int | None


class PreviewServer:
    """One preview's own database, with a count of its connections.

    Args:
        engine: The server.
        database: The database.
    """

    def __init__(self, engine: BackingEngine, database: BackingDatabase) -> None:
        self._engine = engine
        self._database = database
        self._connections = 0

    async def serve(self, client: trio.SocketStream) -> None:
        """See ``BackingDatabase``. Cancellation: both ends are closed."""
        self._connections += 1
        try:
            await self._database.serve(client)
        finally:
            self._connections -= 1

    @property
    def kind(self) -> ServiceKind:
        """Kind of server."""
        return self._engine.kind

    def want(self) -> None:
        """See ``BackingDatabase``."""
        self._database.want()

    async def reset(self) -> None:
        """See ``BackingDatabase``. Cancellation: some of the data may be left."""
        await self._database.reset()

    async def save(self, file: Path, run: RunClient, copy: Path | None = None) -> bool:
        """See ``BackingDatabase``, and for ``copy`` ``MysqlDatabase``.

        Cancellation: there may be a part of the file.
        """
        if isinstance(self._database, MysqlDatabase):
            return await self._database.save(file, run, copy)
        return await self._database.save(file, run)

    async def load(self, file: Path, run: RunClient, copy: Path | None = None) -> None:
        """See ``BackingDatabase``, and for ``copy`` ``MysqlDatabase``. Cancellation: as if it fails."""
        if isinstance(self._database, MysqlDatabase):
            await self._database.load(file, run, copy)
            return
        await self._database.load(file, run)

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._database.list_tables()

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._database.read_table(name, offset=offset, limit=limit)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._database.query(statement, most_rows=most_rows)

    async def measure(self) -> int | None:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._database.measure()

    async def describe(self) -> ServerUse:
        """Return what the preview uses now. Cancellation: nothing changes."""
        version = await trio.to_thread.run_sync(lambda: self._engine.version)
        return ServerUse(self._engine.kind, version, self._connections, await self.measure())


class PreviewServers:
    """One preview's own databases, one of each kind that the service offers. Made by ``Backing.open_servers``.

    Args:
        databases: The databases.
        front: Encrypts their connections.
        administered: The PostgreSQL of a project that is its administrator; it has a server of its own.
    """

    def __init__(
        self,
        databases: Mapping[ServiceKind, PreviewServer],
        front: TlsFront | None = None,
        administered: PreviewServer | None = None,
    ) -> None:
        self._databases = databases
        self._administered = administered
        self._tls = front.for_preview() if front is not None else None

    @property
    def can_be_administered(self) -> bool:
        """True if the preview can have a PostgreSQL server of its own."""
        return self._administered is not None

    def of(self, needs: Iterable[ServiceNeed]) -> Sequence[PreviewServer]:
        """Return the databases that a start plan needs, in its order."""
        found = (self._of(need) for need in needs if need.supplied)
        return list(dict.fromkeys(one for one in found if one is not None))

    def reaches(self, needs: Iterable[ServiceNeed]) -> dict[int, Serve]:
        """Return what serves each port of the preview's own loopback, for the needs of a start plan."""
        found: dict[int, Serve] = {}
        for need in needs:
            database = self._of(need)
            if database is None or not need.supplied:
                continue
            serve: Serve = database.serve
            if need.insists_on_tls and self._tls is not None:
                serve = self._tls.before(need.kind, serve)
            host, port = need.address or ("localhost", DEFAULT_PORTS[need.kind])
            # A plan is a worker's: more ports than a project names would be an attack.
            further = [one for one in need.ports[:_MOST_PORTS] if 0 < one < 65536]
            for one in (DEFAULT_PORTS[need.kind], port if host.lower() in _HERE else 0, *further):
                if one and one not in found:
                    found[one] = serve
        return found

    def all(self) -> Sequence[PreviewServer]:
        """Return all databases, made or not."""
        return [*self._databases.values(), *([] if self._administered is None else [self._administered])]

    def _of(self, need: ServiceNeed) -> PreviewServer | None:
        is_administered = need.administers and need.kind is ServiceKind.POSTGRESQL and self._administered is not None
        return self._administered if is_administered else self._databases.get(need.kind)


class Backing:
    """The servers that this service offers to previews. Made by ``open_backing``.

    Args:
        engines: The servers, one of each kind.
        front: Encrypts connections to them.
        administered: PostgreSQL for projects that are its administrators: each gets a server of its own.
    """

    def __init__(
        self,
        engines: Sequence[BackingEngine],
        front: TlsFront | None = None,
        administered: OwnPostgresqlEngine | None = None,
    ) -> None:
        self.engines = engines
        self._front = front
        self._administered = administered

    @property
    def kinds(self) -> frozenset[ServiceKind]:
        """Kinds of servers that previews get."""
        return frozenset(engine.kind for engine in self.engines)

    def want(self, needs: Iterable[ServiceNeed]) -> None:
        """Start the servers that a plan needs, so that they are up when the application connects."""
        for need in needs:
            if not need.supplied:
                continue
            own = self._administered if need.administers else None
            for engine in self.engines if own is None else (own,):
                if engine.kind is need.kind:
                    engine.want()

    @asynccontextmanager
    async def open_servers(self, preview_id: str, slot: int) -> AsyncIterator[PreviewServers]:
        """Open a preview's own databases; nothing is made before the preview connects.

        Cancellation: its databases are dropped (bounded).
        """
        async with AsyncExitStack() as held:
            databases = {
                engine.kind: PreviewServer(
                    engine, await held.enter_async_context(engine.open_database(preview_id, slot))
                )
                for engine in self.engines
            }
            administered = None
            if self._administered is not None:
                database = await held.enter_async_context(self._administered.open_database(preview_id, slot))
                administered = PreviewServer(self._administered, database)
            yield PreviewServers(databases, self._front, administered)


@asynccontextmanager
async def open_backing(settings: Settings, runtime: Runtime) -> AsyncIterator[Backing]:
    """Open the servers that this machine has programs for; each starts when the first preview needs it.

    Previews need a network of their own for them. Where they have the machine's, none are offered.

    Cancellation: the servers are ended (bounded).
    """
    carrier = Carrier()
    engines = await trio.to_thread.run_sync(_find_engines, settings, runtime, carrier.join)
    if not engines:
        yield Backing(())
        return
    log.info("servers offered to previews", servers=", ".join(engine.kind for engine in engines))
    front = TlsFront(certificate_file(settings.data_dir).parent.parent, runtime, join=carrier.join)
    # Beside the shared server, for projects that need the rights of an administrator.
    shared = next((one for one in engines if isinstance(one, PostgresqlEngine)), None)
    administered = None if shared is None else _own_postgresql(shared.program, settings, runtime, carrier.join)
    running = [*engines, *([] if administered is None else [administered])]
    async with beside(partial(_run, running, carrier, front)):
        yield Backing(engines, front, administered)


async def _run(engines: Sequence[BackingEngine], carrier: Carrier, front: TlsFront) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carrier.run)
        nursery.start_soon(front.run)
        for engine in engines:
            nursery.start_soon(engine.run)


def _find_engines(settings: Settings, runtime: Runtime, join: Join) -> list[BackingEngine]:
    if settings.network is Network.HOST or runtime.network(Network.NONE) is Network.HOST:
        return []
    folder, kept = settings.data_dir / "backing", settings.cache_dir / "backing"
    engines: list[BackingEngine] = []
    limits = PostgresqlLimits(
        memory_mb=settings.backing_memory_mb,
        connections=settings.database_connections,
        statement_s=settings.database_statement_timeout_s,
        ready_made=settings.databases_ahead,
    )
    postgresql = find_postgresql() if settings.postgres != "off" else None
    if isinstance(settings.postgres, ServerAddress):
        clients, names = postgresql or Program(Path("/usr/bin/postgres"), "PostgreSQL"), _names(folder)
        engines.append(
            OperatorPostgresql(
                settings.postgres, clients, names, limits, size_bytes=settings.database_size_mb * _MIB, join=join
            )
        )
    elif postgresql is not None and settings.databases == "own":
        engines.append(_own_postgresql(postgresql, settings, runtime, join))
    elif postgresql is not None:
        engines.append(
            PostgresqlEngine(postgresql, folder / "postgresql", limits, runtime, join=join, kept=kept / "postgresql")
        )
    mysql = find_mysql() if settings.mysql != "off" else None
    shared = MysqlLimits(
        memory_mb=settings.backing_memory_mb,
        connections=settings.database_connections,
        statement_s=settings.database_statement_timeout_s,
    )
    if isinstance(settings.mysql, ServerAddress):
        clients, names = mysql or Program(Path("/usr/sbin/mariadbd"), "MariaDB"), _names(folder)
        engines.append(OperatorMysql(settings.mysql, clients, names, shared, join=join))
    elif mysql is not None:
        engines.append(MysqlEngine(mysql, folder / "mysql", shared, runtime, join=join, kept=kept / "mysql"))
    redis = find_redis() if settings.redis == "auto" else None
    if redis is not None:
        # A server of its own: its connections take nothing from others, and queues open many.
        own = RedisLimits(settings.redis_memory_mb, 5 * settings.database_connections)
        engines.append(RedisEngine(redis, folder / "redis", own, runtime, join=join))
    if isinstance(settings.mongodb, ServerAddress):
        engines.append(
            OperatorMongodb(
                settings.mongodb,
                _names(folder),
                connections=5 * settings.database_connections,
                most_bytes=settings.database_size_mb * _MIB,
            )
        )
    return engines


def _own_postgresql(program: Program, settings: Settings, runtime: Runtime, join: Join) -> OwnPostgresqlEngine:
    limits = OwnLimits(
        tree=limits_of(settings),
        connections=settings.database_connections,
        statement_s=settings.database_statement_timeout_s,
        size_bytes=settings.database_size_mb * _MIB,
    )
    folder, kept = (base / "backing" / "postgresql-own" for base in (settings.data_dir, settings.cache_dir))
    return OwnPostgresqlEngine(program, folder, limits, runtime, join=join, kept=kept)


def _names(folder: Path) -> Names:
    return Names(read_mark(folder), read_secret(folder))
