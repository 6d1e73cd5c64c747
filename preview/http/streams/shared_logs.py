"""Logs of previews on other nodes: one stream for each between the nodes, however many readers this node has.

The readers' access is checked here, as for a preview of this node, and their filters are applied here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol
from urllib.parse import parse_qs

import structlog
import trio
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from preview.core.bounded_dict import BoundedDict
from preview.core.lifecycle import may_go_on
from preview.errors import PreviewError, PreviewUnavailable
from preview.http.metrics.families import counter
from preview.http.streams.bus_reading import BusReading, open_bus
from preview.http.streams.direct import DirectStreams
from preview.http.streams.node_log import KEEP_ALIVE_S, OWN_FIELDS, PREFIX, TAKES_BUS, ask_newest
from preview.logs import End, LogReplica, LogStore
from preview.logs.bus import BusStream, LogBus
from preview.logs.filter import parse_filter
from preview.logs.model.encode import Received
from preview.logs.model.wire import MEDIA_TYPE, Begin, FrameReader, NotALog, Position
from preview.proxy.exchange import open_exchange
from preview.proxy.http1 import request_head
from preview.proxy.pool import Address, Pool
from preview.settings import Settings

log = structlog.get_logger(__name__)

# A lease, and the start of the preview on another node.
_PATIENCE_S = 30.0
_PAUSE_S = 0.2
# For a response of the owner, and for the first reader.
_ANSWER_S = 10.0
_SILENT_S = 4 * KEEP_ALIVE_S
# A reader may have read a line elsewhere that is on its way to this node.
LAG_S = 1.0
# After a fault of the bus.
_NO_BUS_S = 10.0
# Streams that are no logs, each soon after the one before; afterwards each reader of this node gets a stream of its own
# for a while.
_MOST_FAULTS = 3
_FAULTS_S = 60.0
_PROBED_S = 60.0
_MOST_NODES = 1000
# Above either, requests for the next log are passed on: the owner's memory serves them. As many logs as a node has
# previews by default. A log that is in memory may still grow up to its own bound, ``backlog_bytes``.
_MOST_LOGS = 100
_MOST_BYTES = 64 * 1024 * 1024
_OK, _NO_CONTENT = 200, 204


class Locator(Protocol):
    """Finds the internal addresses of previews.

    Attributes:
        shared_logs: The logs that requests for streams are served from; None: each request is passed on.
    """

    shared_logs: SharedLogs | None

    async def locate(self, preview_id: str, *, fresh: bool) -> Address | None:
        """Return the internal address of the node that has the preview, which may be this one; None if none has it.

        Args:
            preview_id: The preview.
            fresh: Look again; use no cached owner.

        Raises:
            DatabaseUnavailable: The database did not respond.

        Cancellation: no state changes.
        """


class SharedLog:
    """One stream from the node that owns a preview, while this node has readers. Made by ``SharedLogs``.

    Attributes:
        replica: The log.
        readers: Their number.
        caught_up: Set once the lines that the owner had at the start can be read, or the replica is lost.
    """

    def __init__(self, replica: LogReplica, locator: Locator, pool: Pool, bus: LogBus | None = None) -> None:
        self.replica = replica
        self._bus = bus
        # Until then lines come from the owner.
        self._no_bus_until = 0.0
        # Where the bus has the lines after the last one.
        self._bus_stream: BusStream | None = None
        self.readers = 0
        self.caught_up = trio.Event()
        self.scope = trio.CancelScope()
        # The node whose streams were refused.
        self.refused: Address | None = None
        self._locator = locator
        self._pool = pool
        self._has_started = False
        # The newest line of the owner when the present stream began; None without a stream.
        self._newest_seq: int | None = None
        self._moved = trio.lowlevel.ParkingLot()
        # The owner's end, while the preview may go on elsewhere.
        self._held_end: End | None = None
        self._lost_at = 0.0

    async def follow(self) -> None:
        """Take events until the log has ended, or no owner is found. Cancellation: the stream is closed."""
        address: Address | None = None
        faults, faulty_at, fresh, self._lost_at = 0, 0.0, False, trio.current_time()
        while self.replica.end is None and trio.current_time() < self._lost_at + _PATIENCE_S:
            try:
                address = await self._locator.locate(self.replica.preview_id, fresh=fresh)
                if address is not None and await self._read(address):
                    if self._bus is not None and self._bus_stream is not None:
                        await self._read_bus(self._bus, self._bus_stream, address)
                    self._newest_seq, fresh = None, False
                    continue
            except NotALog as fault:
                now = trio.current_time()
                faults, faulty_at = 1 if now > faulty_at + _FAULTS_S else faults + 1, now
                log.warning("log stream of another node refused", preview=self.replica.preview_id, why=str(fault))
                if faults >= _MOST_FAULTS:
                    self.refused = address
                    return
            except (PreviewError, trio.TooSlowError):
                pass  # looked for again below
            self._newest_seq, fresh = None, True
            if self.replica.end is None:
                await trio.sleep(_PAUSE_S)
        if self.replica.end is None and self._held_end is not None:
            self.replica.take(self._held_end)

    async def reached(self, seq: int) -> None:
        """Wait for a line, or for the end of the log. The caller sets a deadline. Cancellation: nothing changes."""
        while self.replica.last_seq < seq and self.replica.end is None:
            await self._moved.park()

    async def asked_newest(self, after: int) -> int | None:
        """Ask the preview's node, looked up again; see ``ask_newest``. Cancellation: nothing changes."""
        at = await self._locator.locate(self.replica.preview_id, fresh=True)
        return None if at is None else await ask_newest(self._pool, at, self.replica.preview_id, after)

    async def _read(self, address: Address) -> bool:
        """Take the events of one stream. Return whether to go on at once: with the bus, or to ask for it.

        Raises:
            NotALog: The stream is not one of a log, or leaves lines out.
            PreviewError, trio.TooSlowError: It broke off.

        Cancellation: it is closed.
        """
        replica, reader = self.replica, FrameReader(self.replica.preview_id)
        query = f"?after={replica.last_seq}" if self._has_started else ""
        target = f"{PREFIX}/{replica.preview_id}{query}".encode()
        self._bus_stream, asks = None, self._may_use_bus()
        fields = [*OWN_FIELDS, TAKES_BUS] if asks else OWN_FIELDS
        async with open_exchange(self._pool, address, 0, "GET") as exchange:
            with trio.fail_after(_ANSWER_S):
                await exchange.start(request_head("GET", target, fields, None))
                await exchange.drain()
                answer = await exchange.read_head()
            if answer.status != _OK:
                return False
            if dict(answer.fields).get(b"content-type") != MEDIA_TYPE:
                raise NotALog("another media type")
            while replica.end is None:
                with trio.fail_after(_SILENT_S):
                    piece = await exchange.read_piece()
                if piece is None:
                    return False
                for event in reader.feed(piece):
                    if isinstance(event, Position):
                        if self._bus is None or not self._has_started:
                            raise NotALog("a position that was not asked for")
                        self._bus_stream = BusStream(replica.preview_id, event.token)
                        return True
                    self._take(event)
                self._lost_at = trio.current_time()
                if not asks and self._may_use_bus():
                    return True
                await trio.lowlevel.checkpoint()
        return False

    def _may_use_bus(self) -> bool:
        return self._bus is not None and self._bus.has_place and trio.current_time() >= self._no_bus_until

    async def _read_bus(self, bus: LogBus, stream: BusStream, address: Address) -> None:
        """Take lines from the bus until it fails, or the log ends. Cancellation: all connections are closed."""
        if bus.has_place:
            reading = BusReading(bus, self.replica, stream, self._take)
            await reading.run(self._pool, address)
            self._lost_at = trio.current_time()
            self._held_end = reading.held_end or self._held_end
        if self.replica.end is None:
            self._no_bus_until = trio.current_time() + _NO_BUS_S

    def _take(self, event: Begin | Position | Received) -> None:
        if isinstance(event, Begin):
            self._begin(event)
        elif isinstance(event, Position):
            self._newest_seq = event.seq
        elif self._newest_seq is None:
            raise NotALog("an event before the beginning")
        elif isinstance(event, End) and may_go_on(event.cause, event.reason):
            self._held_end = event
        else:
            self.replica.take(event)
        if self.replica.end is not None or self.replica.last_seq >= (self._newest_seq or 0):
            self.caught_up.set()
        self._moved.unpark_all()

    def _begin(self, event: Begin) -> None:
        if not self._has_started:
            self._has_started = True
            self.replica.begin(event.seq)
        elif event.seq > self.replica.last_seq + 1:
            raise NotALog(f"it begins at line {event.seq} after line {self.replica.last_seq}")
        self._newest_seq = event.last_seq


class SharedLogs(Collector):
    """The shared logs of this node. If sharing is impossible, requests are passed on, each with a stream of its own.

    Args:
        nursery: Runs one task for each log.
        pool: Connections to nodes.
        settings: The service's settings.
        store: Reads lines that are not in memory.
        direct: Groups of readers, which end with their log.
        bus: Has lines of logs that several nodes read; None if there is none.

    Attributes:
        locator: Finds owners; None outside a cluster.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        pool: Pool,
        settings: Settings,
        store: LogStore,
        direct: DirectStreams,
        bus: LogBus | None = None,
    ) -> None:
        self.bus = bus or open_bus(settings, nursery)
        self.locator: Locator | None = None
        self._nursery = nursery
        self._pool = pool
        self._settings = settings
        self._store = store
        self._direct = direct
        self._logs: dict[str, SharedLog] = {}
        # Until when a node is known to have these streams, or not to have them.
        self._nodes: BoundedDict[Address, tuple[bool, float]] = BoundedDict(_MOST_NODES)

    def share_by(self, locator: Locator | None) -> None:
        """Share logs between the nodes of a cluster from now on; None outside a cluster."""
        self.locator = locator
        if locator is not None:
            locator.shared_logs = self

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        bus = self.bus
        written, dropped, faults, refused = (0,) * 4 if bus is None else bus.counts
        yield counter("preview_bus_lines", "Lines written to Redis for other nodes.", written)
        yield counter("preview_bus_dropped_lines", "Lines not written because Redis was too slow.", dropped)
        yield counter("preview_bus_faults", "Failures to write a log to Redis.", faults)
        yield counter("preview_bus_refused", "Logs read from the owner again after a fault of Redis.", refused)

    def __len__(self) -> int:
        """Return the number of logs that have readers."""
        return len(self._logs)

    async def can_share(self, method: str, target: bytes, owner: Address, live_id: str | None) -> bool:
        """Return whether a request for a log's stream can be served here. Cancellation: no state changes.

        Args:
            method: As sent.
            target: As sent.
            owner: Internal address of the owner.
            live_id: The preview that the owner has.
        """
        if self.locator is None or method != "GET" or not self._settings.shared_log_streams:
            return False
        if not _is_plain(target, live_id) or not self._fits(live_id):
            return False
        known = self._nodes.get(owner)
        if known is None or trio.current_time() > known[1]:
            known = self._nodes[owner] = await self._probe(owner), trio.current_time() + _PROBED_S
        return known[0]

    def _fits(self, preview_id: str | None) -> bool:
        size_bytes = sum(one.replica.backlog.size_bytes for one in self._logs.values())
        return preview_id in self._logs or (len(self._logs) < _MOST_LOGS and size_bytes < _MOST_BYTES)

    @contextmanager
    def reading(self, preview_id: str) -> Iterator[SharedLog]:
        """Provide a log, which has a stream while it has readers.

        Raises:
            PreviewUnavailable: Logs of other nodes cannot be read here.
        """
        if self.locator is None or not self._settings.shared_log_streams:
            raise PreviewUnavailable("The preview runs on another node; try again in a moment.")
        found = self._logs.get(preview_id)
        if found is None:
            settings = self._settings
            replica = LogReplica(
                preview_id, self._store, max_lines=settings.max_log_lines, max_bytes=settings.backlog_bytes,
                channel_batches=settings.subscriber_batches,
            )  # fmt: skip
            found = self._logs[preview_id] = SharedLog(replica, self.locator, self._pool, self.bus)
            self._nursery.start_soon(self._run, found)
        found.readers += 1
        try:
            yield found
        finally:
            found.readers -= 1
            if not found.readers:
                self._drop(found)
                found.scope.cancel()

    async def opened(self, shared: SharedLog, after: int | None = None) -> LogReplica:
        """Wait until the log has the lines that its owner had, so that its last number is not one of the past.

        Args:
            shared: The log.
            after: The last line that the reader has; an earlier preview's if this one's node says so.

        Raises:
            PreviewUnavailable: The owner does not respond.

        Cancellation: no state changes.
        """
        with trio.move_on_after(_ANSWER_S):
            await shared.caught_up.wait()
        is_behind, newest = False, None
        if after is not None and shared.caught_up.is_set():
            with trio.move_on_after(LAG_S):
                await shared.reached(after)
            if shared.replica.last_seq < after:
                with suppress(NotALog, PreviewError), trio.move_on_after(_ANSWER_S):
                    newest = await shared.asked_newest(after)
                is_behind = newest is None or newest >= after > shared.replica.last_seq
        if is_behind or not shared.caught_up.is_set() or shared.replica.is_lost:
            raise PreviewUnavailable("The preview's node does not respond; try again in a moment.")
        return shared.replica

    async def _run(self, shared: SharedLog) -> None:
        """Run one log's stream, and contain its failure: its readers connect again."""
        try:
            with shared.scope:
                await shared.follow()
        except Exception:  # contains one log's failure; Cancelled passes
            log.exception("shared log failed", preview=shared.replica.preview_id)
        finally:
            self._drop(shared)
            if shared.refused is not None:
                self._nodes[shared.refused] = False, trio.current_time() + _PROBED_S
            if shared.replica.end is None:
                shared.replica.lose()
                self._direct.give_up(shared.replica)
            shared.caught_up.set()

    def _drop(self, shared: SharedLog) -> None:
        if self._logs.get(shared.replica.preview_id) is shared:
            del self._logs[shared.replica.preview_id]

    async def _probe(self, owner: Address) -> bool:
        """Return whether this node has streams for other nodes; one of an earlier version has not."""
        with trio.move_on_after(_ANSWER_S):
            try:
                async with open_exchange(self._pool, owner, 0, "GET") as exchange:
                    await exchange.start(request_head("GET", PREFIX.encode(), OWN_FIELDS, None))
                    await exchange.drain()
                    return (await exchange.read_head()).status == _NO_CONTENT
            except PreviewError:
                pass
        return False


def _is_plain(target: bytes, live_id: str | None) -> bool:
    """Return whether the query needs nothing that only the owner knows: its tickets, newest requests and last lines."""
    try:
        query = parse_qs(target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True, max_num_fields=100)
        if "ticket" in query or query.get("preview_id", [live_id])[-1] != live_id:
            return False
        terms = [parse_filter(text) for text in query.get("filter", ())]
    except (PreviewError, ValueError):
        return False
    return not any(one.request_numbers or one.needs_requests for one in terms)
