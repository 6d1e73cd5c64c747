"""The synchronous client."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

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
from preview.client.transport import Address, BoundedBody, Token, check_plain

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
    def __get__(self, preview: Preview, owner: object) -> Callable[P, T]: ...
    def __get__(self, preview: Preview | None, owner: object) -> Self | Callable[P, T]:
        if preview is None:
            return self

        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return preview.client.run(self._steps(preview.session, *args, **kwargs))

        return run


class Log(Generic[E]):
    """The events of a log, as an iterator; leaving a ``with`` block closes its connection."""

    def __init__(self, client: Client, follower: LogFollower[E]) -> None:
        self._client = client
        self._follower = follower
        self._response: httpx2.Response | None = None
        self._events: Iterator[ServerSentEvent] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        """Return the next event.

        Raises:
            PreviewProblem: The service refused the stream.
            Unreachable: The service became unreachable and did not come back.
            InvalidAnswer: The stream is not one of the service.
        """
        try:
            return self._following()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        response, self._response, self._events = self._response, None, None
        if response is not None:
            response.close()

    def _following(self) -> E:
        follower, address = self._follower, self._client.address
        while not follower.is_over or self._events is not None:
            try:
                if self._events is None:
                    self._open()
                    continue
                event = next(self._events, None)
            except httpx2.HTTPError as error:
                failure = address.unreachable(error)
                if not isinstance(failure, Unreachable):
                    raise failure from error
                self.close()
                follower.broken(failure)
                continue
            except PreviewProblem as error:
                self.close()
                follower.broken(error)
                continue
            taken = None if event is None else follower.take(event)
            if event is None or follower.must_reopen:
                self.close()
                if follower.needs_token:
                    address.renew()
                follower.closed(address.url)
            if taken is not None:
                return taken
        raise StopIteration

    def _open(self) -> None:
        self._client.sleep(self._follower.pause_s)
        call = self._follower.call()
        self._response = self._client.open(call)
        if self._follower.opened(self._response.status_code):
            self._events = _events_of(self._response)
        else:
            self.close()


class Client:
    """A client of one service; use it in a ``with`` block. All methods block.

    Args:
        url: The service's address; None means ``PREVIEW_URL``.
        token: API token, or a function that returns a valid one; None means ``PREVIEW_TOKEN``.
        verify: Trusted certificates: a context, or the file of an authority.
        retry_pauses_s: Seconds before each further attempt of a request that can be repeated.
        user_agent: Name of the program.

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
    ) -> None:
        self.address = Address(url, token, user_agent)
        self._http = httpx2.Client(**self.address.options(verify))
        self._pauses_s = retry_pauses_s
        self.sleep = time.sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def launch(
        self,
        source: Source,
        *,
        name: str | None = None,
        project_id: str | None = None,
        env: Mapping[str, str] | None = None,
        start: Mapping[str, Any] | None = None,
        wait: float | None = None,
    ) -> Preview:
        """Upload a folder or files and launch them.

        Args:
            source: A folder, or content by path.
            name: Name for people; by default the folder's.
            project_id: The project that it belongs to; by default one of the same name.
            env: Variables for this launch.
            start: Start options, as in ``preview.toml``.
            wait: Seconds to wait until it is healthy; None returns while it starts.

        Raises:
            PreviewProblem: It was refused, failed, or was not healthy in time.
            InvalidUpload: The files cannot be uploaded.
        """
        steps = operations.launch(source, name=name, project_id=project_id, env=env, start=start, wait=wait)
        return Preview(self, self.run(steps))

    def import_repository(self, url: str, name: str = "", project_id: str | None = None) -> ImportedGeneration:
        """Import a public repository of GitHub, or a branch or folder of it; nothing of it runs until you launch it."""
        return self.run(operations.import_repository(url, name, project_id))

    def preview(self, generation_id: str) -> Preview:
        """Return the newest preview of a generation; nothing is requested yet."""
        return Preview(self, PreviewSession(checked_id(generation_id)))

    def previews(self, limit: int = 50) -> InstancePage:
        """Return your newest previews."""
        return self.call(Call("GET", "/previews", params={"limit": limit})).read(InstancePage)

    def call(self, call: Call) -> Reply:
        """Send any request; return its successful response.

        Raises:
            PreviewProblem, Unreachable, InvalidAnswer: See ``answered``.
        """
        return self.run(answered(call, self._pauses_s))

    def run(self, steps: Steps[T]) -> T:
        """Run an operation.

        Raises:
            ClientError: It has not completed.
        """
        try:
            action = next(steps)
            while True:
                try:
                    value = self._do(action)
                except ClientError as error:
                    action = steps.throw(error)
                else:
                    action = steps.send(value)
        except StopIteration as done:
            result: T = done.value
            return result

    def open(self, call: Call) -> httpx2.Response:
        """Open a stream; the caller closes the response.

        Raises:
            PreviewProblem: The service responded with an error.
            InvalidAnswer: The response is not one of the service.
            httpx2.TransportError: The connection failed.
        """
        response = self.address.send(self._http, call)
        try:
            check_plain(response)
            if not response.is_success:
                check(self._read(response, call))
        except BaseException:
            response.close()
            raise
        return response

    @contextmanager
    def events(self, call: Call) -> Iterator[Iterator[ServerSentEvent]]:
        """Provide the events of any stream, once: it is not opened again.

        Raises:
            PreviewProblem: The service responded with an error.
            Unreachable: The connection failed, also while the events are read.
            InvalidAnswer: The response is not one of the service.
        """
        try:
            response = self.open(call)
        except httpx2.HTTPError as error:
            raise self.address.unreachable(error) from error
        with closing(response):
            yield self._events_of(response)

    def _events_of(self, response: httpx2.Response) -> Iterator[ServerSentEvent]:
        try:
            yield from _events_of(response)
        except httpx2.HTTPError as error:
            raise self.address.unreachable(error) from error

    def _do(self, action: Call | Pause | Blocking) -> object:
        if isinstance(action, Pause):
            return self.sleep(action.seconds)
        if isinstance(action, Blocking):
            return action.function()
        try:
            with closing(self.address.send(self._http, action)) as response:
                return self._read(response, action)
        except httpx2.HTTPError as error:
            raise self.address.unreachable(error) from error

    def _read(self, response: httpx2.Response, call: Call) -> Reply:
        body = BoundedBody(response, call, self.address.url)
        for piece in response.iter_raw():
            body.add(piece)
        return body.reply()


class Preview:
    """One preview; made by ``Client.launch`` and ``Client.preview``."""

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

    def __init__(self, client: Client, session: PreviewSession) -> None:
        self.client = client
        self.session = session

    @property
    def generation_id(self) -> str:
        """Id of its generation."""
        return self.session.generation_id

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = 60.0,
    ) -> Answer:
        """Send one request to the application; any status of its response is an answer.

        Args:
            method: HTTP method.
            path: Absolute path, with a query if needed.
            query: Query parameters.
            headers: Headers.
            body: Bytes or text are sent as they are, anything else as JSON; None sends no content.
            timeout_s: Seconds to wait.

        Raises:
            PreviewProblem: The application does not run, or has not answered.
        """
        sent, encoding = body_of(body)
        steps = operations.send(
            self.session, method, path, query=query, headers=headers, body=sent, encoding=encoding, timeout_s=timeout_s
        )
        return Answer(self, self.client.run(steps))

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
    ) -> Log[Event]:
        """Iterate over the log's events, each once and in order, to the end of the preview.

        A broken connection is resumed after the last line.

        Args:
            after: Only lines after this number.
            tail: Begin with the last lines, so many.
            level: Only lines at least this severe.
            filter: Terms of the filter language.
            request_id: Only lines of this request.
            follow: False ends after the newest line.
            colours: Whether messages keep their ANSI colours.
        """
        follower = operations.follow_log(
            self.session, after=after, tail=tail, level=level, filter=filter, request_id=request_id, follow=follow,
            colours=colours,
        )  # fmt: skip
        return Log(self.client, follower)


class Answer(AnswerBase):
    """The application's response to one request."""

    def __init__(self, preview: Preview, found: ProxiedAnswer) -> None:
        super().__init__(found)
        self._preview = preview

    def lines(self) -> list[Line]:
        """Return the log lines of this request; if it is not known for any, the lines that came during it."""
        return self._preview.client.run(operations.lines_of(self._preview.session, self.found))


def _events_of(response: httpx2.Response) -> Iterator[ServerSentEvent]:
    parser = EventParser(response)
    for piece in response.iter_raw():
        yield from parser.feed(piece)
