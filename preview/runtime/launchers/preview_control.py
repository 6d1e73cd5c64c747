"""The child's end of the control channel: it says that it serves, and hears when to release the socket.

To the service: ``ready`` when the server accepts on the inherited socket, ``closed`` when it does not any more, and
``drained`` when it has answered all that it has accepted. From the service: ``drain``. Each is a line. Runs in the
child: the standard library and nothing else.
"""

from __future__ import annotations

import os
import select
import socket

OPTION = "--control"
# A connection on which nothing is under way is kept so long while the server drains: a request that its client is just
# sending would be lost with it.
SILENT_S = 0.5

_DRAIN = b"drain\n"
# More is no message of the service's.
_MOST_BYTES = 64


class Control:
    """The channel; one without a socket says nothing, and hears nothing.

    Attributes:
        draining: Whether the service has told it to let go.
    """

    def __init__(self, channel: socket.socket | None) -> None:
        self._channel = channel
        self._heard = b""
        self.draining = False

    def fileno(self) -> int:
        """Return the descriptor to watch; -1 where there is none."""
        return -1 if self._channel is None else self._channel.fileno()

    def tell(self, word: str) -> None:
        """Send one word; nothing happens where nobody listens any more."""
        if self._channel is not None:
            try:
                self._channel.send(word.encode("ascii") + b"\n")
            except OSError:
                return

    def hear(self) -> bool:
        """Take in what has come, without waiting. Whether there is more to come: the service is still there."""
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
        """Return whether a connection has unread data, or its end."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))


def open_control(arguments: list[str]) -> Control:
    """Return the channel whose descriptor follows ``--control``; children do not inherit it."""
    number = arguments[arguments.index(OPTION) + 1] if OPTION in arguments else ""
    if not number.isdecimal():
        return Control(None)
    descriptor = int(number)
    os.set_inheritable(descriptor, False)
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)
    return Control(channel)
