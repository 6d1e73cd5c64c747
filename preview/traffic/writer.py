"""One task that writes the requests of all previews to the database, in batches, without blocking their carriers."""

from __future__ import annotations

from functools import partial

import structlog
import trio
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from preview.core.bounded_dict import BoundedDict
from preview.errors import DatabaseUnavailable
from preview.settings import Settings
from preview.storage.database import Database, Fences
from preview.traffic.direct import LineNumbers
from preview.traffic.draft import Draft
from preview.traffic.preview_traffic import HURRY, Bounds, PreviewTraffic
from preview.traffic.record import Capture
from preview.traffic.redaction import TARGET_CHARACTERS, Redactor
from preview.traffic.retention import Retention, Statistics, store_statistics
from preview.traffic.rows import RecordEncoder, Run, insert_runs

log = structlog.get_logger(__name__)

# Limit of one transaction, as for log lines: 10 to 20 ms on SQLite.
_TRANSACTION_RECORDS = 4000
_TRANSACTION_BYTES = 4 * 1024 * 1024
# Records of a quiet service are collected this long for one commit. A reader does not wait this long (``flush``).
_LINGER_S = 0.1
# Of a busy one for longer: each commit delays other tasks, as two threads that run Python code share one lock.
_BUSY_RECORDS = 100
_BUSY_LINGER_S = 0.4
# Work between two turns of other tasks.
_TURN_S = 0.001
# Longer targets cost measurable work, at worst 4 µs a character. Only so much is read when a preview has caused enough.
_SHORT_TARGET = 64
_RETRY_FIRST_S = 0.1
_RETRY_MOST_S = 5.0
# Deadline of the last write, at the service's end.
LAST_WRITE_S = 1.0
# Records in memory: 20,000 requests a second for a second, or a slower rate for longer.
_QUEUED_RECORDS = 20_000
_KNOWN_LOSSES = 1000

_Taken = list[tuple[PreviewTraffic, list[tuple[int, Draft]]]]


class TrafficWriter:
    """Queue and writer of recorded requests. ``run_traffic_writer`` runs its task."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._default = Capture(settings.capture)
        self._most_per_s = settings.recorded_requests_per_s
        self._bounds = Bounds(_QUEUED_RECORDS, settings.request_queue_bytes)
        self._redactor = Redactor()
        self._retention = Retention(database, settings)
        self._open: dict[str, PreviewTraffic] = {}
        self._wake = trio.Event()
        self._hurry = trio.Event()
        self._taken: _Taken = []
        self._ended: BoundedDict[str, PreviewTraffic] = BoundedDict(_KNOWN_LOSSES)

    @property
    def queued_bytes(self) -> int:
        """Approximate memory of queued records and of those being written."""
        return self._bounds.size_bytes

    @property
    def queued_records(self) -> int:
        """Number of queued records and of those being written."""
        return self._bounds.count

    def open(self, preview_id: str, lines: LineNumbers, capture: Capture | None = None) -> PreviewTraffic:
        """Return the recorder of a new preview. Its owner closes it. Without ``capture`` the setting applies."""
        made = PreviewTraffic(
            preview_id,
            capture=capture or self._default,
            lines=lines,
            bounds=self._bounds,
            wake=self._wake_up,
            most_per_s=self._most_per_s,
        )
        self._open[preview_id] = made
        return made

    def find(self, preview_id: str) -> PreviewTraffic | None:
        """Return the recorder of a preview that is live, or has ended not long ago."""
        return self._open.get(preview_id) or self._ended.get(preview_id)

    async def flush(self, preview_id: str) -> None:
        """Wait until all requests so far are stored or lost. Cancellation: nothing changes.

        An outage of the database delays this as long as it lasts, so callers set a deadline.
        """
        await trio.lowlevel.checkpoint()
        traffic = self.find(preview_id)
        if traffic is None:
            return
        if traffic.waiting:
            # The last line of a record is the newest one when it is written.
            await traffic.lines.read_on()
        number = traffic.last_number
        while traffic.stored_number < number and (traffic.waiting or traffic.in_flight):
            self._hurry.set()
            await traffic.wait_beyond(traffic.stored_number)

    async def store_capture(self, traffic: PreviewTraffic) -> None:
        """Store the preview's capture setting. Cancellation: it may not be stored."""
        await self._database.write(partial(_insert, self._database.fences, runs=[], statistics=[_statistics(traffic)]))

    def _wake_up(self) -> None:
        self._wake.set()
        if self._bounds.count >= HURRY:
            self._hurry.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            with trio.move_on_after(_LINGER_S):
                await self._hurry.wait()
            if self._bounds.count > _BUSY_RECORDS:
                with trio.move_on_after(_BUSY_LINGER_S):
                    await self._hurry.wait()
            self._wake, self._hurry = trio.Event(), trio.Event()
            self._forget_closed()
            while self._take():
                await self._write(await self._encode())
                self._settle()
                await self._retain()

    async def _drain(self) -> None:
        while self._taken or self._take():
            try:
                await self._attempt(await self._encode())
            except DatabaseUnavailable as error:
                count = self._bounds.count
                log.warning("recorded requests not stored", records=count, reason=str(error).partition("\n")[0])
                return
            self._settle()

    def _take(self) -> bool:
        """Take the drafts of the next transaction, a share from each preview; return whether there are any."""
        sharers = list(self._bounds.waiting.values())
        share = max(1, _TRANSACTION_RECORDS // (len(sharers) or 1))
        size = 0
        for traffic in sharers[:_TRANSACTION_RECORDS]:
            # A record with bodies may be large: fewer then.
            average = traffic.waiting_bytes // (len(traffic.waiting) + traffic.in_flight)
            most = max(1, min(share, (_TRANSACTION_BYTES - size) // max(1, average)))
            self._taken.append((traffic, traffic.take(most)))
            size += most * average
            if size >= _TRANSACTION_BYTES:
                break
        return bool(self._taken)

    async def _encode(self) -> list[Run]:
        """Redact and encode the taken drafts. Yields to other tasks. Cancellation: nothing changes."""
        encoder = RecordEncoder(self._redactor)
        runs: list[Run] = []
        await trio.lowlevel.checkpoint()
        turn = now = trio.current_time()
        for traffic, taken in self._taken:
            run: Run | None = None
            expected = 0
            last_line = traffic.lines.last_seq
            now = trio.current_time()
            for number, given in taken:
                draft, most = given, TARGET_CHARACTERS
                is_work = draft.request is not None or len(draft.target) > _SHORT_TARGET
                if is_work and not traffic.may_work(now):
                    most = _SHORT_TARGET
                    if draft.request is not None:
                        traffic.lose_bodies()
                        draft = draft.bare()
                element = _element(encoder, traffic, draft, last_line, most)
                if element is not None:
                    if run is None or number != expected:
                        run = Run(traffic.preview_id, number, [])
                        runs.append(run)
                    run.elements.append(element)
                    expected = number + 1
                if is_work:
                    before, now = now, trio.current_time()
                    traffic.worked(now - before)
                elif not number & 31:
                    now = trio.current_time()
                if now - turn > _TURN_S:
                    await trio.lowlevel.checkpoint()
                    turn = now = trio.current_time()
        return runs

    async def _write(self, runs: list[Run]) -> None:
        """Write the runs; retry as long as the database is unavailable. Records that the database refuses are lost."""
        delay_s = _RETRY_FIRST_S
        while True:
            try:
                await self._attempt(runs)
            except DatabaseUnavailable as error:
                log.warning("recorded requests wait for the database", reason=error.message, bytes=self.queued_bytes)
                await trio.sleep(delay_s)
                delay_s = min(2 * delay_s, _RETRY_MOST_S)
            else:
                return

    async def _attempt(self, runs: list[Run]) -> None:
        try:
            await self._store(runs)
        except DatabaseUnavailable:
            raise
        except Exception:  # noqa: BLE001  the requests of one preview must not end the recording of all
            # Some preview's records are refused (its row was deleted): write each preview's separately.
            for traffic, taken in self._taken:
                own = [run for run in runs if run.preview_id == traffic.preview_id]
                try:
                    await self._store(own, [traffic])
                except DatabaseUnavailable:
                    raise
                except Exception as error:  # noqa: BLE001  as above; logged
                    traffic.lose_records(len(taken))
                    log.warning(
                        "recorded requests refused by the database",
                        preview_id=traffic.preview_id,
                        records=len(taken),
                        reason=type(error).__name__,
                    )

    async def _store(self, runs: list[Run], of: list[PreviewTraffic] | None = None) -> None:
        traffics = [traffic for traffic, _ in self._taken] if of is None else of
        sizes: dict[str, int] = {}
        for run in runs:
            sizes[run.preview_id] = sizes.get(run.preview_id, 0) + run.size_bytes
        statistics = [_statistics(traffic, sizes.get(traffic.preview_id, 0)) for traffic in traffics]
        await self._database.write(partial(_insert, self._database.fences, runs=runs, statistics=statistics))
        for traffic in traffics:
            traffic.stored_bytes += sizes.get(traffic.preview_id, 0)
        self._retention.count(runs)

    def _settle(self) -> None:
        taken, self._taken = self._taken, []
        for traffic, drafts in taken:
            traffic.done(drafts)
        self._forget_closed()

    def _forget_closed(self) -> None:
        for traffic in [one for one in self._open.values() if one.is_closed and not one.waiting and not one.in_flight]:
            del self._open[traffic.preview_id]
            traffic.forget()
            self._ended[traffic.preview_id] = traffic

    async def _retain(self) -> None:
        """Delete records beyond the limits of stored bytes. Cancellation: the next call does the rest."""
        try:
            await self._retention.trim(self._open)
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            log.warning("recorded requests not deleted", reason=type(error).__name__)
        except Exception:
            log.exception("recorded requests not deleted")


def _element(encoder: RecordEncoder, traffic: PreviewTraffic, draft: Draft, last_line: int, most: int) -> str | None:
    """Return a draft's element; None if it cannot be encoded. Its headers and bodies are lost first, then all of it."""
    try:
        return encoder.encode(draft, last_line, most, secrets=traffic.secrets)
    except Exception:
        log.exception("recorded request not encoded", preview_id=traffic.preview_id)
    if draft.request is not None:
        try:
            element = encoder.encode(draft.bare(), last_line, most, secrets=traffic.secrets)
        except Exception:
            log.exception("recorded request not encoded", preview_id=traffic.preview_id)
        else:
            traffic.lose_bodies()
            return element
    traffic.lose_records(1)
    return None


def _statistics(traffic: PreviewTraffic, more_bytes: int = 0) -> Statistics:
    return Statistics(
        traffic.preview_id,
        traffic.capture,
        traffic.last_number,
        traffic.stored_bytes + more_bytes,
        traffic.lost_records,
        traffic.lost_bodies,
    )


def _insert(fences: Fences, connection: Connection, *, runs: list[Run], statistics: list[Statistics]) -> None:
    """Store requests and statistics, but none of a preview that another node has: that one ends here."""
    refused = fences.refused(connection, {one.preview_id for one in runs} | {one.preview_id for one in statistics})
    insert_runs(connection, [one for one in runs if one.preview_id not in refused])
    store_statistics(connection, [one for one in statistics if one.preview_id not in refused])


async def run_traffic_writer(
    writer: TrafficWriter, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Write recorded requests until cancelled. One task per writer.

    Cancellation: queued records are written first, within ``LAST_WRITE_S`` seconds; the rest is lost and logged.
    """
    task_status.started()
    try:
        await writer._run()  # noqa: SLF001  the writer's own task
    finally:
        with trio.move_on_after(LAST_WRITE_S, shield=True):
            await writer._drain()  # noqa: SLF001  the writer's own task
