"""The child's end of the control channel: it reports that it serves, and receives the order to release the socket.

Messages are lines. To the service: ``ready`` when the server accepts on the inherited socket, ``closed`` when it has
stopped accepting, and ``drained`` when it has answered all accepted requests. From the service: ``drain``. Runs in the
child: standard library only.
"""

from __future__ import annotations

import os
import select
import socket

OPTION = "--control"
# Seconds for which idle connections are kept open during a drain: closing one at once would lose a request that its
# client is just sending.
SILENT_S = 0.5

_DRAIN = b"drain\n"
# No message of the service is longer.
_MOST_BYTES = 64


class Control:
    """The control channel; without a socket it sends and receives nothing.

    Attributes:
        draining: Whether the service has ordered a drain.
    """

    def __init__(self, channel: socket.socket | None) -> None:
        self._channel = channel
        self._heard = b""
        self.draining = False

    def fileno(self) -> int:
        """Return the descriptor to watch; -1 without a socket."""
        return -1 if self._channel is None else self._channel.fileno()

    def tell(self, word: str) -> None:
        """Send one message; errors are ignored, because the service may have closed the channel."""
        if self._channel is not None:
            try:
                self._channel.send(word.encode("ascii") + b"\n")
            except OSError:
                return

    def hear(self) -> bool:
        """Read available data without waiting; return False once the service has closed the channel."""
        if self._channel is None:
            return False
        try:
            data = self._channel.recv(_MOST_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._heard = (self._heard + data)[-_MOST_BYTES:]
        self.draining = self.draining or _DRAIN in self._heard
        return bool(data)

    @staticmethod
    def has_more(descriptor: int) -> bool:
        """Return whether a connection has unread data, or was closed by the client."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))


def open_control(arguments: list[str]) -> Control:
    """Return the channel for the descriptor after ``--control``; child processes do not inherit it."""
    number = arguments[arguments.index(OPTION) + 1] if OPTION in arguments else ""
    if not number.isdecimal():
        return Control(None)
    descriptor = int(number)
    os.set_inheritable(descriptor, False)
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)
    return Control(channel)
