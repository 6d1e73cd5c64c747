"""Readiness and liveness probes of a preview.

The service holds the listening socket, so a connection succeeds before the app is ready, and waits in the backlog. The
first response therefore *is* readiness, without polling. Liveness is a single request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import h11
import trio

from preview.core.ids import new_check_id
from preview.errors import LaunchFailed, StartupTimeout
from preview.logs import Level
from preview.runtime import Exit
from preview.runtime.waiting import wait_any
from preview.supervisor.diagnosis.exits import explain_exit
from preview.supervisor.launch.variables import placeholders_of
from preview.supervisor.limits.limits import memory_error, was_killed_for_memory
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.server_process import ServerProcess
from preview.supervisor.process.startup_limit import StartupLimit, measure_wait

# Pauses after a connection that was closed without a response: short at first, then longer.
_FIRST_PAUSE_S = 0.02
_LAST_PAUSE_S = 0.5
# Status line and headers; a probe reads no body.
_MAX_HEAD_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
_URL_CHARACTERS = "/:?[]@!$&'()*+,;=%"
# Wait for a health route that reports a failure (for instance without its database). It may recover, but the app
# serves.
_SICK_PATIENCE_S = 3.0
# Wait for a health route that does not respond: long enough for an application that starts slowly.
_SILENT_PATIENCE_S = 8.0

# Wait for any response of a program that seems to wait for a missing service.
_ANY_PATIENCE_S = 2.0

_START = b"HTTP/"

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """Response of an application that serves.

    Attributes:
        path: Requested path.
        status: Status code.
    """

    path: str
    status: int

    @property
    def well(self) -> bool:
        """True if the status is below 500."""
        return self.status < 500


class ProbeFailed(Exception):
    """No HTTP response: the connection was refused or closed, or the data was not HTTP."""


class NotHttp(ProbeFailed):
    """The response does not start like one of HTTP/1.1: the server speaks another protocol."""


async def ask(address: Address, path: str) -> int:
    """Return the status code of ``GET path``.

    Args:
        address: Host and port of the preview.
        path: Absolute path.

    Raises:
        ProbeFailed: There was no HTTP response.
        NotHttp: There was another one.

    Cancellation: the connection is closed.
    """
    try:
        stream = await trio.open_tcp_stream(*address)
        async with stream:
            return await _exchange(stream, address[1], path)
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise ProbeFailed(str(error) or type(error).__name__) from error


async def _exchange(stream: trio.SocketStream, port: int, path: str) -> int:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    request = h11.Request(
        method="GET",
        # A project's route may have blanks or letters that a request line cannot have (RFC 3986, 2.2).
        target=quote(path, safe=_URL_CHARACTERS),
        # Apps that check the host name (Django) accept localhost. The agent name lets an app ignore probes.
        headers=[
            ("Host", f"localhost:{port}"),
            ("User-Agent", "preview-probe"),
            ("X-Request-Id", new_check_id()),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ],
    )
    await stream.send_all((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    start = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            received = await stream.receive_some(_READ_BYTES)
            start = start or received[: len(_START)]
            if not _START.startswith(start):
                raise NotHttp("the response is not HTTP")
            connection.receive_data(received)
        elif isinstance(event, h11.Response):
            return event.status_code
        elif not isinstance(event, h11.InformationalResponse):
            raise ProbeFailed("the connection was closed without an answer")


def _ignore() -> None:
    """Do nothing."""


async def wait_until_ready(
    address: Address, path: str, *, any_answer: bool, not_http: Callable[[], None] = _ignore
) -> int:
    """Probe until the response shows that the preview is ready; return its status code.

    Args:
        address: Host and port of the preview.
        path: Path to request.
        any_answer: True: any HTTP response counts. False (the project's health route): only one below 500.
        not_http: Called at each response of another protocol.

    Cancellation: the connection is closed. Waits without a limit, so the caller sets a deadline.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            status = await ask(address, path)
        except NotHttp:
            not_http()
        except ProbeFailed:
            pass
        else:
            if any_answer or status < 500:
                return status
        await trio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


async def find_answer(
    address: Address,
    health_path: str | None,
    *,
    sick_patience_s: float = _SICK_PATIENCE_S,
    silent_patience_s: float = _SILENT_PATIENCE_S,
    not_http: Callable[[], None] = _ignore,
) -> Answer:
    """Wait until the application serves: its health route is healthy, or the patience for that has passed.

    A health route that needs a missing database must not block everything else. Without a health route, any response to
    ``/`` counts.

    Args:
        address: Host and port of the preview.
        health_path: The project's health route, or None.
        sick_patience_s: Seconds from the route's first bad response until that response counts too.
        silent_patience_s: Seconds without a response of the route until ``/`` is requested instead.
        not_http: Called at each response of another protocol.

    Cancellation: connections are closed. Waits without a limit, so the caller sets a deadline.
    """
    if health_path is None:
        return Answer("/", await wait_until_ready(address, "/", any_answer=True, not_http=not_http))
    answers: list[Answer] = []
    async with trio.open_nursery() as nursery:
        first = trio.Event()

        async def ask_for_any() -> None:
            status = await wait_until_ready(address, health_path, any_answer=True, not_http=not_http)
            answers.append(Answer(health_path, status))
            first.set()

        async def ask_for_good() -> None:
            await ask_for_any()
            if not answers[-1].well:
                with trio.move_on_after(sick_patience_s):
                    status = await wait_until_ready(address, health_path, any_answer=False)
                    answers.append(Answer(health_path, status))
            nursery.cancel_scope.cancel()

        async def ask_elsewhere() -> None:
            with trio.move_on_after(silent_patience_s):
                await first.wait()
                return
            status = await wait_until_ready(address, "/", any_answer=True)
            with trio.move_on_after(sick_patience_s):
                await first.wait()
                return
            answers.append(Answer("/", status))
            nursery.cancel_scope.cancel()

        nursery.start_soon(ask_for_good)
        nursery.start_soon(ask_elsewhere)
    return answers[-1]


async def answers_any(address: Address, *paths: str | None) -> bool:
    """Return whether one of the paths gets an HTTP response, whatever its status, within seconds.

    Args:
        address: Host and port of the preview.
        paths: Paths to request; None is left out.

    Cancellation: connections are closed.
    """
    found = False

    async def try_path(path: str) -> None:
        nonlocal found
        try:
            await ask(address, path)
        except ProbeFailed:
            return
        found = True
        nursery.cancel_scope.cancel()

    with trio.move_on_after(_ANY_PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for path in {path for path in paths if path is not None}:
                nursery.start_soon(try_path, path)
    return found


async def wait_until_serving(preview: LivePreview, candidate: ServerProcess) -> None:
    """Wait until the new process reports that it serves. Probes would still reach the old process.

    Raises:
        LaunchFailed: The process has ended; the message has the reason.
        StartupTimeout: The process did not report within the start-up timeout.

    Cancellation: nothing changes.
    """
    limit = StartupLimit(preview.startup_timeout_s)
    await limit.run(partial(wait_any, candidate.control.ready, candidate.ended), _measure(candidate))
    await _check(preview, candidate, "serve", limit, is_well=candidate.control.ready.is_set())


async def wait_for_answer(preview: LivePreview, candidate: ServerProcess) -> None:
    """Wait until the preview responds, when no other process serves.

    Raises:
        LaunchFailed, StartupTimeout: See ``wait_until_serving``.

    Cancellation: connections are closed.
    """
    answered = trio.Event()

    async def ask() -> None:
        await find_answer(preview.socket_address, candidate.prepared.plan.health_path)
        answered.set()

    async def wait() -> None:
        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await wait_any(answered, candidate.ended)
            asking.cancel_scope.cancel()

    limit = StartupLimit(preview.startup_timeout_s)
    await limit.run(wait, _measure(candidate))
    await _check(preview, candidate, "answer", limit, is_well=answered.is_set())


def _measure(candidate: ServerProcess) -> Callable[[], Awaitable[float]]:
    return partial(measure_wait, candidate.process.identity.pid)


async def _check(
    preview: LivePreview, candidate: ServerProcess, verb: str, limit: StartupLimit, *, is_well: bool
) -> None:
    """Raise unless all is well. Has no await in that case, so the caller can rely on the observed state."""
    if candidate.ended.is_set():
        raise await _explain(preview, candidate)
    if not is_well:
        sentence = f"The new process did not {verb} within {limit.describe()}."
        raise StartupTimeout(sentence, timeout_s=limit.limit_s)


async def _explain(preview: LivePreview, candidate: ServerProcess) -> LaunchFailed:
    ended = candidate.exit or Exit()
    if candidate.failure is not None:
        return candidate.failure
    if was_killed_for_memory(preview, candidate.process):
        return memory_error(candidate.settings)
    preview.log.say(f"process {candidate.process.identity.pid} ended with {ended}", Level.ERROR)
    lines = candidate.output(preview)
    plan, variables = candidate.prepared.plan, candidate.spec.environment
    made_up = placeholders_of(plan)
    return await explain_exit(
        preview, ended, plan.services, lines, served=False, variables=variables, placeholders=made_up
    )
