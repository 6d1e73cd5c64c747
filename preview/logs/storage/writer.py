"""One task that brings the lines of all previews to the database, in batches, and makes nobody wait."""

from __future__ import annotations

from functools import partial

import structlog
import trio
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from preview.errors import DatabaseUnavailable
from preview.logs.model.batch import Batch
from preview.logs.storage.journal import Journal
from preview.logs.storage.queue import WriteQueue
from preview.logs.storage.rows import Rows, delete_up_to, encode_batches, insert_rows
from preview.settings import LAST_STORE_S, Settings
from preview.storage.database import Database

_log = structlog.get_logger(__name__)

# One transaction: 10 to 20 ms on SQLite, so that other writers get their turn.
_TRANSACTION_LINES = 4000
_TRANSACTION_BYTES = 4 * 1024 * 1024
# Lines of a quiet preview are gathered this long into one commit; a kill -9 meanwhile leaves them in the journal, and
# who wants to read them from the database does not wait (``flush``).
_LINGER_S = 0.1
_RETRY_FIRST_S = 0.1
_RETRY_MOST_S = 5.0
# When the service ends, for what is still queued. Previews have flushed theirs before. What a shutdown has beside the
# stop budget may be less than that and the rest: rows of previews (2.3 s), a call that is given up (0.5 s), closing.
_LAST_WRITE_S = 5.0
_REST_S = LAST_STORE_S - 0.5


class LogWriter:
    """Writer of batches. ``run_log_writer`` does the work.

    A preview's row must exist before its first batch is offered. Numbers that had to be dropped are missing in the
    table: a reader sees the discontinuity as a gap.

    Args:
        journal: Keeps what is on its way, should this process be killed; None keeps it in memory only.
    """

    def __init__(self, database: Database, settings: Settings, journal: Journal | None = None) -> None:
        self._database = database
        self._journal = journal
        self._queue = WriteQueue(settings.log_queue_bytes, settings.stored_log_bytes)
        self.last_write_s = min(_LAST_WRITE_S, settings.shutdown_timeout_s - settings.stop_budget_s - _REST_S)
        # Being written now. Invariant: these, and no others, are in flight of the queue.
        self._taken: list[Batch] = []
        # Some could not be written when the service ended.
        self._unwritten = False
        self._outage: DatabaseUnavailable | None = None
        self._wake = trio.Event()
        self._hurry = trio.Event()
        # Lines dropped since the queue was last empty: said when it begins and when it is over, not for each batch.
        self._dropped = 0
        # Lines to delete with the next transaction, because their preview has stored too many: up to which number.
        self._trims: dict[str, int] = {}

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait or are being written."""
        return self._queue.size_bytes

    @property
    def outage(self) -> DatabaseUnavailable | None:
        """Reason why lines wait for the database; None while they are written."""
        return self._outage

    def lost_lines(self, preview_id: str) -> int:
        """Return the number of the preview's dropped lines; 0 once it is closed and written."""
        queue = self._queue.find(preview_id)
        return queue.lost_lines if queue else 0

    def offer(self, batch: Batch) -> None:
        """Take the batch for writing; never waits. When the queue is full, the greediest preview loses lines."""
        bare = batch.bare()
        dropped = self._queue.put(bare)
        if self._journal is not None and self._queue.holds(bare):
            # Before the broadcast: what a subscriber has seen outlives this process.
            self._journal.append(bare)
        if dropped and not self._dropped:
            _log.warning("log lines dropped", preview_id=batch.preview_id, bytes=self.queued_bytes)
        self._dropped += dropped
        self._wake.set()
        if self._queue.waiting_lines >= _TRANSACTION_LINES:
            self._hurry.set()

    def close(self, preview_id: str) -> None:
        """Nothing more will be offered for this preview; what was offered is still written."""
        queue = self._queue.find(preview_id)
        if queue is not None:
            queue.closed = True
            self._queue.forget_if_done(preview_id)

    async def flush(self, preview_id: str, *, up_to: int | None = None) -> None:
        """Wait until what was offered for the preview is committed or was dropped.

        Args:
            preview_id: Whose lines.
            up_to: Only up to this number; None means all that was offered so far.

        Cancellation: nothing changes. During an outage of the database this waits as long as the outage lasts, so
        callers set a deadline.
        """
        await trio.lowlevel.checkpoint()
        queue = self._queue.find(preview_id)
        if queue is None:
            return
        target = queue.offered_seq if up_to is None else up_to
        while not queue.is_settled(target):
            self._hurry.set()
            await queue.settled.park()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            with trio.move_on_after(_LINGER_S):
                await self._hurry.wait()
            self._wake, self._hurry = trio.Event(), trio.Event()
            while self._take():
                await self._write(self._taken)
                self._settle()
            if self._dropped:
                _log.warning("log queue recovered", lines=self._dropped)
                self._dropped = 0

    async def _write(self, batches: list[Batch]) -> None:
        """Write, however long the database is away; what cannot be written at all is given up."""
        delay_s = _RETRY_FIRST_S
        while True:
            try:
                await self._attempt(batches)
            except DatabaseUnavailable as error:
                self._outage = error
                _log.warning("log lines wait for the database", reason=error.message, bytes=self.queued_bytes)
                await trio.sleep(delay_s)
                delay_s = min(2 * delay_s, _RETRY_MOST_S)
            else:
                self._outage = None
                return

    async def _attempt(self, batches: list[Batch]) -> None:
        try:
            await self._commit(batches)
        except SQLAlchemyError:
            # Some preview's lines are refused (its row was deleted): find out whose, keep the others'.
            for preview_id in dict.fromkeys(batch.preview_id for batch in batches):
                own = [batch for batch in batches if batch.preview_id == preview_id]
                try:
                    await self._commit(own)
                except SQLAlchemyError as error:
                    self._give_up(preview_id, own, error)

    async def _commit(self, batches: list[Batch]) -> None:
        runs = await encode_batches(batches)
        trims = dict(self._trims)
        await self._database.write(partial(_store, runs=runs, trims=trims))
        for preview_id, seq in trims.items():
            if self._trims.get(preview_id) == seq:
                del self._trims[preview_id]
        for batch in batches:
            queue = self._queue.find(batch.preview_id)
            cut = queue.count_stored(batch.last_seq, batch.size_bytes) if queue else 0
            if cut:
                self._trims[batch.preview_id] = cut

    def _give_up(self, preview_id: str, batches: list[Batch], error: SQLAlchemyError) -> None:
        lines = sum(map(len, batches))
        queue = self._queue.find(preview_id)
        if queue is not None:
            queue.lost_lines += lines
        _log.warning("log lines refused by the database", preview_id=preview_id, lines=lines, reason=_reason(error))

    async def _drain(self) -> None:
        """Write what is queued, each part once; first what a cancelled write had taken."""
        while self._taken or self._take():
            written = False
            try:
                await self._attempt(self._taken)
                written = True
            except DatabaseUnavailable as error:
                lines = sum(map(len, self._taken))
                _log.warning(
                    "log lines not stored", lines=lines, reason=error.message, in_journal=self._journal is not None
                )
            finally:
                self._settle(written=written)

    def _take(self) -> bool:
        """Take the next transaction's batches; whether there are any."""
        self._taken = self._queue.take(_TRANSACTION_LINES, _TRANSACTION_BYTES)
        return bool(self._taken)

    def _settle(self, *, written: bool = True) -> None:
        """Settle taken batches: written, or dropped and kept in the journal."""
        self._queue.settle(self._taken)
        self._taken = []
        self._unwritten = self._unwritten or not written
        if self._journal is not None and not self._unwritten:
            self._journal.release(self._is_settled)

    def _is_settled(self, preview_id: str, seq: int) -> bool:
        queue = self._queue.find(preview_id)
        return queue is None or queue.is_settled(seq)


async def run_log_writer(writer: LogWriter, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Write what is offered to ``writer``, until cancelled. One such task per writer.

    Cancellation: what is queued is written first, for at most some seconds.
    """
    task_status.started()
    try:
        await writer._run()  # noqa: SLF001  the writer's own task
    finally:
        with trio.move_on_after(writer.last_write_s, shield=True):
            await writer._drain()  # noqa: SLF001  the writer's own task


def _reason(error: SQLAlchemyError) -> str:
    """Return the database's error in one line, without the statement (it holds the lines)."""
    said = str(error.orig) if isinstance(error, DBAPIError) else type(error).__name__
    return said.partition("\n")[0]


def _store(connection: Connection, *, runs: list[Rows], trims: dict[str, int]) -> None:
    for preview_id, seq in trims.items():
        delete_up_to(connection, preview_id, seq)
    insert_rows(connection, runs)
