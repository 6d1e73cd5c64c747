"""Reports spans of each request to the service: where its time goes, without a package or a change of the project.

A span is sent as one line over the control channel, if there is room: the application never waits for the service. See
``preview/tracing/report.py``. ``preview_trace_hooks`` measures the libraries.

Every function here may fail without any effect on the application: the span is left out.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import time
from contextvars import ContextVar
from typing import Any

_MOST_PER_S = 2000
# Spans of one request; later ones are only counted.
_MOST_IN_REQUEST = 1000
# A long request is sent in parts.
_PART = 50
_MOST_LINE = 8192
# The channel has at least this room when it is writable.
_MOST_MESSAGE = 16_384
_MOST_DETAIL = 2000
_MOST_NAME = 200
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
# Requests of the service itself.
_PROBE = "preview-probe"
_CHECK = ".check"


class Active:
    """A request that is being handled.

    Attributes:
        trace_id: Its trace.
        span_id: Its own span, in which all others happen.
    """

    __slots__ = (
        "_began", "_name", "_parent_id", "_request_id", "_start_us", "_tracer", "count", "span_id", "spans", "trace_id",
    )  # fmt: skip

    def __init__(self, tracer: Any, trace_id: str, parent_id: str, name: str, request_id: str) -> None:
        self.trace_id = trace_id
        self.span_id = os.urandom(8).hex()
        self.spans: list[Any] = []
        self.count = 0
        self._tracer = tracer
        self._parent_id = parent_id
        self._name = name
        self._request_id = request_id
        self._start_us = time.time_ns() // 1000
        self._began = time.perf_counter_ns()

    def add(
        self, kind: str, began: int, name: str, detail: str = "", status: int = 0, error: str = "", span_id: str = ""
    ) -> None:
        """Report a piece of work that ends now.

        Args:
            kind: As ``preview.tracing.Kind``.
            began: ``time.perf_counter_ns()`` at its start.
            name: Short name.
            detail: Statement, or address without query.
            status: HTTP status.
            error: Name of the exception.
            span_id: Its id, if others know it already.
        """
        self.count += 1
        if self.count > _MOST_IN_REQUEST:
            self._tracer.dropped += 1
            return
        start_us = self._start_us + (began - self._began) // 1000
        took_us = (time.perf_counter_ns() - began) // 1000
        span_id = span_id or os.urandom(8).hex()
        self.spans.append(
            (kind, self.trace_id, span_id, self.span_id, start_us, took_us, name, detail, status, error, "")
        )
        if len(self.spans) >= _PART:
            self.flush()

    def end(self, status: int, error: str = "", name: str = "") -> None:
        """Report the request itself. Nothing follows."""
        try:
            if current.get() is self:
                current.set(None)
            took_us = (time.perf_counter_ns() - self._began) // 1000
            self.spans.append(
                ("request", self.trace_id, self.span_id, self._parent_id, self._start_us, took_us,
                 name or self._name, "", status, error, self._request_id)
            )  # fmt: skip
            self.flush()
        except Exception:  # noqa: BLE001  the span is left out
            self._tracer.dropped += 1

    def flush(self) -> None:
        """Send the spans so far."""
        spans, self.spans = self.spans, []
        self._tracer.send(spans)


current: ContextVar[Active | None] = ContextVar("preview_trace", default=None)
# A library that is measured uses another one that is measured too: only the outer one is reported.
quiet: ContextVar[bool] = ContextVar("preview_trace_quiet", default=False)


class Tracer:
    """Sends spans.

    Args:
        send: Sends a message over the control channel, if there is room; returns whether it did.

    Attributes:
        dropped: Spans that were not sent since the last one that was.
    """

    def __init__(self, send: Any) -> None:
        self.dropped = 0
        self._send = send
        self._left = 0
        self._second = 0

    def begin(self, method: str, path: str, parent: str, request_id: str, agent: str) -> Active | None:
        """Return a new current request; None for one that is not traced.

        Args:
            method: Method.
            path: Path without query.
            parent: ``traceparent``, or nothing.
            request_id: ``X-Request-Id``, or nothing.
            agent: ``User-Agent``, or nothing.
        """
        try:
            if agent == _PROBE or request_id.endswith(_CHECK):
                current.set(None)
                return None
            # A thread may be left so by an interrupted statement of its last request.
            quiet.set(False)
            found = _PARENT.match(parent)
            trace_id, parent_id = found.groups() if found else (os.urandom(16).hex(), "")
            active = Active(self, trace_id, parent_id, f"{method} {path}"[:_MOST_NAME], request_id)
            current.set(active)
        except Exception:  # noqa: BLE001  this request is not traced
            return None
        return active

    def send(self, spans: list[Any]) -> None:
        """Send spans without waiting; those without room are counted in the next report."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._left = second, _MOST_PER_S
        message, held = b"", 0
        for span in spans:
            if self._left <= 0:
                self.dropped += 1
                continue
            self._left -= 1
            line = self._line(span)
            if held and len(message) + len(line) > _MOST_MESSAGE:
                self._deliver(message, held)
                message, held = b"", 0
            message += line
            held += 1
        if held:
            self._deliver(message, held)

    def _deliver(self, message: bytes, count: int) -> None:
        # The count of the first line tells of those before it.
        reported = min(self.dropped, 9_999_999)
        if self._send(b"span %d %b" % (reported, message[len(b"span 0 ") :])):
            self.dropped = 0
        else:
            self.dropped += count

    @staticmethod
    def _line(span: Any) -> bytes:
        kind, trace_id, span_id, parent_id, start_us, took_us, name, detail, status, error, request_id = span
        for most in (_MOST_DETAIL, 1000, 0):
            given = (kind, trace_id, span_id, parent_id, start_us, took_us, name[:_MOST_NAME], detail[:most], status,
                     error[:100], request_id)  # fmt: skip
            line = b"span 0 %b\n" % json.dumps(given, separators=(",", ":")).encode("ascii", "replace")
            if len(line) <= _MOST_LINE:
                break
        return line


def start(send: Any) -> Any:
    """Measure the libraries that the project uses, and return the tracer; None if that fails.

    Args:
        send: See ``Tracer``.
    """
    try:
        tracer = Tracer(send)
        for name in ("preview_trace_work", "preview_trace_calls", "preview_trace_hooks"):
            _load(name)
        sys.modules["preview_trace_hooks"].install()
    except Exception:  # noqa: BLE001  the application runs without
        return None
    return tracer


def _load(name: str) -> Any:
    """Import a module of this file's folder, which is not on the path."""
    if name not in sys.modules:
        folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  loads no further module
        spec = importlib.util.spec_from_file_location(name, os.path.join(folder, name + ".py"))  # noqa: PTH118
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def route_of(scope: Any) -> str:
    """Return ``METHOD /route/{of}`` for an ASGI scope whose framework has noted the route; else nothing."""
    try:
        path = getattr(scope.get("route"), "path", "")
        return f"{scope.get('method', 'GET')} {path}" if isinstance(path, str) and path else ""
    except Exception:  # noqa: BLE001  the path is shown
        return ""
