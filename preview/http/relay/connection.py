"""A client's connection while its requests are for previews."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

import trio

from preview.errors import InvalidRequest, PreviewError, PreviewUnavailable, UpstreamTimeout
from preview.http.relay.delivery import Delivery, Misdirected, ProxiedRequest
from preview.http.relay.fast_path import FastPath
from preview.http.relay.head_cache import Known, block_of, head_writer, is_worth_keeping, relayed_head, request_lines
from preview.http.relay.log_follow import LogFollow
from preview.http.relay.responses import (
    RECEIVE_BYTES,
    answer_instead,
    head_of,
    linger,
    next_head,
    read_head,
    say,
    say_at_last,
)
from preview.http.relay.slow_path import SlowPath
from preview.proxy.admission import Admitted, OwnAnswer, RequestHead
from preview.proxy.carriage import makes_parent, new_parent, standing_fields
from preview.proxy.exchange import UpstreamExchange
from preview.proxy.http1 import HEAD_END, Ask
from preview.proxy.network_stream import ClientGone, NetworkStream
from preview.proxy.passing_on import is_log_stream
from preview.tracing import PARENT_FIELD

if TYPE_CHECKING:
    from preview.http.relay.server import Relay


class Connection:
    """Relays the requests of one connection, one at a time: the next is read after both messages are complete.

    The connection's task sleeps while ``FastPath`` handles requests, and handles what ``FastPath`` cannot.

    Attributes:
        relay: The relay that owns the connection.
        stream: The client's end.
        peer: The address at the other end; None on a unix socket.
        delivery: The current request, once it is admitted.
        is_from_node: Whether another node has passed the requests on.
        block_peer: The peer in keys of the cache: a node's requests are never taken for another client's.
        is_behind_proxy: Whether the peer's headers about the client are trusted.
        fd, deadline: See ``watch.Watched``.
        is_tunnel: Whether another protocol is in use; a client that has closed its sending side may still read.
    """

    def __init__(self, relay: Relay, sock: socket.socket, peer: str | None, *, is_from_node: bool = False) -> None:
        self.relay = relay
        self.stream = NetworkStream(sock, ClientGone)
        self.fd = sock.fileno()
        self.peer = peer
        self.is_from_node = is_from_node
        self.block_peer = "node" if is_from_node else peer
        self.deadline = inf
        self.is_tunnel = False
        self.delivery: Delivery | None = None
        self.is_behind_proxy = relay.proxies.trusts(peer)
        self._scope = trio.CancelScope()
        self._is_gone = False
        self._is_late = False
        # The request during the access check; afterwards it is in ``delivery``.
        self._asked: RequestHead | None = None
        self._slow_path: SlowPath | None = None
        self._fast_path = FastPath(self)
        self._resting: trio.lowlevel.Task | None = None
        # Unread data arrived during a request.
        self._has_more = False
        self._mistake: Exception | None = None
        self._has_asked_again = False

    async def run(self) -> bytes | None:
        """Relay requests; see ``Relay.serve``. Cancellation: the current request is aborted."""
        self.relay.watch.add(self)
        try:
            with self._scope:
                return await self._serve()
            if self._is_late and not self._is_gone:
                await self._say_late()
        except ClientGone:
            pass
        finally:
            self.relay.watch.remove(self)
        return None

    # Called by the watch

    def gone(self) -> None:
        """Handle that the client has closed its side: no response is needed any more."""
        if self.is_tunnel:
            return
        self._is_gone = True
        if self._is_busy:
            self._scope.cancel()
        else:
            self.wake()

    def came(self) -> bool:
        """Read the next request if the task sleeps; otherwise return False."""
        if self._resting is None:
            return False
        if self.delivery is not None:
            self._has_more = True
            return True
        self._has_more = False
        try:
            data = self.stream.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._has_more = len(data) == RECEIVE_BYTES  # no further event announces the remaining bytes
        if not data or self.relay.is_draining or not self._fast_path.begin(data):
            self.stream.rest = data
            self.wake()
        return True

    def failed(self, error: Exception) -> None:
        """Raise this error in the connection's task."""
        self._mistake = error
        self.wake()

    def expired(self) -> None:
        """Cancel the request, because the deadline has passed."""
        self._is_late = True
        self.deadline = inf
        self._scope.cancel()

    def drain(self) -> None:
        """End the connection after the current request, or at once if there is none."""
        if not self._is_busy:
            self._scope.cancel()
        elif self.is_tunnel:
            self.stream.end()
        elif self.delivery is not None and self.delivery.status:
            # A quiet stream has no end of its own.
            self.deadline = min(self.deadline, monotonic() + self.relay.idle_s)

    # Called by ``FastPath``

    def wake(self) -> None:
        """Wake the task if it sleeps."""
        task, self._resting = self._resting, None
        if task is not None:
            self.deadline = inf  # the task sets its own deadline
            trio.lowlevel.reschedule(task)

    def take(self, delivery: Delivery) -> None:
        """Set the current request."""
        self.delivery = delivery

    def done(self, delivery: Delivery) -> None:
        """Complete the current request."""
        self._over(delivery)
        self.deadline = monotonic() + self.relay.keep_alive_s
        if self.relay.is_draining:
            self.wake()
        elif self._has_more:
            self.relay.watch.see_to(self)

    # The connection's task

    async def _serve(self) -> bytes | None:
        while True:
            delivery = await self._rest()
            if delivery is not None:
                if not await self._finish(delivery, SlowPath(delivery).go_on()):
                    return None
                continue
            came = await next_head(self)
            if came is None:
                return None
            found = read_head(came)
            if found is None:
                return came
            target, ask, raw = found
            head = head_of(self, target, ask)
            routed = await self._route(head)
            if routed is None and not self.relay.access_gate.is_for_preview(head.host, target):
                return came
            self.stream.rest = came[len(raw) + len(HEAD_END) :]
            block = block_of(self.block_peer, ask.method, raw)
            if self._is_gone or not await self._one(head, ask, block, routed):
                return None

    async def _rest(self) -> Delivery | None:
        """Sleep until the task is needed. Return the request to continue; None if the task must read one."""
        if self.stream.rest:
            # The client may have sent hundreds of requests at once: let other tasks run.
            await trio.lowlevel.checkpoint()
        if self.stream.rest or self._is_gone or self.relay.is_draining:
            return None
        self.deadline = monotonic() + self.relay.keep_alive_s
        self.relay.watch.listen(self)
        self._resting = trio.lowlevel.current_task()

        def stop(_: object) -> trio.lowlevel.Abort:
            self._resting = None
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            await trio.lowlevel.wait_task_rescheduled(stop)
        except trio.Cancelled:
            if self.delivery is not None:
                self._cut(self.delivery)
            raise
        if self._mistake is not None:
            if self.delivery is not None:
                self._cut(self.delivery)
            raise self._mistake
        return self.delivery

    async def _route(self, head: RequestHead) -> Admitted | OwnAnswer | None:
        """Return the way to another node, or an error; None if this node handles the request."""
        router = self.relay.router
        if router is None:
            return None
        # The router limits its own waiting time.
        self.deadline = inf
        return await router.route(head)

    async def _one(self, head: RequestHead, ask: Ask, block: bytes, routed: Admitted | OwnAnswer | None = None) -> bool:
        """Handle one request; return whether the next may follow.

        Args:
            head: The request.
            ask: Its framing.
            block: Its key in the cache; empty if it must not be cached.
            routed: From ``_route``.
        """
        relay = self.relay
        begun = monotonic()
        self._asked = head
        # The access gate limits its own waiting time.
        self.deadline = inf
        status = size = 0
        try:
            admitted = routed or await relay.access_gate.authorize(head)
            if isinstance(admitted, OwnAnswer):
                status, size = admitted.status, len(admitted.body)
                is_kept = await answer_instead(self, ask, admitted)
                self._tell(head.method, lambda: head, status, size, begun)
                self._asked = None
                return is_kept
        except BaseException:
            # The client is gone or has not taken the response, or the task is cancelled.
            self._tell(head.method, lambda: head, status, size, begun)
            if status:
                self._asked = None
            raise
        message, number = self._head(ask, head, admitted, block)
        request = ProxiedRequest(ask, head.target, head, admitted, number, begun, monotonic())
        key = admitted.preview_id, admitted.process
        exchange = UpstreamExchange(relay.pool, key, admitted.address, ask.method)
        delivery = self.delivery = Delivery(self, request, exchange)
        if delivery.recording is not None:
            # The fields as the preview gets them: without the request line.
            delivery.recording.fields = message[message.find(b"\r\n") + 2 :]
        self._asked = None
        follows = admitted.is_node and ask.method == b"GET" and is_log_stream(head.target)
        self._slow_path = LogFollow(delivery) if follows else SlowPath(delivery)
        return await self._finish(delivery, self._slow_path.run(message))

    def _head(self, ask: Ask, head: RequestHead, admitted: Admitted, block: bytes) -> tuple[bytes, bytes]:
        """Return the upstream request's head and its id. Caches the parts that following requests share."""
        relay, again = self.relay, admitted.again
        fields, number = standing_fields(head, admitted)
        makes = makes_parent(fields, admitted)
        if number and makes:
            fields.append((PARENT_FIELD, new_parent(number)))
        standing = request_lines(ask, fields)
        if number:
            return relayed_head(ask.method, admitted.target_of(head.target), standing, number), number
        number = relay.numbers.new()
        write_head = head_writer(admitted, makes_parent=makes)
        if again is not None and block and is_worth_keeping(ask, block):
            relay.known.put(block, Known(ask, head._replace(target=b""), admitted, again, standing, write_head))
        return write_head(ask.method, admitted.target_of(head.target), standing, number), number

    async def _finish(self, delivery: Delivery, run: Awaitable[bool]) -> bool:
        """Carry an admitted request to its end; return whether the next may follow."""
        try:
            is_kept = await self._carried(delivery, run)
        except Misdirected:
            self._over(delivery)
            return await self._ask_again(delivery.request)
        except BaseException:
            self._cut(delivery)
            raise
        self._over(delivery)
        return is_kept

    async def _ask_again(self, request: ProxiedRequest) -> bool:
        """Handle a request that another node has refused; return whether the next may follow.

        It is asked once more, if its content is not gone. The other node may be this one by now: then the client must
        ask again.
        """
        relay, head = self.relay, request.head
        routed: Admitted | OwnAnswer | None = None
        if relay.router is not None:
            relay.router.forget(head)
            if not request.ask.length and not self._has_asked_again:
                routed = await self._route(head)
        self._has_asked_again = True
        try:
            if routed is not None:
                return await self._one(head, request.ask, b"", routed)
            own = relay.access_gate.refuse(head, PreviewUnavailable("The preview moves to another node; try again."))
            self._tell(head.method, lambda: head, own.status, len(own.body), request.arrived_at)
            await say(self, own, is_head=head.method == "HEAD", closes=True)
            return False
        finally:
            self._has_asked_again = False

    def _over(self, delivery: Delivery) -> None:
        self._cut(delivery)
        self._slow_path = self.delivery = None

    def _cut(self, delivery: Delivery) -> None:
        """Release and log the request. A late request without a response is logged elsewhere."""
        request = delivery.request
        delivery.release()
        delivery.end_record(is_late=self._is_late)
        if delivery.status or not self._is_late:
            size, ended = delivery.sent_bytes, delivery.answered_at
            self._tell(request.standing.method, lambda: request.head, delivery.status, size, request.arrived_at, ended)

    def _tell(
        self, method: str, head: Callable[[], RequestHead], status: int, size: int, begun: float, ended: float = 0.0
    ) -> None:
        self.relay.told(method, head, status, size, (ended or monotonic()) - begun)

    @property
    def _is_busy(self) -> bool:
        return self.delivery is not None or self._asked is not None

    async def _carried(self, delivery: Delivery, run: Awaitable[bool]) -> bool:
        is_kept = False
        try:
            with trio.CancelScope() as delivery.attempt:
                is_kept = await run
            if delivery.attempt.cancelled_caught:
                # The response may have started in the same moment, and then breaks off.
                raise PreviewUnavailable("Its node was lost.") if delivery.status else Misdirected
        except PreviewError as failure:
            error = failure
            if delivery.recording is not None:
                delivery.recording.error = failure.code
        else:
            delivery.release()
            if not is_kept and not self.is_tunnel:
                await linger(self.stream)
            return is_kept
        delivery.release()
        if delivery.status:
            if delivery.is_unbounded:
                # For this client, a regular end of the connection would mean the end of the content.
                self.stream.abort()
            return False
        self.deadline, request = inf, delivery.request
        if isinstance(error, InvalidRequest):
            own = self.relay.access_gate.refuse(request.head, error)
        else:
            own = await self.relay.access_gate.explain(request.head, request.admitted, error)
        delivery.status, delivery.sent_bytes = own.status, len(own.body)
        await say(self, own, is_head=request.ask.method == b"HEAD", closes=True)
        return False

    async def _say_late(self) -> None:
        """Send the response for a request that took too long, unless a response has started."""
        delivery = self.delivery
        head = self._asked if delivery is None else delivery.request.head
        if head is None:
            return
        if delivery is not None and delivery.status:
            if delivery.is_unbounded:
                self.stream.abort()
            return
        error: PreviewError
        if self._slow_path is not None and self._slow_path.awaits_client:
            error = InvalidRequest(f"The request's content did not arrive within {self.relay.body_s:g} s.")
        else:
            error = UpstreamTimeout(
                f"The preview did not begin to answer within {self.relay.answer_s:g} s.", timeout_s=self.relay.answer_s
            )
        own = self.relay.access_gate.refuse(head, error)
        await say_at_last(self, own, is_head=head.method == "HEAD")
        self.relay.told(head.method, lambda: head, own.status, len(own.body), self.relay.answer_s)
