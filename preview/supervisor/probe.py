"""Asking a preview whether it answers: readiness by connecting at once and waiting, liveness by one question.

The service holds the listening socket, so a connection succeeds before the app is ready and waits in its backlog: the
first answer *is* readiness, without polling.
"""

from __future__ import annotations

import h11
import trio

__all__ = ["ProbeFailed", "ask", "wait_until_ready"]

# An answer that is not there yet although the connection was taken and closed: look again soon, then less often.
_FIRST_PAUSE_S = 0.02
_LAST_PAUSE_S = 0.5
# A status line and headers; a probe needs no body.
_MAX_HEAD_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024

Address = tuple[str, int]


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
            return await _exchange(stream, path)
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise ProbeFailed(str(error) or type(error).__name__) from error


async def _exchange(stream: trio.SocketStream, path: str) -> int:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    request = h11.Request(
        method="GET",
        target=path,
        # Hosts that check the name (Django) know this one. The agent lets an app leave probes out of its statistics.
        headers=[("Host", "localhost"), ("User-Agent", "preview-probe"), ("Accept", "*/*"), ("Connection", "close")],
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
