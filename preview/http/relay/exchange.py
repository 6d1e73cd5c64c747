"""One request carried to a preview; its answer is ``Delivery``'s."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import trio

from preview.errors import InvalidRequest, PreviewError, PreviewUnavailable, UpstreamFailed
from preview.http.relay.delivery import Delivery
from preview.http.relay.heads import known_of, request_head, request_lines
from preview.http.relay.proxied_request import ProxiedRequest
from preview.proxy.carriage import standing_fields
from preview.proxy.relay import (
    CHUNKED,
    LAST_CHUNK,
    Body,
    ClientGone,
    Payload,
    Refused,
    Unclean,
    Upstream,
    UpstreamGone,
    body_of,
    chunk,
    connect,
)

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
        errand: The request. Its maker releases what it holds.
    """

    def __init__(self, errand: ProxiedRequest) -> None:
        self._errand = errand
        self._connection = errand.connection
        self._client = errand.connection.link
        self._relay = errand.connection.relay
        self._key = (errand.admitted.preview_id, errand.admitted.process)
        self._body: Body = body_of(errand.ask.length)
        # All of it has gone up. That all of it has come is not enough: an early answer may leave the last piece here.
        self._is_sent = False
        # Why the content could not be carried, where that is the client's doing.
        self._failure: ClientGone | Unclean | None = None
        self._delivery = Delivery(errand)
        self.awaits_client = False

    async def run(self) -> bool:
        """Carry it; whether the client's connection can take the next request.

        Raises:
            NotCarried: No answer came that could be passed on, or it broke off.
            ClientGone: The client went away.

        Cancellation: the connection to the preview is closed.
        """
        errand = self._errand
        with self._translated():
            errand.message = self._head()
            came, self._client.rest = self._client.rest, b""
            if not errand.ask.length:
                self._client.rest = came
            elif came:
                errand.message += b"".join(self._framed(memoryview(came)))
                self._client.rest = self._body.rest
            if self._body.is_over:
                await self._without_upload(monotonic())
            else:
                await self._with_upload()
        return self._is_sent and not errand.closes

    async def go_on(self) -> bool:
        """Carry on with what ``FastPath`` has started. As ``run``, also when cancelled."""
        errand = self._errand
        with self._translated():
            if errand.failure is not None:
                raise errand.failure
            await self._without_upload(errand.begun)
        return not errand.closes

    def _head(self) -> bytes:
        errand = self._errand
        fields, number = standing_fields(errand.head, errand.admitted)
        standing = request_lines(errand.ask, fields)
        if not number:
            number = self._relay.numbers.new()
            again = errand.admitted.again
            if errand.block and again is not None:
                self._relay.known.put(errand.block, known_of(errand, again, standing))
        errand.number = number
        return request_head(errand.ask.method, errand.admitted.target_of(errand.target), standing, number)

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
        """Return the received content, framed for the preview.

        Trailers end here: a server adds them to the fields, past all rules for those.
        """
        body = self._body
        try:
            pieces = body.feed(data)
        except Unclean as error:
            self._failure = error
            raise
        if self._errand.ask.length != CHUNKED:
            return list(pieces)
        return [*chunk(pieces), LAST_CHUNK] if body.is_over else chunk(pieces)

    async def _without_upload(self, since: float) -> None:
        """Carry a complete request: one message, one wait, one response."""
        errand = self._errand
        if not errand.status:
            self._connection.deadline = since + self._relay.answer_s
        may_repeat = errand.ask.method in IDEMPOTENT and errand.ask.length == 0
        if errand.upstream is None:
            errand.upstream = self._relay.pool.take(self._key, may_repeat=may_repeat)
            errand.unsent = memoryview(errand.message)
        if errand.upstream is not None:
            try:
                await self._whole(errand.upstream)
            except UpstreamGone:
                # It was closed while the request was on its way: nobody has answered it.
                if not may_repeat or errand.has_begun:
                    raise
                errand.upstream.close()
            else:
                return
        errand.upstream, errand.unsent = await connect(errand.admitted.address, self._key), memoryview(errand.message)
        await self._whole(errand.upstream)

    async def _whole(self, upstream: Upstream) -> None:
        errand = self._errand
        if errand.unsent and not errand.status:
            rest, errand.unsent = errand.unsent, memoryview(b"")
            await upstream.send(rest)
        is_clean = await self._delivery.run(upstream)
        self._is_sent = True
        if is_clean:
            self._keep(upstream)

    async def _with_upload(self) -> None:
        """Content is still coming: it goes up while the answer may come down already."""
        errand = self._errand
        upstream = self._relay.pool.take(self._key, may_repeat=False)
        if upstream is None:
            upstream = await connect(errand.admitted.address, self._key)
        errand.upstream = upstream
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

    async def _upload(self, upstream: Upstream, scope: trio.CancelScope) -> None:
        relay, connection, errand = self._relay, self._connection, self._errand
        unyielded = 0
        try:
            connection.deadline = monotonic() + relay.answer_s
            await upstream.send(errand.message)
            while not self._body.is_over:
                self.awaits_client = True
                if not errand.status:
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
            if not errand.status:
                connection.deadline = monotonic() + relay.answer_s
        except UpstreamGone:
            pass  # it may have answered before it closed: that is what is being read
        except (ClientGone, Unclean) as error:
            self._failure = error
            scope.cancel()

    def _keep(self, upstream: Upstream) -> None:
        """Nothing is under way on it any more: the next request may take it."""
        self._errand.upstream = None
        self._relay.pool.give(upstream)
