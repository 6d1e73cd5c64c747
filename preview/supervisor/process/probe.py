"""Asking a preview whether it answers: readiness by connecting at once and waiting, liveness by one question.

The service holds the listening socket, so a connection succeeds before the app is ready and waits in its backlog: the
first answer *is* readiness, without polling.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import h11
import trio

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
    """What an application that serves has answered.

    Attributes:
        path: What was asked for.
        status: Its status code.
    """

    path: str
    status: int

    @property
    def well(self) -> bool:
        """Whether that is an answer below 500."""
        return self.status < 500


class ProbeFailed(Exception):
    """No HTTP answer: refused, closed, or not HTTP."""


async def ask(address: Address, path: str) -> int:
    """The status code of ``GET path``.

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
