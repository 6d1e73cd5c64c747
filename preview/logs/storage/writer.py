"""One task that writes the lines of all previews to the database, in batches, without blocking their producers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import structlog
import trio
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from preview.core.clock import now_ms
from preview.errors import DatabaseUnavailable
from preview.logs.model.batch import Batch
from preview.logs.model.numbers import Numbers
from preview.logs.shipping.shipper import Shipper
from preview.logs.storage.handing import HandedNumbers
from preview.logs.storage.journal import Journal
from preview.logs.storage.queue import WriteQueue
from preview.logs.storage.rows import Rows, delete_up_to, encode_batches, insert_rows
from preview.settings import LAST_STORE_S, Settings
from preview.storage.database import Database, Fences, HandedEnd

_log = structlog.get_logger(__name__)

# Limit of one transaction: 10 to 20 ms on SQLite, so that other writers get a turn.
_TRANSACTION_LINES = 4000
_TRANSACTION_BYTES = 4 * 1024 * 1024
# Lines of a quiet preview are collected this long for one commit. After a kill -9 in that time they are in the journal.
# A reader that needs them from the database does not wait this long (``flush``).
_LINGER_S = 0.1
_RETRY_FIRST_S = 0.1
_RETRY_MOST_S = 5.0
# Deadline of the last write, for lines still queued at the service's end; previews have flushed theirs before. A
# shutdown may have less: it also stores rows of previews (2.3 s), gives up a database call (0.5 s) and closes.
_LAST_WRITE_S = 5.0
_REST_S = LAST_STORE_S - 0.5


class LogWriter:
    """Queue and writer of batches. ``run_log_writer`` runs its task.

    A preview's row must exist before its first batch is offered. Dropped lines are missing in the table: a reader sees
    the missing numbers as a gap.

    Args:
        journal: Keeps queued lines if this process is killed; None keeps them in memory only.

    Attributes:
        offered_lines: Lines of all previews since the start, with those lost.
        stored_lines: Lines written to the database since the start.
        lost_count: Lines dropped by the queue or refused by the database since the start.
        shipper: Gets each batch, too, for another system; None without one.
    """

    def __init__(self, database: Database, settings: Settings, journal: Journal | None = None) -> None:
        self._database = database
        self._journal = journal
        self._queue = WriteQueue(settings.log_queue_bytes, settings.stored_log_bytes)
        self.last_write_s = min(_LAST_WRITE_S, settings.shutdown_timeout_s - settings.stop_budget_s - _REST_S)
        # Batches being written. Invariant: exactly these are in flight in the queue.
        self._taken: list[Batch] = []
        # True if some batches could not be written at the service's end.
        self._unwritten = False
        self._outage: DatabaseUnavailable | None = None
        self._wake = trio.Event()
        self._hurry = trio.Event()
        # Lines dropped since the queue was last empty. Logged at the start and end of an overflow, not for each batch.
        self._dropped = 0
        self.offered_lines = self.stored_lines = self.lost_count = 0
        self.shipper: Shipper | None = None
        # By preview with too many stored lines: delete its lines up to this number with the next transaction.
        self._trims: dict[str, int] = {}
        self._numbers = HandedNumbers()

    @property
    def queued_bytes(self) -> int:
        """Size of queued batches and of those being written."""
        return self._queue.size_bytes

    @property
    def lag_s(self) -> float:
        """Age of the oldest line that is not stored yet; 0 if all are."""
        times = [batch.timestamps[0] for batch in self._taken]
        waiting = self._queue.oldest_ms
        oldest = min([*times, waiting] if waiting is not None else times, default=None)
        return 0.0 if oldest is None else max(0, now_ms() - oldest) / 1000

    @property
    def outage(self) -> DatabaseUnavailable | None:
        """Reason why lines wait for the database; None while writing works."""
        return self._outage

    def lost_lines(self, preview_id: str) -> int:
        """Return the number of the preview's dropped lines; 0 once the preview is closed and written."""
        queue = self._queue.find(preview_id)
        return queue.lost_lines if queue else 0

    def open(self, preview_id: str, numbers: Numbers) -> None:
        """Hand numbers out for a new log; ``shut`` ends that."""
        numbers.begin(1, self.free_numbers)
        self._numbers.open(preview_id, numbers)

    def shut(self, preview_id: str, numbers: Numbers) -> None:
        """Hand out no more numbers for this log, which has ended."""
        self._numbers.close(preview_id, numbers)

    @property
    def free_numbers(self) -> int:
        """Number of numbers that an owner may use without a transaction; 0 means all, outside a cluster."""
        return self._database.fences.ahead(0)

    def ask(self, preview_id: str) -> None:
        """Hand out numbers soon: the log has used half of its own."""
        self._numbers.asking.add(preview_id)
        self._wake.set()
        self._hurry.set()

    def offer(self, batch: Batch) -> None:
        """Queue the batch; never waits. When the queue is full, the preview with the most queued bytes loses lines."""
        bare = batch.bare()
        self.offered_lines += len(bare)
        if self.shipper is not None:
            self.shipper.offer(bare)
        dropped = self._queue.put(bare)
        if self._journal is not None and self._queue.holds(bare):
            # Before the broadcast, so that every line that a subscriber has seen survives a kill of this process.
            self._journal.append(bare)
        if dropped and not self._dropped:
            _log.warning("log lines dropped", preview_id=batch.preview_id, bytes=self.queued_bytes)
        self._dropped += dropped
        self.lost_count += dropped
        self._wake.set()
        if self._queue.waiting_lines >= _TRANSACTION_LINES:
            self._hurry.set()

    def close(self, preview_id: str) -> None:
        """Close the preview's queue: no batch follows. Queued batches are still written."""
        queue = self._queue.find(preview_id)
        if queue is not None:
            queue.closed = True
            self._queue.forget_if_done(preview_id)

    async def flush(self, preview_id: str, *, up_to: int | None = None) -> None:
        """Wait until the preview's offered lines are committed or dropped.

        Args:
            preview_id: The preview.
            up_to: Wait only for lines up to this number; None means all lines offered so far.

        Cancellation: nothing changes. A database outage delays this as long as it lasts, so callers set a deadline.
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
            with trio.move_on_after(self._numbers.next_s()):
                await self._wake.wait()
            self._numbers.take_back()
            with trio.move_on_after(_LINGER_S):
                await self._hurry.wait()
            self._wake, self._hurry = trio.Event(), trio.Event()
            while self._take() or self._numbers.asking:
                await self._write(self._taken)
                self._settle()
            if self._dropped:
                _log.warning("log queue recovered", lines=self._dropped)
                self._dropped = 0

    async def _write(self, batches: list[Batch]) -> None:
        """Write the batches; retry as long as the database is unavailable. Lines that the database refuses are lost."""
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
            # The database refuses some preview's lines (its row was deleted): write each preview's lines separately.
            for preview_id in dict.fromkeys([*(batch.preview_id for batch in batches), *self._numbers.asking]):
                own = [batch for batch in batches if batch.preview_id == preview_id]
                try:
                    await self._commit(own, {preview_id})
                except SQLAlchemyError as error:
                    # Its lines are lost. Others may wait for numbers: the next transaction hands these out alone.
                    if not own:
                        self._numbers.asking.discard(preview_id)
                    self._give_up(preview_id, own, error)

    async def _commit(self, batches: list[Batch], chosen: Collection[str] | None = None) -> None:
        runs = await encode_batches(batches)
        trims = dict(self._trims)
        fences = self._database.fences
        handing = self._numbers.plan(batches, fences.ahead, chosen)
        store = partial(_store, runs=runs, trims=trims, ends=handing.ends, fences=fences)
        try:
            refused = await self._database.write(store)
        except BaseException:
            self._numbers.undone(handing)
            raise
        self._numbers.done(handing, refused, self.free_numbers)
        for preview_id, seq in trims.items():
            if self._trims.get(preview_id) == seq:
                del self._trims[preview_id]
        for batch in batches:
            if batch.preview_id in refused:
                self.lose(batch.preview_id, len(batch))
                continue
            self.stored_lines += len(batch)
            queue = self._queue.find(batch.preview_id)
            cut = queue.count_stored(batch.last_seq, batch.size_bytes) if queue else 0
            if cut:
                self._trims[batch.preview_id] = cut

    def _give_up(self, preview_id: str, batches: list[Batch], error: SQLAlchemyError) -> None:
        lines = sum(map(len, batches))
        self.lose(preview_id, lines)
        _log.warning("log lines refused by the database", preview_id=preview_id, lines=lines, reason=_reason(error))

    def lose(self, preview_id: str, lines: int) -> None:
        """Count lines that are not stored, also those that were not even offered."""
        queue = self._queue.find(preview_id)
        self.lost_count += lines
        if queue is not None:
            queue.lost_lines += lines

    async def _drain(self) -> None:
        """Write each queued batch once, at the end; first the batches of a cancelled write."""
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
        """Take the batches of the next transaction; return True if there are any."""
        self._taken = self._queue.take(_TRANSACTION_LINES, _TRANSACTION_BYTES)
        return bool(self._taken)

    def _settle(self, *, written: bool = True) -> None:
        """Settle taken batches: written, or left in the journal."""
        self._queue.settle(self._taken)
        self._taken = []
        self._unwritten = self._unwritten or not written
        if self._journal is not None and not self._unwritten:
            self._journal.release(self._is_settled)

    def _is_settled(self, preview_id: str, seq: int) -> bool:
        queue = self._queue.find(preview_id)
        return queue is None or queue.is_settled(seq)


async def run_log_writer(writer: LogWriter, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Write the batches offered to ``writer`` until cancelled. One task per writer.

    Cancellation: queued lines are written first, within ``last_write_s`` seconds.
    """
    task_status.started()
    try:
        await writer._run()  # noqa: SLF001  the writer's own task
    finally:
        with trio.move_on_after(writer.last_write_s, shield=True):
            await writer._drain()  # noqa: SLF001  the writer's own task


def _reason(error: SQLAlchemyError) -> str:
    """Return the database's error in one line, without the statement, which contains log lines."""
    said = str(error.orig) if isinstance(error, DBAPIError) else type(error).__name__
    return said.partition("\n")[0]


def _store(
    connection: Connection,
    *,
    runs: list[Rows],
    trims: dict[str, int],
    ends: Mapping[str, HandedEnd],
    fences: Fences,
) -> frozenset[str]:
    """Store lines and delete the oldest ones; return the previews that another node has, whose lines are refused."""
    refused = fences.refused(connection, {*trims, *ends, *(run.preview_id for run in runs)})
    for preview_id, seq in trims.items():
        if preview_id not in refused:
            delete_up_to(connection, preview_id, seq)
    insert_rows(connection, [run for run in runs if run.preview_id not in refused])
    fences.hand_out(connection, {one: end for one, end in ends.items() if one not in refused})
    return refused
