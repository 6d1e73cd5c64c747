"""The common case: a request like one before, an idle connection to its preview, an answer that the client takes.

Nothing of it waits, so that it costs no task's turn. It keeps no rules of its own: whatever it meets that is not
common it leaves, as far as it has come, to ``Exchange``, which reads the same again where that is unclean.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from preview.http.relay.delivery import begin, feed, is_clean
from preview.http.relay.exchange import IDEMPOTENT
from preview.http.relay.head_cache import Returned, block_of, relayed_head, returned
from preview.http.relay.proxied_request import Answering, ProxiedRequest
from preview.http.relay.responses import MAX_HEAD
from preview.proxy.http1 import HEAD_END, MAX_ANSWER_HEAD, REQUEST_LINE, Unclean, read_answer
from preview.proxy.network_stream import UpstreamGone
from preview.proxy.pool import UpstreamConnection

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection

_FINAL = 200
# More of an answer than this at one time is for a task, which takes turns with the others.
_MAX_BYTES = 256 * 1024


class FastPath:
    """Carries a connection's requests while its task rests.

    Args:
        connection: The client's.
    """

    __slots__ = ("_connection", "_relay")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._relay = connection.relay

    def begin(self, data: bytes) -> bool:
        """Send the request up, if these bytes are one, whole, that needs no waiting; else nothing has changed."""
        connection, relay = self._connection, self._relay
        line = REQUEST_LINE.match(data)
        if line is None:
            return False
        end = data.find(HEAD_END, line.end())
        if not 0 <= end <= MAX_HEAD:
            return False
        block = block_of(connection.peer, line[1], data[line.end(2) : end])
        known = relay.known.get(block)
        if known is None or len(data) != end + len(HEAD_END) + known.ask.length:
            return False
        target = line[2]
        admitted = known.admit(target)
        if admitted is None:
            # Such as an access that was taken back: nothing of it stays here.
            relay.known.drop(block)
            return False
        ask = known.ask
        may_repeat = not ask.length and ask.method in IDEMPOTENT
        upstream = relay.pool.take((admitted.preview_id, admitted.process), may_repeat=may_repeat)
        if upstream is None:
            return False
        number = relay.numbers.new()
        message = (
            relayed_head(ask.method, admitted.target_of(target), known.standing, number) + data[end + len(HEAD_END) :]
        )
        begun = monotonic()
        request = ProxiedRequest(
            connection, ask, target, known.head, admitted, number, begun, admitted.hold(), closes=ask.closes
        )
        request.message, request.upstream, request.known = message, upstream, known
        request.enter()
        connection.begun(request)
        connection.deadline = begun + relay.answer_s
        upstream.reader = self
        relay.watch.listen_to(upstream)
        try:
            request.unsent = upstream.send_now((message,))
        except UpstreamGone:
            # It may have answered before it closed: the reader will know.
            self._leave(upstream)
        else:
            if request.unsent:
                self._leave(upstream)
        return True

    def came(self, upstream: UpstreamConnection) -> None:
        """See ``Reader``."""
        request = self._connection.request
        if request is None:
            return
        try:
            answering = request.answering or self._began(request, upstream)
            if answering is not None:
                self._went_on(request, answering, upstream)
        except Exception as error:  # noqa: BLE001  is raised again where somebody waits for it
            request.failure = error
            self._leave(upstream)

    def _began(self, request: ProxiedRequest, upstream: UpstreamConnection) -> Answering | None:
        """Read and send on the answer's head, with what is behind it; None where there is no more to do here."""
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
        request.has_begun = True
        end = relay.memory.find(HEAD_END, 0, min(size, MAX_ANSWER_HEAD))
        found = None if end < 0 else self._head(request, bytes(relay.buffer[:end]))
        if found is None:
            upstream.rest = bytes(relay.buffer[:size])
            self._leave(upstream)
            return None
        return begin(request, found, relay.buffer[end + len(HEAD_END) : size])

    def _head(self, request: ProxiedRequest, raw: bytes) -> Returned | None:
        """The head of a final answer; None for any other, which is read again by ``Delivery``."""
        known = request.known
        if known is None:
            return None
        found = known.answers.get(raw)
        if found is None:
            try:
                answer = read_answer(raw, is_head=request.ask.method == b"HEAD")
            except Unclean:
                return None
            if answer.status < _FINAL:
                return None
            found = returned(answer, request.ask, request.head, request.admitted)
            known.keep(raw, found)
        return found

    def _went_on(self, request: ProxiedRequest, answering: Answering, upstream: UpstreamConnection) -> None:
        """Send on what has come of the content; the events being edge triggered, all of it."""
        relay, connection, body = self._relay, self._connection, answering.body
        taken = 0
        while not body.is_over and not request.unsent and taken <= _MAX_BYTES:
            try:
                size = upstream.sock.recv_into(relay.buffer)
            except BlockingIOError:
                connection.deadline = monotonic() + relay.idle_s
                return
            except OSError as error:
                raise UpstreamGone from error
            taken += size
            feed(request, answering, size)
        if request.unsent or not body.is_over or request.closes:
            self._leave(upstream)
            return
        if is_clean(request, answering):
            relay.pool.give(upstream)
            request.upstream = None
        connection.done(request)

    def _leave(self, upstream: UpstreamConnection) -> None:
        """From here on the connection's task carries it."""
        upstream.reader = None
        self._connection.wake()
