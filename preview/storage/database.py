"""The database, and how to use it from trio: short functions that run in threads with separate limiters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import trio
from sqlalchemy import Connection, Engine, bindparam, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import ARRAY, Text

from preview.errors import DatabaseUnavailable
from preview.storage.calls import run_call
from preview.storage.engine import (
    CHECKERS,
    READERS,
    SQLITE_BEGIN,
    STATEMENT_TIMEOUT_S,
    limit_idle,
    make_engine,
    writers_of,
)
from preview.storage.outages import translate
from preview.storage.people_tables import api_tokens, audit_trail
from preview.storage.sqlite_files import SqliteFiles
from preview.storage.tables import archived_logs, metadata, preview_instances, preview_logs
from preview.storage.version_tables import generation_versions

# Read one row of each table. An unreadable table raises an error.
_READ = [
    select(literal(1)).select_from(table).limit(1)
    for table in (preview_instances, preview_logs, archived_logs, generation_versions, api_tokens, audit_trail)
]
# A list of privileges in one call matches any of them (PostgreSQL, 9.27), so each is checked separately. The query
# reads the catalogue only, so it does not wait for locks.
_WRITE = text(
    """
    SELECT current_setting('transaction_read_only') = 'on', (
        SELECT min(name) FROM unnest(:tables) AS name
        WHERE NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
            AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
    )
    """
).bindparams(bindparam("tables", sorted(metadata.tables), ARRAY(Text)))


def check_tables(connection: Connection) -> None:
    """Read the tables and, on PostgreSQL, check the privilege to write them.

    SQLite has no privileges: there, the log writer's state shows if writing works.

    Raises:
        DatabaseUnavailable: PostgreSQL would reject a change.
    """
    for query in _READ:
        connection.execute(query).first()
    if connection.dialect.name != "postgresql":
        return
    is_read_only, refused = connection.execute(_WRITE).one()
    if is_read_only:
        raise DatabaseUnavailable(
            "The service's database does not accept writes at the moment; check whether its server is a standby.",
            reason="25006",
        )
    if refused is not None:
        raise DatabaseUnavailable(
            f"The service's database refuses access to the table {refused}; grant the service's role its rights again.",
            reason="42501",
        )


class Carried(NamedTuple):
    """Facts that another node of a cluster needs to start a preview again.

    Attributes:
        options: The launch's own options, encrypted; None without any.
        wants: Constraints on the node, as JSON; None without any.
    """

    options: str | None = None
    wants: str | None = None


NOTHING_CARRIED = Carried()
# An owner may use so many numbers without a transaction. The next one leaves them out after a loss.
FREE_NUMBERS = 1000


class HandedEnd(NamedTuple):
    """The end of the numbers that a service may give the lines of a preview.

    Attributes:
        before: The first number that it may not use.
        instead_of: Stores the end only in place of this greater one; None leaves any greater one as it is.
    """

    before: int
    instead_of: int | None


class Fences(Protocol):
    """Decides in each transaction which previews this service may still write; see ``preview.cluster``.

    Only a node of a cluster can lose a preview to another one. Elsewhere ``Database.fences`` is ``NO_FENCES``.
    """

    def refused(self, connection: Connection, preview_ids: Collection[str]) -> frozenset[str]:
        """Return those of the previews that this service does not own. The others stay its own until the commit.

        Call first in a transaction that writes for previews. Blocks: called in the database's threads.
        """
        ...

    def claim(self, connection: Connection, row: dict[str, Any], most: int | None, carried: Carried) -> None:
        """Claim a new preview in the transaction that inserts its row.

        Args:
            connection: A connection with an open transaction.
            row: The columns of ``preview_instances``.
            most: Maximum number of live previews of the user in the whole cluster; None for a trial preview, which
                does not count, and which no other node takes over.
            carried: What another node needs to start it again.

        Raises:
            PreviewError: Another node has a preview of the generation, or the user's limit is reached.
        """
        ...

    def claimed(self, preview_id: str) -> None:
        """Note that the transaction of ``claim`` is committed."""
        ...

    def ahead(self, lines: int) -> int:
        """Return how many numbers of a log to hand out in advance; 0 if no other node can go on with it.

        Args:
            lines: Lines of the preview in a transaction. 0: how many numbers an owner has without a transaction.
        """
        ...

    def hand_out(self, connection: Connection, ends: Mapping[str, HandedEnd]) -> None:
        """Hand out numbers of lines, so that the next owner uses none of them again. Blocks.

        Args:
            connection: A connection with an open transaction, in which ``refused`` was called.
            ends: By preview, the end of the numbers that this service may use.
        """
        ...


class _NoFences:
    def refused(self, _connection: Connection, _preview_ids: Collection[str]) -> frozenset[str]:
        return frozenset()

    def claim(self, _connection: Connection, _row: dict[str, Any], _most: int | None, _carried: Carried) -> None:
        return

    def claimed(self, _preview_id: str) -> None:
        return

    def ahead(self, _lines: int) -> int:
        return 0

    def hand_out(self, _connection: Connection, _ends: Mapping[str, HandedEnd]) -> None:
        return


CHANNEL = "preview_cluster"
"""Channel of NOTIFY between the nodes of a cluster. Notices only wake: what a node misses, it finds by looking."""

NOTIFY = text("SELECT pg_notify(:channel, :payload)")


def notify(connection: Connection, payload: str) -> None:
    """Send a notice to all nodes at the commit, equal ones once; nothing on SQLite, which has one node. Blocks."""
    if connection.dialect.name == "postgresql":
        connection.execute(NOTIFY, {"channel": CHANNEL, "payload": payload})


def lock_count(connection: Connection, *whose: str) -> None:
    """Let no other change count the same rows until the commit, so that none passes a limit with it. Blocks.

    Call it before the count. SQLite has one writer.

    Args:
        connection: A connection with an open transaction.
        whose: The table, and the rows of it that are counted, such as those of a user.
    """
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, :seed))")
        connection.execute(lock, {"key": " ".join(whose), "seed": _COUNT_LOCK})


NO_FENCES: Fences = _NoFences()
"""Refuses nothing: this service is no node of a cluster."""

T = TypeVar("T")

# An arbitrary constant: the seed of the locks of ``lock_count``.
_COUNT_LOCK = 0x636F756E

# The default of ``PREVIEW_DATABASE_TIMEOUT``.
CALL_TIMEOUT_S = 15.0
# A large upload is one change. A disk slower than 1 MiB per second is too slow for the service.
_WRITE_BYTES_PER_S = 1024 * 1024


class Database:
    """The engine with its thread limiters.

    Functions passed to ``read`` and ``write`` must be short: one transaction, a bounded number of rows. A late call is
    abandoned, see ``run_call``. Separate limiters keep slow statements off trio's shared threads.

    Invariant: the pool has a connection for each slot of the limiters, so no thread waits for a connection.

    Attributes:
        answered: Called with the kind of each answered call (``read``, ``write``) and its seconds, those of the wait
            for a thread included.
        failures: Calls that raised ``DatabaseUnavailable``, checks included.
        fences: Decides which previews this service may write.
    """

    def __init__(self, engine: Engine, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.engine = engine
        self._timeout_s = timeout_s
        self._in_place = SqliteFiles(engine).in_place if self.is_sqlite else nullcontext
        self._checks = trio.CapacityLimiter(CHECKERS)
        self._writers = trio.CapacityLimiter(writers_of(engine))
        self._readers = trio.CapacityLimiter(READERS)
        self.answered: Callable[[str, float], None] = _pass_over
        self.failures = 0
        self.fences = NO_FENCES

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, the file-based default."""
        return self.engine.dialect.name == "sqlite"

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run ``query`` in a thread, in a transaction that is rolled back. On SQLite, all its reads see one snapshot.

        Raises:
            DatabaseUnavailable: The database did not respond.

        Cancellation: see ``run_call``.
        """
        return await self._timed("read", partial(self._in_read, query), self._readers)

    async def write(self, change: Callable[[Connection], T], *, size_bytes: int = 0) -> T:
        """Run ``change`` in a thread, in one transaction that commits completely or not at all.

        On SQLite, the transaction has the write lock from the start, so its first reads stay valid until it writes.

        Args:
            change: Short function that makes the change.
            size_bytes: Approximate bytes written, for large changes: each MiB extends the deadline by one second.

        Raises:
            DatabaseUnavailable: The database did not respond, and nothing was changed. If the connection was lost
                during the commit, the outcome is unknown. A change that is retried must therefore be idempotent.

        Cancellation: see ``run_call``. Once the thread runs, the change is made even if the caller does not see it.
        """
        timeout_s = self._timeout_s + size_bytes / _WRITE_BYTES_PER_S
        work = partial(self._in_write, _with_time(change, timeout_s))
        return await self._timed("write", work, self._writers, timeout_s)

    def write_here(self, change: Callable[[Connection], T]) -> T:
        """Like ``write``, in the caller's thread and without a deadline. Blocks.

        It uses the connection of the checks, so on this database nothing else may, ``check`` included.
        """
        with self._translated():
            return self._in_write(change)

    async def check(self, timeout_s: float) -> None:
        """Check that the tables can be read and written, on a separate thread and connection.

        Raises:
            DatabaseUnavailable: They cannot, or the database did not respond in time.

        Cancellation: nothing changes.
        """
        await self._run(partial(self._in_read, check_tables), self._checks, timeout_s)

    async def _timed(
        self, kind: str, work: Callable[[], T], limiter: trio.CapacityLimiter, timeout_s: float | None = None
    ) -> T:
        started = trio.current_time()
        found = await self._run(work, limiter, timeout_s)
        self.answered(kind, trio.current_time() - started)
        return found

    async def _run(self, work: Callable[[], T], limiter: trio.CapacityLimiter, timeout_s: float | None = None) -> T:
        with self._translated():
            return await run_call(work, limiter, self._timeout_s if timeout_s is None else timeout_s)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise the driver's errors as this package's, and count failures."""
        try:
            yield
        except DatabaseUnavailable:
            self.failures += 1
            raise
        except (DBAPIError, PoolTimeout) as error:
            meant = translate(error)
            if meant is error:
                raise
            self.failures += isinstance(meant, DatabaseUnavailable)
            raise meant from error

    def _in_read(self, query: Callable[[Connection], T]) -> T:
        with self._in_place(), self.engine.connect() as connection:
            return query(connection)

    def _in_write(self, change: Callable[[Connection], T]) -> T:
        with self._in_place(), self.engine.connect() as connection:
            connection.execution_options(**{SQLITE_BEGIN: "IMMEDIATE"})
            with connection.begin():
                return change(connection)


def _pass_over(_kind: str, _seconds: float) -> None:
    """Count nothing."""


def _with_time(change: Callable[[Connection], T], timeout_s: float) -> Callable[[Connection], T]:
    """Raise PostgreSQL's statement timeout to at least the call's timeout."""
    if timeout_s <= STATEMENT_TIMEOUT_S:
        return change

    def with_time(connection: Connection) -> T:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
        return change(connection)

    return with_time


@asynccontextmanager
async def open_database(url: str, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[Database]:
    """Provide the database and close its connections at the end. Does not migrate: see ``prepare``.

    Raises:
        ConfigurationError: The URL is invalid, or names an unsupported kind of database.

    Cancellation: connections are closed.
    """
    engine = make_engine(url)
    limit_idle(engine, timeout_s)
    try:
        yield Database(engine, timeout_s)
    finally:
        engine.dispose()
