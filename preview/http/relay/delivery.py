"""An admitted request and the delivery of its response to the client: the steps that do not wait."""

from __future__ import annotations

from contextlib import AbstractContextManager
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import trio

from preview.http.relay.head_cache import Known, Returned
from preview.proxy.admission import Admitted, RequestHead
from preview.proxy.carriage import trailer_fields
from preview.proxy.exchange import UpstreamExchange
from preview.proxy.http1 import LAST_CHUNK, Ask, Payload, chunk, field_lines
from preview.proxy.network_stream import NOTHING
from preview.proxy.passing_on import is_log_stream
from preview.proxy.recording import recording_of

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection

_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class ProxiedRequest(NamedTuple):
    """A request that was admitted.

    Attributes:
        ask: The request's framing.
        target: The request's target.
        standing: The request for the header rules; its target may be missing.
        admitted: The request's admission.
        number: The request's id.
        arrived_at: Arrival time, by ``time.monotonic``.
        admitted_at: When the access check was done.
    """

    ask: Ask
    target: bytes
    standing: RequestHead
    admitted: Admitted
    number: bytes
    arrived_at: float
    admitted_at: float

    @property
    def head(self) -> RequestHead:
        """The request with its target. Created on demand, because it is rarely needed."""
        return self.standing._replace(target=self.target)


class Misdirected(Exception):
    """The node that a request was passed on to does not own the preview, and has done nothing that counts."""


class Delivery:
    """Progress of a request and its response, on the ``FastPath`` or the ``SlowPath``.

    It counts as activity until ``release``.

    Attributes:
        connection: The client's connection.
        request: The request.
        exchange: The exchange with the preview.
        known: The cached facts, if ``FastPath`` has started the request.
        closes: Whether the client's connection closes after the response.
        returned: The response's head; None until sending starts.
        status: Status of the response; 0 until sending starts.
        answered_at: When the head was sent, by ``time.monotonic``.
        sent_bytes: Bytes of content that were forwarded.
        unsent: Bytes that the client's socket has not taken yet.
        failure: Error that occurred while no task was waiting.
        recording: Facts for the request's record; None if it is not recorded.
        attempt: Scope of the task that carries it; None while no task does.
    """

    # Class attributes save work in ``__init__``: one object is made per request.
    returned: Returned | None = None
    status = 0
    answered_at = 0.0
    sent_bytes = 0
    unsent = NOTHING
    failure: Exception | None = None
    attempt: trio.CancelScope | None = None

    def __init__(
        self, connection: Connection, request: ProxiedRequest, exchange: UpstreamExchange, known: Known | None = None
    ) -> None:
        self.connection = connection
        self.request = request
        self.exchange = exchange
        self.known = known
        self.closes = request.ask.closes
        self._hold: AbstractContextManager[None] | None = request.admitted.hold()
        self._hold.__enter__()
        watch = request.admitted.watch
        until_lost = request.admitted.until_lost
        self._unwatch = until_lost(self.moved) if until_lost else watch(connection.expired) if watch else None
        self.recording = recording_of(
            request.admitted,
            request.standing.method,
            request.target,
            request.number,
            request.arrived_at,
            request.admitted_at,
        )

    @property
    def is_unbounded(self) -> bool:
        """Return whether the client sees the content's end only as the connection's end."""
        return self.returned is not None and self.returned.is_unbounded

    def moved(self) -> None:
        """Give up the node, which is lost: it may never respond. Requests with an effect and started responses stay."""
        ask, upstream = self.request.ask, self.exchange.connection
        if self.status or ask.length or ask.method not in _SAFE or is_log_stream(self.request.target):
            return
        if self.attempt is not None:
            self.attempt.cancel()
            return
        self.failure = Misdirected()
        if upstream is not None:
            upstream.reader = None
        self.connection.wake()

    def release(self) -> None:
        """End the request: stop counting it as activity, and release its connection to the preview."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.__exit__(None, None, None)
        if self._unwatch is not None:
            self._unwatch()
        self.exchange.release()

    def end_record(self, *, is_late: bool) -> None:
        """Record the request, which has ended.

        Args:
            is_late: Whether it took too long.
        """
        recording, self.recording = self.recording, None
        if recording is None:
            return
        recording.connected_at = self.exchange.connected_at or recording.connected_at
        is_whole = self.returned is not None and self.exchange.body.is_over and not self.unsent
        recording.end(None if is_whole else recording.error or ("upstream_timeout" if is_late else "client_gone"))

    def begin(self, found: Returned, content: list[memoryview]) -> None:
        """Send the response's head and available content; ``unsent`` is what the socket does not take.

        Raises:
            ClientGone: The client disconnected.
        """
        connection = self.connection
        relay = connection.relay
        self.closes = self.closes or relay.is_draining or found.is_unbounded
        self.returned, self.status, self.answered_at = found, found.answer.status, monotonic()
        if self.recording is not None:
            self.recording.begin(found.answer, self.answered_at)
        connection.deadline = self.answered_at + relay.idle_s
        head = found.head(self.request.number, relay.dates.now(), closes=self.closes)
        self.unsent = connection.stream.send_now([head, *self._framed(content, in_chunks=found.in_chunks)])

    def feed(self, found: Returned, came: memoryview) -> None:
        """Forward content that has arrived; ``unsent`` is what the socket does not take.

        Args:
            found: The response's head.
            came: Received bytes; empty at the end of the connection.

        Raises:
            UpstreamGone: The content is incomplete.
            Unclean: The framing is not strictly valid.
            ClientGone: The client disconnected.
        """
        framed = self._framed(self.exchange.take(came), in_chunks=found.in_chunks)
        if framed:
            self.unsent = self.connection.stream.send_now(framed)

    def _framed(self, content: list[memoryview], *, in_chunks: bool) -> list[Payload]:
        """Return the content as framed for the client."""
        body = self.exchange.body
        recording = self.recording
        before = self.sent_bytes
        for piece in content:
            self.sent_bytes += len(piece)
            if recording is not None:
                recording.receive(piece)
        self.connection.relay.carried.to_browsers += self.sent_bytes - before
        if body.is_over and self.returned is not None and self.returned.appended:
            content = [*content, memoryview(self.returned.appended)]
        if not in_chunks:
            return list(content)
        if not body.is_over:
            return chunk(content)
        trailers = trailer_fields(body.trailers) if body.trailers and self.request.ask.takes_trailers else []
        return [*chunk(content), b"0\r\n%b\r\n" % field_lines(trailers) if trailers else LAST_CHUNK]
