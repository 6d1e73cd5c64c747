"""The child's end of the control channel: it reports that it serves, and receives the order to release the socket.

Messages are lines. To the service: ``ready`` when the server accepts on the inherited socket, ``closed`` when it has
stopped accepting, and ``drained`` when it has answered all accepted requests. From the service: ``drain``; and
``routes N``, answered by a line ``route N …`` for each route of the application and ``routes N`` at the end; and
``requests on MARK`` or ``requests off``, after which requests at the preview's own port are reported, or are not (see
``preview_requests.Reports``); and ``profile N SECONDS``, answered after that time (see ``preview_profile.py``). Runs in
the child: standard library only.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from contextlib import suppress
from typing import Any

OPTION = "--control"
# Variable of a process that reports spans.
TRACE = "PREVIEW_TRACE"
# Seconds for which idle connections are kept open during a drain: closing one at once would lose a request that its
# client is just sending.
SILENT_S = 0.5

_DRAIN = b"drain"
_ROUTES = b"routes "
_PROFILE = b"profile "
_REQUESTS_ON = b"requests on "
_REQUESTS_OFF = b"requests off"
# One message in the socket, so that no other message can come between its parts.
_SENT_BYTES = 4096
# The service waits as long for a report.
_SEND_MS = 2000
# No message of the service is longer.
_MOST_BYTES = 64


class Control:
    """The control channel; without a socket it sends and receives nothing.

    Attributes:
        draining: Whether the service has ordered a drain.
        application: The application that is served, whose routes the service may ask for.
        reports: Reports requests, while the service asks for it; else None.
        tracer: Reports spans; None if the launch has not asked for them.
        roots: Folders of the project's own code.
    """

    def __init__(self, channel: socket.socket | None, roots: tuple[str, ...] = ()) -> None:
        self.roots = roots
        self._channel = channel
        self._heard = b""
        self.draining = False
        self.application: Any = None
        self.reports: Any = None
        self.tracer: Any = None

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
        *lines, rest = (self._heard + data).split(b"\n")
        self._heard = rest[-_MOST_BYTES:]
        for line in lines:
            if line == _DRAIN:
                self.draining = True
            elif line.startswith(_ROUTES) and line[len(_ROUTES) :].isdigit():
                self._start_report(line[len(_ROUTES) :])
            elif line.startswith(_PROFILE):
                self._start_profile(line[len(_PROFILE) :].split(b" "))
            elif line == _REQUESTS_OFF:
                self.reports = None
            elif line.startswith(_REQUESTS_ON) and line[len(_REQUESTS_ON) :].isalnum():
                mark = line[len(_REQUESTS_ON) :].decode("ascii")
                self.reports = load_beside("preview_requests").Reports(self.send_if_possible, mark)
        return bool(data)

    def _start_report(self, number: bytes) -> None:
        """Report the routes from a thread: listing them may import modules of the application."""
        import threading  # noqa: PLC0415  not needed for a launch

        try:
            threading.Thread(target=self._report, args=(number,), daemon=True).start()
        except RuntimeError:  # No thread is available.
            return

    def _start_profile(self, words: list[bytes]) -> None:
        with suppress(Exception):
            number, seconds = map(int, words)
            load_beside("preview_profile", "tracing").start(number, seconds, self.roots, self._send_when_possible)

    def _report(self, number: bytes) -> None:
        routes = load_beside("preview_routes").list_routes(self.application)
        lines = [b"route %s %s\n" % (number, route.encode("utf-8", "replace")) for route in routes]
        message = b""
        for line in [*lines, b"routes %s\n" % number, b""]:
            if message and (not line or len(message) + len(line) > _SENT_BYTES):
                if not self._send_when_possible(message):
                    return
                message = b""
            message += line

    def send_if_possible(self, message: bytes) -> bool:
        """Send a message if there is room for it; return whether it was sent."""
        return self._send_when_possible(message, 0)

    def _send_when_possible(self, message: bytes, within_ms: int = _SEND_MS) -> bool:
        """Send a part of a report; return False if the service does not read.

        A socket is writable while most of its buffer is empty, so ``tell`` always finds space for its few bytes.
        """
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        try:
            return bool(poll.poll(within_ms)) and self._channel is not None and bool(self._channel.send(message))
        except OSError:
            return False

    @staticmethod
    def has_more(descriptor: int) -> bool:
        """Return whether a connection has unread data, or was closed by the client."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))


def load_beside(name: str, folder: str = "") -> Any:
    """Import a module of this file's folder, or of one in it: neither is on the path beside the application."""
    if name not in sys.modules:
        import importlib.util  # noqa: PLC0415  not needed for a launch

        here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  loads no further module
        path = os.path.join(here, folder, name + ".py")  # noqa: PTH118  as above
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(name)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def open_control(arguments: list[str]) -> Control:
    """Return the channel for the descriptor after ``--control``; child processes do not inherit it."""
    number = arguments[arguments.index(OPTION) + 1] if OPTION in arguments else ""
    if not number.isdecimal():
        return Control(None)
    descriptor = int(number)
    os.set_inheritable(descriptor, False)
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)
    # The project's folder, and the application's in it.
    control = Control(channel, (os.getcwd(), *arguments[1:2]))  # noqa: PTH109  loads no further module
    if os.environ.get(TRACE) == "1":
        with suppress(Exception):
            control.tracer = load_beside("preview_trace", "tracing").start(control.send_if_possible)
    return control
