"""One request that was admitted, and its answer on the way to the client: what is done without waiting."""

from __future__ import annotations

from contextlib import AbstractContextManager
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from preview.http.relay.head_cache import Known, Returned
from preview.proxy.admission import Admitted, RequestHead
from preview.proxy.carriage import trailer_fields
from preview.proxy.exchange import UpstreamExchange
from preview.proxy.http1 import LAST_CHUNK, Ask, Payload, chunk, field_lines
from preview.proxy.network_stream import NOTHING

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection


class ProxiedRequest(NamedTuple):
    """A request that was admitted.

    Attributes:
        ask: The request's framing.
        target: The request's.
        standing: The request, as the rules of carriage take it; its target may be missing.
        admitted: Its admission.
        number: The request's.
        begun: When it had come, by ``time.monotonic``.
    """

    ask: Ask
    target: bytes
    standing: RequestHead
    admitted: Admitted
    number: bytes
    begun: float

    @property
    def head(self) -> RequestHead:
        """The request, with its target. Made when it is asked for: few are."""
        return self.standing._replace(target=self.target)


class Delivery:
    """Progress of a request and its answer, on the ``FastPath`` or the ``SlowPath``.

    It counts as activity until ``release``.

    Attributes:
        connection: The client's.
        request: The request.
        exchange: The request at the preview.
        known: What was known of it, where ``FastPath`` has started it.
        closes: Whether the client's connection ends behind the answer.
        returned: The answer's head; None until it is being sent.
        status: Of the answer; 0 likewise.
        answered_at: When its head was sent, by ``time.monotonic``.
        sent_bytes: Content that was sent on.
        unsent: What the client's socket has not taken yet.
        failure: What has happened to it where nobody could wait for it.
    """

    # Not in ``__init__``: one is made for each request.
    returned: Returned | None = None
    status = 0
    answered_at = 0.0
    sent_bytes = 0
    unsent = NOTHING
    failure: Exception | None = None

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

    @property
    def is_unbounded(self) -> bool:
        """Return whether the client sees the content's end only as the connection's end."""
        return self.returned is not None and self.returned.is_unbounded

    def release(self) -> None:
        """End the request: it is no activity any more, and its connection to the preview is released."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.__exit__(None, None, None)
        self.exchange.release()

    def begin(self, found: Returned, content: list[memoryview]) -> None:
        """Send the answer's head, and what has come of its content; what the socket does not take is ``unsent``.

        Raises:
            ClientGone: Nobody takes it.
        """
        connection = self.connection
        relay = connection.relay
        self.closes = self.closes or relay.is_draining or found.is_unbounded
        self.returned, self.status, self.answered_at = found, found.answer.status, monotonic()
        connection.deadline = self.answered_at + relay.idle_s
        head = found.head(self.request.number, relay.dates.now(), closes=self.closes)
        self.unsent = connection.stream.send_now([head, *self._framed(content, in_chunks=found.in_chunks)])

    def feed(self, found: Returned, came: memoryview) -> None:
        """Send on what has come of the content; what the socket does not take is ``unsent``.

        Args:
            found: The answer's head.
            came: Nothing is the end of the connection.

        Raises:
            UpstreamGone: The content is not whole.
            Unclean: It is not framed strictly.
            ClientGone: Nobody takes it.
        """
        framed = self._framed(self.exchange.take(came), in_chunks=found.in_chunks)
        if framed:
            self.unsent = self.connection.stream.send_now(framed)

    def _framed(self, content: list[memoryview], *, in_chunks: bool) -> list[Payload]:
        """Content as the client reads it."""
        body = self.exchange.body
        for piece in content:
            self.sent_bytes += len(piece)
        if not in_chunks:
            return list(content)
        if not body.is_over:
            return chunk(content)
        trailers = trailer_fields(body.trailers) if body.trailers and self.request.ask.takes_trailers else []
        return [*chunk(content), b"0\r\n%b\r\n" % field_lines(trailers) if trailers else LAST_CHUNK]
