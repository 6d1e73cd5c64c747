"""Reads a log of another node: its lines from the bus, and from its owner what tells whether they are all there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from preview.core.lifecycle import may_go_on
from preview.errors import PreviewError
from preview.http.streams.node_log import KEEP_ALIVE_S, PREFIX, READS_BUS
from preview.logs import End, LogReplica
from preview.logs.bus import BusFault, BusStream, LogBus, follow_bus
from preview.logs.model.encode import Received
from preview.logs.model.events import StatusChange
from preview.logs.model.wire import FrameReader, NotALog, Position
from preview.proxy.exchange import open_exchange
from preview.proxy.http1 import request_head
from preview.proxy.passing_on import OWN_REQUEST
from preview.proxy.pool import Address, Pool
from preview.settings import Settings
from preview.settings_address import redis_address

log = structlog.get_logger(__name__)

_ANSWER_S = 10.0
_SILENT_S = 4 * KEEP_ALIVE_S
# Lines that the owner has told of come within this time over the bus, or from the owner.
_LATE_S = 1.0
_LOOK_S = 0.1
_OK = 200
_FIELDS = [(b"host", b"node"), OWN_REQUEST, READS_BUS]

Take = Callable[[Position | Received], None]


def open_bus(settings: Settings, nursery: trio.Nursery) -> LogBus | None:
    """Return the bus of the cluster; None if the settings name none."""
    key = settings.secret_for("log bus")
    if settings.bus_url is None or key is None:
        return None
    return LogBus(redis_address(settings.bus_url.get_secret_value()), key.encode(), nursery)


class BusReading:
    """One turn of reading a log from the bus, until it fails or the log ends.

    Args:
        bus: The bus.
        replica: The log.
        stream: Where the owner says that it writes the lines.
        take: Takes the events for the replica, and the owner's positions.

    Attributes:
        held_end: The owner's end, while the preview may go on elsewhere.
    """

    def __init__(self, bus: LogBus, replica: LogReplica, stream: BusStream, take: Take) -> None:
        self.held_end: End | None = None
        self._bus = bus
        self._replica = replica
        self._stream = stream
        self._take = take
        # The owner's newest line that has not come yet, and since when it is known.
        self._wanted, self._since = 0, 0.0
        self._end: End | None = None

    async def run(self, pool: Pool, address: Address) -> None:
        """Read until the bus or the owner fails, or the log has ended. Cancellation: the connections are closed."""
        self._bus.reading += 1
        try:
            async with trio.open_nursery() as nursery:
                for task in (self._read_lines, self._watch):
                    nursery.start_soon(self._contained, task, nursery.cancel_scope)
                await self._contained(lambda: self._read_positions(pool, address), nursery.cancel_scope)
        finally:
            self._bus.reading -= 1

    async def _contained(self, task: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        """Run a task of this turn, whose end or failure ends the turn."""
        try:
            await task()
        except (BusFault, NotALog) as fault:
            self._bus.refused += 1
            log.warning("log bus not read", preview=self._replica.preview_id, reason=str(fault))
        except (PreviewError, trio.TooSlowError):
            pass  # the owner is looked for again
        finally:
            scope.cancel()

    async def _read_lines(self) -> None:
        replica, bus = self._replica, self._bus
        await follow_bus(bus.address, bus.key, self._stream, lambda: replica.last_seq, self._take)

    async def _watch(self) -> None:
        """Return once the log has ended; raise if lines are late."""
        replica = self._replica
        while True:
            if replica.last_seq >= self._wanted:
                self._since = trio.current_time()
                if self._end is not None:
                    break
            elif trio.current_time() > self._since + _LATE_S:
                raise BusFault("lines are late")
            await trio.sleep(_LOOK_S)
        if may_go_on(self._end.cause, self._end.reason):
            self.held_end = self._end
        else:
            self._take(self._end)

    async def _read_positions(self, pool: Pool, address: Address) -> None:
        replica, reader = self._replica, FrameReader(self._replica.preview_id)
        target = f"{PREFIX}/{replica.preview_id}?after={replica.last_seq}".encode()
        async with open_exchange(pool, address, 0, "GET") as exchange:
            with trio.fail_after(_ANSWER_S):
                await exchange.start(request_head("GET", target, _FIELDS, None))
                await exchange.drain()
                answer = await exchange.read_head()
            if answer.status != _OK:
                return
            while self._end is None:
                with trio.fail_after(_SILENT_S):
                    piece = await exchange.read_piece()
                if piece is None:
                    return
                for event in reader.feed(piece):
                    if isinstance(event, Position):
                        if event.token != self._stream.token:
                            return
                        self._tell(event.seq)
                        self._take(event)
                    elif isinstance(event, End):
                        self._end = event
                    elif not isinstance(event, StatusChange):
                        raise NotALog("an event that belongs on the bus")
                    elif event != replica.status:
                        self._take(event)
        # The last lines may still be on their way.
        await trio.sleep_forever()

    def _tell(self, seq: int) -> None:
        if self._replica.last_seq >= self._wanted:
            self._since = trio.current_time()
        self._wanted = max(self._wanted, seq)
