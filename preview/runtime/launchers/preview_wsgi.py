"""Serves a WSGI application with waitress on the inherited socket, and releases it without losing a request.

Runs in the child, on the project's own interpreter: standard library and waitress only.
"""

from __future__ import annotations

import importlib
import logging
import socket
import sys
import time
from typing import Any

# Enough for a page with images and a few streams; threads are started once.
_THREADS = 16
_LOOK_S = 0.01
# Limit up to which the first part of a body is copied, to be sent together with the head.
_JOINED_BYTES = 65_536
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, ord('"'))}


def serve_wsgi(application: Any, descriptor: int, control: Any, silent_s: float) -> None:
    """Serve until SIGTERM, or until the service orders a drain and all is answered; log one line per request.

    Args:
        application: The WSGI callable.
        descriptor: Number of the listening socket.
        control: The channel, see ``preview_control.Control``.
        silent_s: Seconds for which idle connections are kept open during a drain.
    """
    waitress = importlib.import_module("waitress")
    # waitress warns about each request that waits for a thread, even for a millisecond.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # Sockets that the server's loop watches.
    watched: dict[int, Any] = {}
    # poll(2): the service gives its own number of the socket, and select(2) takes none above 1023.
    server = waitress.create_server(
        application,
        map=watched,
        sockets=[socket.socket(fileno=descriptor)],
        threads=_THREADS,
        ident=None,
        asyncore_use_poll=True,
    )
    server.channel_class = _logging(server.channel_class, control)
    if control.fileno() >= 0:
        watched[control.fileno()] = _Ear(control, watched, server.asyncore.ExitNow)
    from preview_serving import stop_watching  # type: ignore[import-not-found]  # noqa: PLC0415

    stop_watching()
    control.tell("ready")
    try:
        server.run()
    except server.asyncore.ExitNow:
        _drain(server, watched, control, silent_s)


class _Ear:
    """The control channel as a member of the server's loop; an order to drain leaves the loop by ``ExitNow``."""

    accepting = False

    def __init__(self, control: Any, watched: dict[int, Any], leave: type[BaseException]) -> None:
        self._control = control
        self._watched = watched
        self._leave = leave

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        if not self._control.hear() or self._control.draining:
            self.handle_close()
        if self._control.draining:
            raise self._leave

    def handle_expt_event(self) -> None:
        """Do nothing: no out-of-band data is sent."""

    def handle_close(self) -> None:
        self._watched.pop(self._control.fileno(), None)


def _logging(channel_class: Any, control: Any) -> Any:
    """Return the class of connections: it logs each response, and closes the connection after one during a drain."""
    # The module is in this file's folder.
    from preview_requests import open_request, open_wsgi_request  # type: ignore[import-not-found]  # noqa: PLC0415

    class Task(channel_class.task_class):  # type: ignore[misc]  # the project's own waitress
        def execute(self) -> None:
            environ = self.get_environment()
            reports = control.reports
            given, agent = environ.get("HTTP_X_REQUEST_ID", ""), environ.get("HTTP_USER_AGENT", "")
            name = "" if reports is None else reports.name(given, agent)
            self.marked = open_request(name) if name else open_wsgi_request(environ)
            # Applications may change the environment.
            method, target = environ["REQUEST_METHOD"], target_of(environ) if name else b""
            self.began = time.perf_counter()
            active = None if control.tracer is None else begin_trace(control.tracer, environ)
            try:
                super().execute()
            finally:
                if active is not None:
                    active.end(int(self.status[:3]) if self.wrote_header and self.status[:3].isdigit() else 500)
                if name:
                    self._report(reports, name, method, target)

        def _report(self, reports: Any, name: str, method: str, target: bytes) -> None:
            # waitress answers an error before the head with this status.
            status = int(self.status[:3]) if self.wrote_header and self.status[:3].isdigit() else 500
            took_s = time.perf_counter() - self.began
            reports.report(name, method, target, status, took_s)

        def build_response_header(self) -> Any:
            self.took_ms = (time.perf_counter() - self.began) * 1000
            if control.draining:
                # The same as a client's request to close the connection.
                self.request.headers["CONNECTION"] = "close"
            return super().build_response_header()

        def write(self, data: bytes) -> None:
            if self.wrote_header:
                super().write(data)
                return
            self._write_first(data)
            # Logged after the first part, which is usually the whole body: the client does not wait for the log.
            sys.stdout.write(_line(self.get_environment(), self.status, self.took_ms) + "\n")
            sys.stdout.flush()
            if self.marked is not None:
                self.marked.close()

        def _write_first(self, data: bytes) -> None:
            """Write head and first part in one call, so that the client wakes up once."""
            if len(data) > _JOINED_BYTES:
                super().write(data)
                return
            pieces: list[bytes] = []
            self.channel.write_soon = pieces.append
            try:
                super().write(data)
            finally:
                del self.channel.write_soon
            self.channel.write_soon(b"".join(pieces))

    class Channel(channel_class):  # type: ignore[misc]  # as above
        task_class = Task

    return Channel


def _drain(server: Any, watched: dict[int, Any], control: Any, silent_s: float) -> None:
    """Stop accepting, and answer accepted requests. The service limits the time."""
    server.accepting = False
    control.tell("closed")
    silent_until = time.monotonic() + silent_s
    try:
        while server.active_channels:
            server.asyncore.loop(timeout=_LOOK_S, map=watched, use_poll=True, count=1)
            if time.monotonic() >= silent_until:
                for channel in list(server.active_channels.values()):
                    if _is_idle(channel, control):
                        channel.handle_close()
    except (SystemExit, KeyboardInterrupt):
        server.task_dispatcher.shutdown()
        return
    control.tell("drained")
    server.task_dispatcher.shutdown()


def _is_idle(channel: Any, control: Any) -> bool:
    """Return whether no request is active or arriving, and no response is unsent."""
    under_way = channel.requests or channel.request is not None or channel.total_outbufs_len
    return not under_way and not control.has_more(channel.socket.fileno())


def begin_trace(tracer: Any, environ: dict[str, Any]) -> Any:
    """Return a new request that is traced; None for one that is not."""
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    return tracer.begin(
        environ.get("REQUEST_METHOD", "GET"),
        path.decode("utf-8", "replace"),
        environ.get("HTTP_TRACEPARENT", ""),
        environ.get("HTTP_X_REQUEST_ID", ""),
        environ.get("HTTP_USER_AGENT", ""),
    )


def target_of(environ: dict[str, Any]) -> bytes:
    """Return path and query of a request, as they may have been sent."""
    target: str = (
        (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).replace("%", "%25").replace("?", "%3F")
    )
    if environ.get("QUERY_STRING"):
        target += "?" + environ["QUERY_STRING"]
    return target.encode("latin-1", "replace")


def _line(environ: dict[str, Any], status: str, took_ms: float) -> str:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if environ.get("QUERY_STRING"):
        path += "?" + environ["QUERY_STRING"]
    # WSGI strings are bytes decoded as Latin-1 (PEP 3333). Characters that could forge a log line are shown as hex.
    shown = path.encode("latin-1", "replace").decode("utf-8", "replace").translate(_CONTROL).replace(" ", "%20")
    request = f"{environ.get('REQUEST_METHOD')} {shown} {environ.get('SERVER_PROTOCOL')}"
    return f'{environ.get("REMOTE_ADDR", "-")} - "{request}" {status} ({took_ms:.0f} ms)'
