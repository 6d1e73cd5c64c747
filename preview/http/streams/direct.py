"""Log streams that are written to their sockets without Hypercorn: one small task each, and one more for all of a kind.

A stream waits for the end of its connection; its group's task writes to the socket, and wakes it only where the socket
does not take everything, or the preview is over.
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
from preview.logs import Cursor, Encoding, FanOut, PreviewLog, StreamEncoder

log = structlog.get_logger(__name__)

# Of what a client sends behind its request: some pipelined requests. More is no HTTP client's, and ends the stream.
_UNASKED_BYTES = 64 * 1024


class DirectStreams:
    """The groups of streams that want the same bytes of the same log.

    Args:
        nursery: Runs their tasks; outlives the connections.
        keep_alive_s: Seconds of silence until something is said.
        pending_bytes: The most that may wait for a group's task.
    """

    def __init__(self, nursery: trio.Nursery, *, keep_alive_s: float, pending_bytes: int) -> None:
        self._nursery = nursery
        self._keep_alive_s = keep_alive_s
        self._pending_bytes = pending_bytes
        self._groups: dict[tuple[PreviewLog, Encoding], FanOut] = {}

    @property
    def total(self) -> int:
        """Open streams."""
        return sum(group.watchers for group in self._groups.values())

    @contextmanager
    def group(self, log_: PreviewLog, encoding: Encoding) -> Iterator[FanOut]:
        """Provide the group for this log in this form, which lives as long as it has users."""
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
        found.came()
        try:
            yield found
        finally:
            found.went()
            if not found.watchers:
                del self._groups[key]
                log_.broadcast.remove(found)
                found.close()


async def _run(group: FanOut) -> None:
    """Contain a group's failure: its readers reconnect, others are not affected."""
    try:
        await group.run()
    except Exception:  # contains one group's failure; Cancelled passes
        log.exception("log streams failed")
        group.give_up()


def framed(chunk: bytes, is_last: bool) -> bytes:
    """Return the chunk of a chunked body, with the body's end after the last one."""
    return chunk_of(chunk) + LAST_CHUNK if is_last else chunk_of(chunk)


class DirectStream:
    """One stream: a member of its group while its socket takes everything, and on its own while it catches up.

    Args:
        group: Of this log and kind.
        cursor: Where it begins.
        encoder: For what it catches up with.
        waits: Wakes it when the service goes down.
        farewell: What ends it from our side.
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
        # What the socket has not taken yet of the chunk that was started. Invariant: empty while it is a member.
        self._rest = memoryview(b"")
        self._is_over = False
        self._unasked_bytes = 0
        self._waking: trio.CancelScope | None = None

    # As a member of its group

    def put(self, chunk: bytes) -> bool:
        """Write the chunk, or as much as the socket takes; whether that was all of it."""
        taken = self._write(chunk)
        if taken == len(chunk):
            return True
        self._rest = memoryview(chunk)[taken:]
        return False

    def wake(self) -> None:
        """Go on alone."""
        if self._waking is not None:
            self._waking.cancel()

    # As its connection's task

    async def run(self, stream: trio.SocketStream, sends: Sends) -> None:
        """Send the log until it is over, or the client is gone.

        Cancellation: the stream is broken off.
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
        """Wait while the group writes: until the connection ends, or there is something to do."""
        with self._waits.until(self._farewell.remaining_s) as self._waking:
            # A wake-up is a hint, never the client's end: a pidfd whose number this connection has now may still be in
            # trio's epoll set, and is heard (EPOLLHUP) when its process is reaped, which is when a preview stops.
            while not self._is_over:
                await trio.lowlevel.wait_readable(self._descriptor)
                self._is_over = self._has_ended()
        self._waking = None
        self._group.leave(self)

    async def _catch_up(self) -> None:
        """Send the next part of what the group has sent already."""
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
                # Closed without an end: the client comes back behind the last line it has.
                self._end(LAST_CHUNK)
                return
        chunk = b"" if scope.cancelled_caught else self._encoder.encode(events)
        if chunk:
            self.put(framed(chunk, self.cursor.ended))

    async def _finish_rest(self, sends: Sends) -> None:
        """Write what is left of the chunk that was started, within the time that readers have."""
        with sends.bounded(shield=False) as scope:
            while self._rest and not self._is_over:
                await trio.lowlevel.wait_writable(self._descriptor)
                self._is_over = self._has_ended()
                taken = self._write(self._rest)
                self._rest = self._rest[taken:]
                # Only what the reader takes gives it more time.
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
        """Return whether the client has gone, without waiting; received data is dropped.

        A request sent behind one whose answer closes the connection is not served (RFC 9112 section 9.3), and is no
        reason to cut this answer. A half-closed connection counts as gone: it looks like a closed one.
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
