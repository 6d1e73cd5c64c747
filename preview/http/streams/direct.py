"""Log streams that bypass Hypercorn: each has one small task, and streams with the same content share one more.

A stream's task waits for the end of its connection. The task of its group writes to the socket, and wakes the stream's
task only if the socket does not take everything or the preview ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio

from preview.errors import DatabaseUnavailable
from preview.http.protocol.strict_ws import Sends
from preview.http.protocol.takeover import LAST_CHUNK, chunk_of
from preview.http.streams.log_streams import Farewell, Waits
from preview.logs import Cursor, Encoding, FanOut, Feed, StreamEncoder

log = structlog.get_logger(__name__)

# Most bytes that a client may send after its request, enough for pipelined requests; more ends the stream.
_UNASKED_BYTES = 64 * 1024


class DirectStreams:
    """Groups of streams with the same bytes of the same log.

    Args:
        nursery: Runs the groups' tasks; outlives the connections.
        keep_alive_s: Seconds of silence before a keep-alive is sent.
        pending_bytes: Most bytes that may wait for a group's task.
    """

    def __init__(self, nursery: trio.Nursery, *, keep_alive_s: float, pending_bytes: int) -> None:
        self._nursery = nursery
        self._keep_alive_s = keep_alive_s
        self._pending_bytes = pending_bytes
        self._groups: dict[tuple[Feed, Encoding], FanOut] = {}

    @property
    def total(self) -> int:
        """Number of open streams."""
        return sum(group.watchers for group in self._groups.values())

    @contextmanager
    def group(self, log_: Feed, encoding: Encoding) -> Iterator[FanOut]:
        """Provide the group for this log and encoding; it exists while it has users."""
        key = (log_, encoding)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = FanOut(
                log_,
                StreamEncoder(encoding, start_seq=log_.last_seq),
                framed,
                keep_alive_s=self._keep_alive_s,
                pending_bytes=self._pending_bytes,
            )
            log_.broadcast.add(found)
            self._nursery.start_soon(_run, found)
        found.attach()
        try:
            yield found
        finally:
            found.detach()
            if not found.watchers:
                del self._groups[key]
                log_.broadcast.remove(found)
                found.close()

    def give_up(self, log_: Feed) -> None:
        """End the log's streams without its end: their clients connect again."""
        for (feed, _), group in self._groups.items():
            if feed is log_:
                group.give_up()


async def _run(group: FanOut) -> None:
    """Run a group and contain its failure: its readers reconnect, others are not affected."""
    try:
        await group.run()
    except Exception:  # contains one group's failure; Cancelled passes
        log.exception("log streams failed")
        group.give_up()


def framed(chunk: bytes, is_last: bool) -> bytes:
    """Return the data as a chunk of a chunked body, followed by the body's end if it is the last."""
    return chunk_of(chunk) + LAST_CHUNK if is_last else chunk_of(chunk)


class DirectStream:
    """One stream: a member of its group while its socket takes everything, and independent while it catches up.

    Args:
        group: The group for its log and encoding.
        cursor: Position in the log.
        encoder: Encodes the events while catching up.
        waits: Wakes the stream when the service shuts down.
        farewell: Provides the final message when the service or the token ends.
        preamble: Sent first; may be empty.
    """

    __slots__ = (
        "_descriptor",
        "_encoder",
        "_farewell",
        "_group",
        "_is_over",
        "_preamble",
        "_rest",
        "_unasked_bytes",
        "_waits",
        "_waking",
        "cursor",
    )

    def __init__(
        self,
        group: FanOut,
        cursor: Cursor,
        encoder: StreamEncoder,
        *,
        waits: Waits,
        farewell: Farewell,
        preamble: bytes,
    ) -> None:
        self.cursor = cursor
        self._group = group
        self._encoder = encoder
        self._waits = waits
        self._farewell = farewell
        self._preamble = preamble
        self._descriptor = -1
        # The part of the current chunk that the socket has not taken. Invariant: empty while this is a member.
        self._rest = memoryview(b"")
        self._is_over = False
        self._unasked_bytes = 0
        self._waking: trio.CancelScope | None = None

    # Called by the group

    def put(self, chunk: bytes) -> bool:
        """Write as much of the chunk as the socket takes; return whether that was all."""
        taken = self._write(chunk)
        if taken == len(chunk):
            return True
        self._rest = memoryview(chunk)[taken:]
        return False

    def wake(self) -> None:
        """Wake the task, so that the stream continues independently."""
        if self._waking is not None:
            self._waking.cancel()

    # The connection's task

    async def run(self, stream: trio.SocketStream, sends: Sends) -> None:
        """Send the log until its end or the client's disconnect.

        Cancellation: the stream is cut off.
        """
        self._descriptor = stream.socket.fileno()
        self._is_over = self._descriptor < 0
        if self._preamble:
            self.put(chunk_of(self._preamble))
        try:
            while not self._is_over:
                if self._rest:
                    await self._finish_rest(sends)
                elif self.cursor.ended:
                    return
                elif last := self._farewell.due(draining=self._waits.draining):
                    self._end(framed(last, True))
                elif self._group.has_failed:
                    self._is_over = True
                elif self._group.join(self):
                    await self._stay()
                else:
                    await self._catch_up()
        finally:
            self._group.leave(self)
            self._descriptor = -1

    async def _stay(self) -> None:
        """Wait while the group writes, until the connection ends or the task is needed."""
        with self._waits.until(self._farewell.remaining_s) as self._waking:
            # A wake-up is only a hint. A pidfd that had this connection's descriptor number may still be in trio's
            # epoll set. It reports EPOLLHUP when its process is reaped, which happens when a preview stops.
            while not self._is_over:
                await trio.lowlevel.wait_readable(self._descriptor)
                self._is_over = self._has_ended()
        self._waking = None
        self._group.leave(self)

    async def _catch_up(self) -> None:
        """Send the next part of the lines that the group has already sent."""
        if self._has_ended():
            self._is_over = True
            return
        with self._waits.until(self._farewell.remaining_s) as scope:
            if self.cursor.next_seq > self._group.last_seq + 1:
                await self._group.moved.wait()
                return
            try:
                events = await self.cursor.catch_up(self._group, self._group.pages)
            except DatabaseUnavailable:
                # Close without an end: the client reconnects after its last line.
                self._end(LAST_CHUNK)
                return
        chunk = b"" if scope.cancelled_caught else self._encoder.encode(events)
        if self._encoder.has_failed:
            # As above; the next request gets a sentence about the filter.
            self._end(LAST_CHUNK)
        elif chunk:
            self.put(framed(chunk, self.cursor.ended))

    async def _finish_rest(self, sends: Sends) -> None:
        """Write the rest of the current chunk, within the time limit for readers."""
        with sends.bounded(shield=False) as scope:
            while self._rest and not self._is_over:
                await trio.lowlevel.wait_writable(self._descriptor)
                self._is_over = self._has_ended()
                taken = self._write(self._rest)
                self._rest = self._rest[taken:]
                # Only bytes that the reader takes extend its time.
                if taken:
                    sends.renew(scope)
        self._is_over = self._is_over or scope.cancelled_caught

    def _end(self, last: bytes) -> None:
        self.cursor.ended = True
        self.put(last)

    def _write(self, data: bytes | memoryview) -> int:
        """Write to the socket; return the number of accepted bytes."""
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except OSError:
            self._is_over = True
            return 0

    def _has_ended(self) -> bool:
        """Return whether the client has disconnected, without waiting; received data is dropped.

        A pipelined request after one whose response closes the connection is not served (RFC 9112 section 9.3), and
        does not end this response. A half-closed connection counts as closed, because both look the same.
        """
        while self._unasked_bytes <= _UNASKED_BYTES:
            try:
                data = os.read(self._descriptor, _UNASKED_BYTES)
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not data:
                return True
            self._unasked_bytes += len(data)
        return True
