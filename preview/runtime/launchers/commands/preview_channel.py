"""The control channel of a start command, shared by all of its processes.

Each process reads the service's orders without taking them from the socket, so that the others find them too: the last
one counts. ``PREVIEW_CONTROL`` is ``FD:INODE``; the inode shows whether the number still means the channel. Once a
process has offered reports, it is ``FD:INODE:offered``, so that those it starts do not repeat that.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import os
import select
import socket
from typing import Any

VARIABLE = "PREVIEW_CONTROL"
_ORDER = b"requests "
_ON = b"requests on "
# Orders take 30 bytes or so, and come when the owner changes the capture. After more the last ones are not seen.
_USUAL_BYTES, _MOST_BYTES = 4096, 65_536


class SharedChannel:
    """The channel that a process has inherited.

    Args:
        descriptor: Its number.
        inode: The socket's inode.
        make_reports: Returns reports for a function that sends a message, and a mark; see ``preview_requests.Reports``.

    Attributes:
        tracer: Reports spans; None if the launch has not asked for them.
    """

    def __init__(self, descriptor: int, inode: int, make_reports: Any) -> None:
        self.descriptor = descriptor
        self._inode = inode
        self._make_reports = make_reports
        self.tracer: Any = None
        self._socket: socket.socket | None = None
        # Of this process: a fork has ids and counts of its own.
        self._reports: tuple[int, str, Any] = (0, "", None)

    @property
    def is_open(self) -> bool:
        """False once the program has closed the descriptor, or uses its number for something else."""
        try:
            return os.fstat(self.descriptor).st_ino == self._inode
        except OSError:
            return False

    @property
    def reports(self) -> Any:
        """The reports of this process; None while the service asks for none."""
        mark = self._mark()
        if not mark:
            return None
        pid = os.getpid()
        if self._reports[:2] != (pid, mark):
            self._reports = (pid, mark, self._make_reports(self.send, mark))
        return self._reports[2]

    def offer(self) -> None:
        """Tell the service once that reports are possible."""
        if not os.environ.get(VARIABLE, "").endswith(":offered"):
            os.environ[VARIABLE] = f"{self.descriptor}:{self._inode}:offered"
            self.send(b"reports\n")

    def _opened(self) -> socket.socket | None:
        if not self.is_open:
            return None
        if self._socket is None:
            self._socket = socket.socket(fileno=self.descriptor)
        return self._socket

    def _mark(self) -> str:
        """Return the mark of the last order; empty if reports are off."""
        channel = self._opened()
        if channel is None:
            return ""
        heard = b""
        try:
            for most in (_USUAL_BYTES, _MOST_BYTES):
                heard = channel.recv(most, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                if len(heard) < most:
                    break
        except OSError:
            return ""
        # What follows the last line end is not complete.
        orders = [line for line in heard.split(b"\n")[:-1] if line.startswith(_ORDER)]
        last = orders[-1] if orders else b""
        mark = last[len(_ON) :] if last.startswith(_ON) else b""
        return mark.decode("ascii") if mark.isalnum() else ""

    def send(self, message: bytes) -> bool:
        """Send a message as a whole if there is room; return whether it was sent. Never waits."""
        channel = self._opened()
        if channel is None:
            return False
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        try:
            return bool(poll.poll(0)) and bool(channel.send(message, socket.MSG_DONTWAIT))
        except OSError:
            return False


def open_channel(make_reports: Any) -> SharedChannel | None:
    """Return the inherited channel; None if this process has none."""
    descriptor, _, rest = os.environ.get(VARIABLE, "").partition(":")
    inode = rest.partition(":")[0]
    if not descriptor.isdecimal() or not inode.isdecimal():
        return None
    channel = SharedChannel(int(descriptor), int(inode), make_reports)
    return channel if channel.is_open else None
