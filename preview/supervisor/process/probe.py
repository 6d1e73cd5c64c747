"""Asking a preview whether it answers: readiness by connecting at once and waiting, liveness by one question.

The service holds the listening socket, so a connection succeeds before the app is ready and waits in its backlog: the
first answer *is* readiness, without polling.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import h11
import trio

from preview.core.clock import wait_any
from preview.errors import LaunchFailed, StartupTimeout
from preview.logs import Level
from preview.runtime import Exit
from preview.supervisor.diagnosis.exits import explain_exit
from preview.supervisor.limits.limits import memory_error, was_killed_for_memory
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.server_process import ServerProcess

# An answer that is not there yet although the connection was taken and closed: look again soon, then less often.
_FIRST_PAUSE_S = 0.02
_LAST_PAUSE_S = 0.5
# A status line and headers; a probe needs no body.
_MAX_HEAD_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
_URL_CHARACTERS = "/:?[]@!$&'()*+,;=%"
# A health route that says no (its database is away, say): it may come round, but the application serves.
_SICK_PATIENCE_S = 3.0
# A health route that says nothing: long enough for an application that takes its time to start.
_SILENT_PATIENCE_S = 8.0

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """Response of an application that serves.

    Attributes:
        path: What was asked for.
        status: Its status code.
    """

    path: str
    status: int

    @property
    def well(self) -> bool:
        """True if the status is below 500."""
        return self.status < 500


class ProbeFailed(Exception):
    """No HTTP answer: refused, closed, or not HTTP."""


async def ask(address: Address, path: str) -> int:
    """Return the status code of ``GET path``.

    Args:
        address: Host and port of the preview.
        path: Absolute path.

    Raises:
        ProbeFailed: There was no HTTP answer.

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
        # A project's own route may hold blanks or letters that no request line does (RFC 3986, 2.2).
        target=quote(path, safe=_URL_CHARACTERS),
        # Hosts that check the name (Django) know this one. The agent lets an app leave probes out of its statistics.
        headers=[
            ("Host", f"localhost:{port}"),
            ("User-Agent", "preview-probe"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ],
    )
    await stream.send_all((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(_READ_BYTES))
        elif isinstance(event, h11.Response):
            return event.status_code
        elif not isinstance(event, h11.InformationalResponse):
            raise ProbeFailed("the connection was closed without an answer")


async def wait_until_ready(address: Address, path: str, *, any_answer: bool) -> int:
    """Wait for the answer that says the preview is ready; its status code.

    Args:
        address: Host and port of the preview.
        path: What to ask for.
        any_answer: Whether each HTTP answer counts; else (the project's own health route) one below 500.

    Cancellation: the connection is closed. Bounded by the caller: it waits for ever.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            status = await ask(address, path)
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
) -> Answer:
    """Wait until the application serves: its own health route answers well, or it is clear that it will not.

    A health route that needs a database which is not there must not hold up everything else. Without a route of its
    own any answer to ``/`` counts.

    Args:
        address: Host and port of the preview.
        health_path: The project's own health route, or None.
        sick_patience_s: Seconds from the route's first bad answer until that counts as well.
        silent_patience_s: Seconds without an answer of the route until ``/`` is asked, which then has to answer first.

    Cancellation: connections are closed. Bounded by the caller: it waits for ever.
    """
    if health_path is None:
        return Answer("/", await wait_until_ready(address, "/", any_answer=True))
    answers: list[Answer] = []
    async with trio.open_nursery() as nursery:
        first = trio.Event()

        async def ask_for_any() -> None:
            status = await wait_until_ready(address, health_path, any_answer=True)
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


async def wait_until_serving(preview: LivePreview, candidate: ServerProcess) -> None:
    """Until it says that it serves; the answers that come are the other one's still.

    Raises:
        LaunchFailed: It has ended; says why.
        StartupTimeout: It has not said so within the start-up time.

    Cancellation: nothing changes.
    """
    with trio.move_on_after(preview.startup_timeout_s):
        await wait_any(candidate.control.ready, candidate.ended)
    await _check(preview, candidate, "serve", is_well=candidate.control.ready.is_set())


async def wait_for_answer(preview: LivePreview, candidate: ServerProcess) -> None:
    """Until the preview answers, which is this one's answer: no other serves.

    Raises:
        LaunchFailed, StartupTimeout: As ``wait_until_serving``.

    Cancellation: connections are closed.
    """
    answered = trio.Event()

    async def ask() -> None:
        await find_answer(preview.socket_address, candidate.prepared.plan.health_path)
        answered.set()

    with trio.move_on_after(preview.startup_timeout_s):
        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await wait_any(answered, candidate.ended)
            asking.cancel_scope.cancel()
    await _check(preview, candidate, "answer", is_well=answered.is_set())


async def _check(preview: LivePreview, candidate: ServerProcess, verb: str, *, is_well: bool) -> None:
    """No await where all is well: then what was seen is still so when the caller acts on it."""
    if candidate.ended.is_set():
        raise await _explain(preview, candidate)
    if not is_well:
        timeout_s = preview.startup_timeout_s
        sentence = f"The new process did not {verb} within {timeout_s:g} s of its start."
        raise StartupTimeout(sentence, timeout_s=timeout_s)


async def _explain(preview: LivePreview, candidate: ServerProcess) -> LaunchFailed:
    ended = candidate.exit or Exit()
    if candidate.failure is not None:
        return candidate.failure
    if was_killed_for_memory(preview, candidate.process):
        return memory_error(candidate.prepared.settings)
    preview.log.say(f"process {candidate.process.identity.pid} ended with {ended}", Level.ERROR)
    lines = candidate.output(preview)
    return await explain_exit(preview, ended, candidate.prepared.plan.services, lines, served=False)
