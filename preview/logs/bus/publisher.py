"""Writes the lines of watched logs into Redis: one more reader of a log, for which nobody waits."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
import trio

from preview.errors import PreviewError
from preview.logs.bus.entries import BusFault, BusStream, add_command, entries_of
from preview.logs.bus.redis import Redis, RedisFault, RedisRefusal, open_redis
from preview.logs.delivery.backlog import Broadcast
from preview.logs.delivery.subscription import Subscription
from preview.logs.model.batch import Batch
from preview.logs.model.events import Gap
from preview.settings_address import RedisAddress

log = structlog.get_logger(__name__)

LEAST_NODES = 3
"""Other nodes that read a log before its lines go over the bus: for fewer of them, streams cost less."""
MOST_READ_LOGS = 16
"""Logs that a node reads from Redis at once: for each, a hostile Redis can fill a reply of 8 MiB."""
RIGHTS = "~preview:lines:* +eval +xadd +expire +xread +del"
"""Rights of the user of ``PREVIEW_BUS_URL`` that the bus needs."""
_WITHIN_S = 1.0
# Numbers and errors.
_REPLY_BYTES = 64 * 1024
_LOOK_S, _LINGER_LOOKS = 1.0, 5
# After a fault of Redis.
_PAUSE_S = 5.0
# A bus that is so far behind is given up: its readers are served by the owner's streams then.
_MOST_BEHIND_LINES = 10_000


class Watched(Protocol):
    """A log of this node."""

    preview_id: str
    broadcast: Broadcast

    @property
    def last_seq(self) -> int:
        """Number of the newest line."""

    def subscribe(self, *, after: int | None = None) -> Subscription:
        """Return a reader of the lines after a number."""


class Publication:
    """One log of this node that other nodes read. Made by ``LogBus``.

    Attributes:
        log: The log.
        readers: Number of other nodes that read it.
        stream: Where the lines are written; another one each time.
        begun_after: The bus has all lines after this number; None while it has not.
        ended: Set once the bus no longer has them. Another event takes its place when it has them again.
    """

    def __init__(self, log: Watched) -> None:
        self.log = log
        self.readers = 0
        self.stream: BusStream | None = None
        self.begun_after: int | None = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        self.is_running = False

    def has_after(self, seq: int) -> BusStream | None:
        """Return the stream that has all lines after this number, and gets those to come; None if there is none."""
        return self.stream if self.begun_after is not None and self.begun_after <= seq else None

    def begin(self, after: int) -> BusStream:
        """Record that all lines after this number are written into a new stream, and return it."""
        self.stream = BusStream(self.log.preview_id, secrets.token_hex(8))
        self.begun_after = after
        self.ended = trio.Event()
        return self.stream

    def end(self) -> None:
        """Record that no more lines are written."""
        self.begun_after = None
        self.ended.set()


class LogBus:
    """The bus, as the nodes that own previews use it.

    Args:
        address: Where Redis is.
        key: Signs entries; the same on all nodes.
        nursery: Runs one task for each log that is written.

    Attributes:
        lines: Number of lines written.
        dropped_lines: Number of lines that were given up because Redis was too slow.
        faults: Number of times that writing a log failed.
        reading: Number of logs that this node reads from Redis now.
        refused: Number of times that this node stopped reading a log from Redis because of a fault.
    """

    def __init__(self, address: RedisAddress, key: bytes, nursery: trio.Nursery) -> None:
        self.address = address
        self.key = key
        self.lines = 0
        self.dropped_lines = 0
        self.faults = 0
        self.reading = 0
        self.refused = 0
        self._nursery = nursery
        self._publications: dict[str, Publication] = {}

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The four numbers above, in their order."""
        return self.lines, self.dropped_lines, self.faults, self.refused

    @property
    def has_place(self) -> bool:
        """True while this node can read one more log from Redis."""
        return self.reading < MOST_READ_LOGS

    @property
    def is_writing(self) -> bool:
        """True while some log of this node is written."""
        return any(one.is_running for one in self._publications.values())

    @contextmanager
    def read_by_node(self, watched: Watched) -> Iterator[Publication]:
        """Count another node that reads a log; with enough of them its lines are written into Redis."""
        found = self._publications.get(watched.preview_id)
        if found is None or found.log is not watched:
            found = self._publications[watched.preview_id] = Publication(watched)
        found.readers += 1
        if found.readers >= LEAST_NODES and not found.is_running:
            found.is_running = True
            self._nursery.start_soon(self._run, found)
            self._nursery.start_soon(self._drop_unread, found)
        try:
            yield found
        finally:
            found.readers -= 1
            if not found.readers and not found.is_running:
                self._drop(found)

    def _drop(self, publication: Publication) -> None:
        if self._publications.get(publication.log.preview_id) is publication:
            del self._publications[publication.log.preview_id]

    async def _drop_unread(self, publication: Publication) -> None:
        """Stop writing once nobody has read for a moment: a node's streams follow each other. Cancellation: nothing."""
        unread = 0
        while unread < _LINGER_LOOKS:
            await trio.sleep(_LOOK_S)
            unread = 0 if publication.readers else unread + 1
        self._drop(publication)
        publication.scope.cancel()

    async def _run(self, publication: Publication) -> None:
        """Write one log until nobody reads it. Contains its failures. Cancellation: writing ends."""
        preview_id = publication.log.preview_id
        with publication.scope:
            while True:
                try:
                    async with open_redis(self.address, most_bytes=_REPLY_BYTES, within_s=_WITHIN_S) as redis:
                        return await self._write(redis, publication)
                except (RedisFault, BusFault, PreviewError) as fault:
                    self.faults += 1
                    log.warning("log bus not written", preview=preview_id, reason=str(fault))
                except Exception:  # contains one log's failure; Cancelled passes
                    self.faults += 1
                    log.exception("log bus failed", preview=preview_id)
                finally:
                    publication.end()
                await trio.sleep(_PAUSE_S)

    async def _write(self, redis: Redis, publication: Publication) -> None:
        """Write lines until the log ends.

        Raises:
            RedisFault, BusFault, PreviewError: It cannot go on.
        """
        if publication.stream is not None:
            await redis.call("DEL", publication.stream.name, within_s=_WITHIN_S)
        watched = publication.log
        written = watched.last_seq
        with watched.subscribe(after=written) as subscription:
            stream = publication.begin(written)
            while True:
                try:
                    events = await subscription.receive()
                except trio.EndOfChannel:
                    return
                behind = watched.last_seq - written
                if behind > _MOST_BEHIND_LINES:
                    self.dropped_lines += behind
                    raise RedisFault(f"it is {behind} lines behind")
                batches = [one for one in events if isinstance(one, Batch)]
                if not batches:
                    continue
                if len(batches) != len(events) and any(isinstance(one, Gap) for one in events):
                    raise BusFault("lines are lost")
                await self._add(redis, stream, batches)
                self.lines += sum(map(len, batches))
                written = batches[-1].last_seq

    async def _add(self, redis: Redis, stream: BusStream, batches: list[Batch]) -> None:
        made = [add_command(stream, name, content) for name, content in entries_of(stream, batches, self.key)]
        replies = await redis.call_all(made, within_s=_WITHIN_S)
        refusals = [one for one in replies if isinstance(one, RedisRefusal)]
        for refusal in refusals:
            if refusal.is_denial:
                # Redis does not always name the right. Nothing wrong stands there, so nothing is deleted.
                raise RedisRefusal(f"the user of PREVIEW_BUS_URL needs all of {RIGHTS} ({refusal})")
        if refusals:
            # A stranger's entry stands there with a later number.
            await redis.call("DEL", stream.name, within_s=_WITHIN_S)
            for reply in await redis.call_all(made, within_s=_WITHIN_S):
                if isinstance(reply, RedisRefusal):
                    raise reply
