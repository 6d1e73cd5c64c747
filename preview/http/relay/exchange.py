"""One request carried to a preview; its answer is ``Delivery``'s."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import trio

from preview.errors import InvalidRequest, PreviewError, PreviewUnavailable, UpstreamFailed
from preview.http.relay.delivery import Delivery
from preview.http.relay.head_cache import known_of, relayed_head, request_lines
from preview.http.relay.proxied_request import ProxiedRequest
from preview.proxy.carriage import standing_fields
from preview.proxy.http1 import CHUNKED, LAST_CHUNK, Body, Payload, Unclean, body_of, chunk
from preview.proxy.network_stream import ClientGone, UpstreamGone
from preview.proxy.pool import Refused, UpstreamConnection, connect

# A transfer that never has to wait yields now and then.
_YIELD_BYTES = 1024 * 1024
# RFC 9110 section 9.2.2: sending these twice asks for nothing more than sending them once.
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


class NotCarried(Exception):
    """The answer did not come, or not whole.

    Attributes:
        error: Why; for the client, where nothing of an answer was sent to it.
    """

    def __init__(self, error: PreviewError) -> None:
        super().__init__(str(error))
        self.error = error


class Exchange:
    """A request that was admitted.

    Attributes:
        awaits_client: Whether it is the client that is waited for, and not the preview.

    Args:
        request: The request. Its maker releases what it holds.
    """

    def __init__(self, request: ProxiedRequest) -> None:
        self._request = request
        self._connection = request.connection
        self._client = request.connection.stream
        self._relay = request.connection.relay
        self._key = (request.admitted.preview_id, request.admitted.process)
        self._body: Body = body_of(request.ask.length)
        # All of it has gone up. That all of it has come is not enough: an early answer may leave the last piece here.
        self._is_sent = False
        # Why the content could not be carried, where that is the client's doing.
        self._failure: ClientGone | Unclean | None = None
        self._delivery = Delivery(request)
        self.awaits_client = False

    async def run(self) -> bool:
        """Carry it; whether the client's connection can take the next request.

        Raises:
            NotCarried: No answer came that could be passed on, or it broke off.
            ClientGone: The client went away.

        Cancellation: the connection to the preview is closed.
        """
        request = self._request
        with self._translated():
            request.message = self._head()
            came, self._client.rest = self._client.rest, b""
            if not request.ask.length:
                self._client.rest = came
            elif came:
                request.message += b"".join(self._framed(memoryview(came)))
                self._client.rest = self._body.rest
            if self._body.is_over:
                await self._without_upload(monotonic())
            else:
                await self._with_upload()
        return self._is_sent and not request.closes

    async def go_on(self) -> bool:
        """Carry on with what ``FastPath`` has started. As ``run``, also when cancelled."""
        request = self._request
        with self._translated():
            if request.failure is not None:
                raise request.failure
            await self._without_upload(request.begun)
        return not request.closes

    def _head(self) -> bytes:
        request = self._request
        fields, number = standing_fields(request.head, request.admitted)
        standing = request_lines(request.ask, fields)
        if not number:
            number = self._relay.numbers.new()
            again = request.admitted.again
            if request.block and again is not None:
                self._relay.known.put(request.block, known_of(request, again, standing))
        request.number = number
        return relayed_head(request.ask.method, request.admitted.target_of(request.target), standing, number)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Failures as what the client gets in place of an answer, or as the end of one that has started."""
        error: PreviewError
        try:
            yield
        except Refused as cause:
            error = PreviewUnavailable("The preview does not accept connections: it may be starting or gone.")
            raise NotCarried(error) from cause
        except UpstreamGone as cause:
            error = UpstreamFailed("The preview closed the connection before its answer was complete.")
            raise NotCarried(error) from cause
        except Unclean as cause:
            if self._failure is cause:
                error = InvalidRequest(f"The request's content is not framed as RFC 9112 section 7.1 has it: {cause}.")
            else:
                error = UpstreamFailed(f"The preview's answer is not written by the rules of HTTP (RFC 9112): {cause}.")
            raise NotCarried(error) from cause

    def _framed(self, data: memoryview) -> list[Payload]:
        """What has come of the content, framed for the preview.

        Trailers end here: a server adds them to the fields, past all rules for those.
        """
        body = self._body
        try:
            pieces = body.feed(data)
        except Unclean as error:
            self._failure = error
            raise
        if self._request.ask.length != CHUNKED:
            return list(pieces)
        return [*chunk(pieces), LAST_CHUNK] if body.is_over else chunk(pieces)

    async def _without_upload(self, since: float) -> None:
        """The request is whole: one message, one wait, one answer, for which the preview has had time since then."""
        request = self._request
        if not request.status:
            self._connection.deadline = since + self._relay.answer_s
        may_repeat = request.ask.method in IDEMPOTENT and request.ask.length == 0
        if request.upstream is None:
            request.upstream = self._relay.pool.take(self._key, may_repeat=may_repeat)
            request.unsent = memoryview(request.message)
        if request.upstream is not None:
            try:
                await self._whole(request.upstream)
            except UpstreamGone:
                # It was closed while the request was on its way: nobody has answered it.
                if not may_repeat or request.has_begun:
                    raise
                request.upstream.close()
            else:
                return
        request.upstream, request.unsent = (
            await connect(request.admitted.address, self._key),
            memoryview(request.message),
        )
        await self._whole(request.upstream)

    async def _whole(self, upstream: UpstreamConnection) -> None:
        request = self._request
        if request.unsent and not request.status:
            rest, request.unsent = request.unsent, memoryview(b"")
            await upstream.send(rest)
        is_clean = await self._delivery.run(upstream)
        self._is_sent = True
        if is_clean:
            self._keep(upstream)

    async def _with_upload(self) -> None:
        """Content is still coming: it goes up while the answer may come down already."""
        request = self._request
        upstream = self._relay.pool.take(self._key, may_repeat=False)
        if upstream is None:
            upstream = await connect(request.admitted.address, self._key)
        request.upstream = upstream
        failure: UpstreamGone | Unclean | ClientGone | None = None
        is_clean = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._upload, upstream, nursery.cancel_scope)
            try:
                is_clean = await self._delivery.run(upstream)
            except (UpstreamGone, Unclean, ClientGone) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if is_clean and self._is_sent:
            self._keep(upstream)
        if self._failure is not None or failure is not None:
            raise self._failure or failure  # type: ignore[misc]  # one of them is there

    async def _upload(self, upstream: UpstreamConnection, scope: trio.CancelScope) -> None:
        relay, connection, request = self._relay, self._connection, self._request
        unyielded = 0
        try:
            connection.deadline = monotonic() + relay.answer_s
            await upstream.send(request.message)
            while not self._body.is_over:
                self.awaits_client = True
                if not request.status:
                    connection.deadline = monotonic() + relay.body_s
                size = await self._client.receive_some_into(relay.buffer)
                self.awaits_client = False
                rest = upstream.send_now(self._framed(relay.buffer[:size]))
                while rest:
                    connection.deadline = monotonic() + relay.answer_s
                    rest = await upstream.send_on(rest)
                unyielded += size
                if unyielded > _YIELD_BYTES:
                    unyielded = 0
                    await trio.lowlevel.checkpoint()
            self._client.rest = self._body.rest
            self._is_sent = True
            if not request.status:
                connection.deadline = monotonic() + relay.answer_s
        except UpstreamGone:
            pass  # it may have answered before it closed: that is what is being read
        except (ClientGone, Unclean) as error:
            self._failure = error
            scope.cancel()

    def _keep(self, upstream: UpstreamConnection) -> None:
        """Nothing is under way on it any more: the next request may take it."""
        self._request.upstream = None
        self._relay.pool.give(upstream)
