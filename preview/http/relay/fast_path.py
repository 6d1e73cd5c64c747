"""Fast path: a request like an earlier one, an idle connection to the preview, and a client that reads at once.

It never waits, so it needs no task switch. It has no rules of its own: it passes anything unusual, in its current
state, to ``SlowPath``, which reads unclean data again.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from preview.http.relay.delivery import Delivery, ProxiedRequest
from preview.http.relay.head_cache import Returned, block_of, returned, without_number
from preview.http.relay.responses import MAX_HEAD
from preview.proxy.exchange import FINAL, UpstreamExchange
from preview.proxy.http1 import HEAD_END, MAX_ANSWER_HEAD, REQUEST_LINE, Unclean, read_answer
from preview.proxy.network_stream import UpstreamGone
from preview.proxy.passing_on import is_misdirected
from preview.proxy.pool import UpstreamConnection

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection

# A task handles larger responses, so that other connections get their turn.
_MAX_BYTES = 256 * 1024


class FastPath:
    """Handles a connection's requests while its task sleeps.

    Args:
        connection: The client's connection.
    """

    __slots__ = ("_connection", "_relay")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._relay = connection.relay

    def begin(self, data: bytes) -> bool:
        """Send the request if the bytes are one whole known request that needs no waiting. Otherwise change nothing."""
        connection, relay = self._connection, self._relay
        line = REQUEST_LINE.match(data)
        if line is None:
            return False
        end = data.find(HEAD_END, line.end())
        if not 0 <= end <= MAX_HEAD:
            return False
        block = block_of(connection.block_peer, line[1], data[line.end(2) : end])
        known = relay.known.get(block)
        if known is None or len(data) != end + len(HEAD_END) + known.ask.length:
            return False
        target = line[2]
        admitted = known.admit(target)
        if admitted is None:
            # The access was revoked, for example: drop the cached request.
            relay.known.drop(block)
            return False
        ask = known.ask
        has_content, key = ask.length != 0, (admitted.preview_id, admitted.process)
        exchange = UpstreamExchange(relay.pool, key, admitted.address, ask.method)
        upstream = exchange.take_idle(has_content=has_content)
        if upstream is None:
            return False
        now = monotonic()
        request = ProxiedRequest(ask, target, known.head, admitted, relay.numbers.new(), now, now)
        head = known.write_head(ask.method, admitted.target_of(target), known.standing, request.number)
        delivery = Delivery(connection, request, exchange, known)
        connection.take(delivery)
        content = data[end + len(HEAD_END) :]
        relay.carried.from_browsers += len(content)
        if delivery.recording is not None:
            delivery.recording.fields, delivery.recording.connected_at = known.standing, now
            if content:
                delivery.recording.send(content)
        connection.deadline = request.arrived_at + relay.answer_s
        upstream.reader = self
        relay.watch.listen_to(upstream)
        if not exchange.send_whole(head + content, has_content=has_content):
            # A preview that takes no more may have responded before; the reader finds out.
            self._leave(upstream)
        return True

    def came(self, upstream: UpstreamConnection) -> None:
        """See ``Reader``."""
        delivery = self._connection.delivery
        if delivery is None:
            return
        try:
            found = delivery.returned or self._began(delivery, upstream)
            if found is not None:
                self._went_on(delivery, found, upstream)
        except Exception as error:  # noqa: BLE001  raised again by the waiting task
            delivery.failure = error
            self._leave(upstream)

    def _began(self, delivery: Delivery, upstream: UpstreamConnection) -> Returned | None:
        """Read the response's head, and send it with the content after it; None if the fast path cannot continue."""
        relay = self._relay
        try:
            size = upstream.sock.recv_into(relay.buffer)
        except BlockingIOError:
            return None
        except OSError:
            size = 0
        if not size:
            self._leave(upstream)
            return None
        delivery.exchange.has_begun = True
        end = relay.memory.find(HEAD_END, 0, min(size, MAX_ANSWER_HEAD))
        found = None if end < 0 else self._head(delivery, bytes(relay.buffer[:end]))
        if found is None:
            upstream.rest = bytes(relay.buffer[:size])
            self._leave(upstream)
            return None
        came = relay.buffer[end + len(HEAD_END) : size]
        delivery.begin(found, delivery.exchange.begin_answer(found.answer, came))
        return found

    def _head(self, delivery: Delivery, raw: bytes) -> Returned | None:
        """Read the head of a final response; None for any other, which ``SlowPath`` reads again."""
        known, request = delivery.known, delivery.request
        if known is None:
            return None
        if request.admitted.is_node:
            raw, number = without_number(raw)
            if number:
                delivery.request = request._replace(number=number)
        found = known.answers.get(raw)
        if found is None:
            try:
                answer = read_answer(raw, is_head=request.ask.method == b"HEAD")
            except Unclean:
                return None
            if answer.status < FINAL or (request.admitted.is_node and is_misdirected(answer.status, answer.fields)):
                return None
            found = returned(answer, request.ask, request.head, request.admitted)
            known.keep(raw, found)
        return found

    def _went_on(self, delivery: Delivery, found: Returned, upstream: UpstreamConnection) -> None:
        """Forward all available content, since events are edge triggered."""
        relay, connection, body = self._relay, self._connection, delivery.exchange.body
        taken = 0
        while not body.is_over and not delivery.unsent and taken <= _MAX_BYTES:
            try:
                size = upstream.sock.recv_into(relay.buffer)
            except BlockingIOError:
                connection.deadline = monotonic() + relay.idle_s
                return
            except OSError as error:
                raise UpstreamGone from error
            taken += size
            delivery.feed(found, relay.buffer[:size])
        if delivery.unsent or not body.is_over or delivery.closes:
            self._leave(upstream)
        else:
            connection.done(delivery)

    def _leave(self, upstream: UpstreamConnection) -> None:
        """Let the connection's task continue with the request."""
        if upstream.reader is self:
            upstream.reader = None
        self._connection.wake()
