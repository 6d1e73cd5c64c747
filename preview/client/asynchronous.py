"""The asynchronous client, on asyncio and trio."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

import anyio
import anyio.to_thread
import httpx2
from httpx2 import ServerSentEvent

from preview.client import operations
from preview.client.answers import AnswerBase
from preview.client.calls import RETRY_PAUSES_S, Blocking, Call, Pause, Reply, Steps, answered, check
from preview.client.errors import ClientError, PreviewProblem, Unreachable
from preview.client.event_parser import EventParser
from preview.client.events import Event, Line
from preview.client.files import Source
from preview.client.log_follower import LogFollower
from preview.client.models import ImportedGeneration, InstancePage, ProxiedAnswer
from preview.client.operations import Level
from preview.client.session import PreviewSession, body_of, checked_id
from preview.client.transport import Address, BoundedBody, Token, check_plain, close_response

T = TypeVar("T")
E = TypeVar("E")
P = ParamSpec("P")


class _Operation(Generic[P, T]):
    """A method that runs an operation of ``operations`` on a preview."""

    def __init__(self, steps: Callable[Concatenate[PreviewSession, P], Steps[T]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, preview: None, owner: object) -> Self: ...
    @overload
    def __get__(self, preview: AsyncPreview, owner: object) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, preview: AsyncPreview | None, owner: object) -> Self | Callable[P, Awaitable[T]]:
        if preview is None:
            return self

        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return await preview.client.run(self._steps(preview.session, *args, **kwargs))

        return run


class AsyncLog(Generic[E]):
    """The events of a log, as an iterator; leaving an ``async with`` block closes its connection."""

    def __init__(self, client: AsyncClient, follower: LogFollower[E]) -> None:
        self._client = client
        self._follower = follower
        self._response: httpx2.Response | None = None
        self._pieces: AsyncGenerator[bytes, None] | None = None
        self._parser: EventParser | None = None
        self._events = deque[ServerSentEvent]()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Return the next event.

        Raises:
            PreviewProblem: The service refused the stream.
            Unreachable: The service became unreachable and did not come back.
            InvalidAnswer: The stream is not one of the service.

        Cancellation: the connection is closed; the next event is not lost.
        """
        try:
            return await self._following()
        except BaseException:
            await self.aclose()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection.

        Cancellation: the connection is closed within a second.
        """
        response, pieces = self._response, self._pieces
        self._response = self._pieces = self._parser = None
        self._events.clear()
        if response is not None:
            await close_response(response, pieces)  # noqa: ASYNC102  it shields itself, for a bounded time

    async def _following(self) -> E:
        follower, address = self._follower, self._client.address
        while not follower.is_over:
            try:
                if self._response is None:
                    await self._open()
                    continue
                event = await self._event()
            except httpx2.HTTPError as error:
                failure = address.unreachable(error)
                if not isinstance(failure, Unreachable):
                    raise failure from error
                await self.aclose()
                follower.broken(failure)
                continue
            except PreviewProblem as error:
                await self.aclose()
                follower.broken(error)
                continue
            taken = None if event is None else follower.take(event)
            if event is None or follower.must_reopen:
                await self.aclose()
                if follower.needs_token:
                    address.renew()
                follower.closed(address.url)
            if taken is not None:
                return taken
        raise StopAsyncIteration

    async def _open(self) -> None:
        await self._client.sleep(self._follower.pause_s)
        self._response = await self._client.open(self._follower.call())
        if self._follower.opened(self._response.status_code):
            self._parser = EventParser(self._response)
            self._pieces = self._response.aiter_raw()
        else:
            await self.aclose()

    async def _event(self) -> ServerSentEvent | None:
        """Return the next event; None at the end of the connection."""
        while not self._events:
            piece = None if self._pieces is None else await anext(self._pieces, None)
            if piece is None or self._parser is None:
                return None
            self._events.extend(self._parser.feed(piece))
        return self._events.popleft()


class AsyncClient:
    """A client of one service; use it in an ``async with`` block, on asyncio or trio.

    Args:
        url: The service's address; None means ``PREVIEW_URL``.
        token: API token, or a function that returns a valid one; None means ``PREVIEW_TOKEN``.
        verify: Trusted certificates: a context, or the file of an authority.
        retry_pauses_s: Seconds before each further attempt of a request that can be repeated.
        user_agent: Name of the program.
        transport: Carries the requests, such as one to an application in this process; None opens connections.

    Raises:
        ClientError: There is no address or token.
    """

    def __init__(
        self,
        url: str | None = None,
        token: Token | None = None,
        *,
        verify: ssl.SSLContext | str | None = None,
        retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
        user_agent: str = "preview-client",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = Address(url, token, user_agent)
        self._http = httpx2.AsyncClient(**self.address.options(verify, transport))
        self._pauses_s = retry_pauses_s
        self.sleep = anyio.sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections.

        Cancellation: connections are closed.
        """
        await self._http.aclose()

    async def launch(
        self,
        source: Source,
        *,
        name: str | None = None,
        project_id: str | None = None,
        env: Mapping[str, str] | None = None,
        start: Mapping[str, Any] | None = None,
        wait: float | None = None,
    ) -> AsyncPreview:
        """Upload a folder or files and launch them; arguments and errors are those of ``Client.launch``.

        Cancellation: the upload or the preview may remain.
        """
        steps = operations.launch(source, name=name, project_id=project_id, env=env, start=start, wait=wait)
        return AsyncPreview(self, await self.run(steps))

    async def import_repository(self, url: str, name: str = "", project_id: str | None = None) -> ImportedGeneration:
        """Import a public repository, as ``Client.import_repository``. Cancellation: the generation may remain."""
        return await self.run(operations.import_repository(url, name, project_id))

    def preview(self, generation_id: str) -> AsyncPreview:
        """Return the newest preview of a generation; nothing is requested yet."""
        return AsyncPreview(self, PreviewSession(checked_id(generation_id)))

    async def previews(self, limit: int = 50) -> InstancePage:
        """Return your newest previews.

        Cancellation: nothing changes.
        """
        return (await self.call(Call("GET", "/previews", params={"limit": limit}))).read(InstancePage)

    async def call(self, call: Call) -> Reply:
        """Send any request; return its successful response. Errors are those of ``answered``.

        Cancellation: the service may have received the request.
        """
        return await self.run(answered(call, self._pauses_s))

    async def run(self, steps: Steps[T]) -> T:
        """Run an operation.

        Raises ``ClientError`` if it has not completed. Cancellation: the operation may have been done in part.
        """
        try:
            action = next(steps)
            while True:
                try:
                    value = await self._do(action)
                except ClientError as error:
                    action = steps.throw(error)
                else:
                    action = steps.send(value)
        except StopIteration as done:
            result: T = done.value
            return result

    async def open(self, call: Call) -> httpx2.Response:
        """Open a stream; the caller closes the response.

        Raises:
            PreviewProblem: The service responded with an error.
            InvalidAnswer: The response is not one of the service.
            httpx2.TransportError: The connection failed.

        Cancellation: the connection is closed.
        """
        response = await self.address.send_async(self._http, call)
        try:
            check_plain(response)
            if not response.is_success:
                check(await self._read(response, call))
        except BaseException:
            await close_response(response)  # noqa: ASYNC102  it shields itself, for a bounded time
            raise
        return response

    @asynccontextmanager
    async def events(self, call: Call) -> AsyncIterator[AsyncGenerator[ServerSentEvent, None]]:
        """Provide the events of any stream, once; errors are those of ``Client.events``.

        Cancellation: the connection is closed.
        """
        try:
            response = await self.open(call)
        except httpx2.HTTPError as error:
            raise self.address.unreachable(error) from error
        pieces = response.aiter_raw()
        try:
            async with aclosing(self._events_of(response, pieces)) as events:
                yield events
        finally:
            await close_response(response, pieces)  # noqa: ASYNC102  it shields itself, for a bounded time

    async def _events_of(self, response: httpx2.Response, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
        parser = EventParser(response)
        try:
            async for piece in pieces:
                for event in parser.feed(piece):
                    yield event
        except httpx2.HTTPError as error:
            raise self.address.unreachable(error) from error

    async def _do(self, action: Call | Pause | Blocking) -> object:
        if isinstance(action, Pause):
            await self.sleep(action.seconds)
            return None
        if isinstance(action, Blocking):
            return await anyio.to_thread.run_sync(action.function, abandon_on_cancel=True)
        try:
            return await self._read(await self.address.send_async(self._http, action), action)
        except httpx2.HTTPError as error:
            raise self.address.unreachable(error) from error

    async def _read(self, response: httpx2.Response, call: Call) -> Reply:
        pieces = response.aiter_raw()
        try:
            body = BoundedBody(response, call, self.address.url)
            async for piece in pieces:
                body.add(piece)
            return body.reply()
        finally:
            await close_response(response, pieces)  # noqa: ASYNC102  it shields itself, for a bounded time


class AsyncPreview:
    """One preview; made by ``AsyncClient.launch`` and ``AsyncClient.preview``."""

    start = _Operation(operations.start_preview)
    wait_ready = _Operation(operations.wait_ready)
    status = _Operation(operations.status)
    stop = _Operation(operations.stop)
    remove = _Operation(operations.remove)
    restart = _Operation(operations.restart)
    reload = _Operation(operations.reload)
    update_from_repository = _Operation(operations.update_from_repository)
    lines = _Operation(operations.lines)
    snapshot = _Operation(operations.snapshot)
    snapshots = _Operation(operations.snapshots)
    restore = _Operation(operations.restore)
    requests = _Operation(operations.requests)
    failures = _Operation(operations.failures)
    failure_text = _Operation(operations.failure_text)
    endpoints = _Operation(operations.endpoints)
    env = _Operation(operations.env)
    set_env = _Operation(operations.set_env)

    def __init__(self, client: AsyncClient, session: PreviewSession) -> None:
        self.client = client
        self.session = session

    @property
    def generation_id(self) -> str:
        """Id of its generation."""
        return self.session.generation_id

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = 60.0,
    ) -> AsyncAnswer:
        """Send one request to the application, as ``Preview.request``.

        Cancellation: the application may have received it.
        """
        sent, encoding = body_of(body)
        steps = operations.send(
            self.session, method, path, query=query, headers=headers, body=sent, encoding=encoding, timeout_s=timeout_s
        )
        return AsyncAnswer(self, await self.client.run(steps))

    def log(
        self,
        *,
        after: int | None = None,
        tail: int | None = None,
        level: Level | None = None,
        filter: str | None = None,  # noqa: A002  the API's name
        request_id: str | None = None,
        follow: bool = True,
        colours: bool = False,
    ) -> AsyncLog[Event]:
        """Iterate over the log's events to the end of the preview; arguments are those of ``Preview.log``."""
        follower = operations.follow_log(
            self.session, after=after, tail=tail, level=level, filter=filter, request_id=request_id, follow=follow,
            colours=colours,
        )  # fmt: skip
        return AsyncLog(self.client, follower)


class AsyncAnswer(AnswerBase):
    """The application's response to one request."""

    def __init__(self, preview: AsyncPreview, found: ProxiedAnswer) -> None:
        super().__init__(found)
        self._preview = preview

    async def lines(self) -> list[Line]:
        """Return the log lines of this request; if it is not known for any, the lines that came during it.

        Cancellation: nothing changes.
        """
        return await self._preview.client.run(operations.lines_of(self._preview.session, self.found))
