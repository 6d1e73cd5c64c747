r"""Marks printed lines: with the id of the request that is being handled, and those of standard error.

The id is the value of ``X-Request-Id``. A mark is an operating system command (ECMA-48 8.3.89), ``ESC ] 7473 ; id ESC
\`` or ``ESC ] 7473 ; id ; 2 ESC \`` or ``ESC ] 7473 ; ; 2 ESC \``, which the service removes again
(``preview/logs/model/events.py``). A request's line is written as a whole, as to a terminal, because ``print`` writes
its parts separately and other threads print too.

Runs in the child, on the project's own interpreter: standard library only. The stream objects stay the same, except for
``write`` and ``flush``. So code that already has a stream writes marks too, and ``buffer``, ``fileno`` and the rest are
unchanged. Output that bypasses the streams (``os.write``, other programs, ``sys.stdout.buffer``) gets no marks.

Also reports requests at the preview's own port, which the service does not see: ``Reports``.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from contextvars import ContextVar
from typing import Any

# The service's own rule: an RFC 9110 section 5.6.2 token of at most 64 characters.
_SANE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
# Limit for a line without an end, which is then written in parts.
_MOST_HELD = 8192
_OWN = "preview_marks"
# In the mark of a line of standard error.
_TO_STDERR = ";2"
# Starts of lines within a text; each state of a progress bar is a line, too.
_LINE_START = re.compile(r"(?<=\n)(?=.)|(?<=\r)(?=[^\r\n])", re.DOTALL)
# Requests that are reported in one second; the service records no more.
_MOST_PER_S = 100
_MOST_TARGET = 1024
_UNSENT = re.compile(rb"[^!-~]")
# The service's own look whether the application serves.
_PROBE = "preview-probe"


def mark_of(name: str, stream: str = "") -> str:
    """Return the text before a line of this request, or of none."""
    return f"\x1b]7473;{name}{stream}\x1b\\"


_ERROR_MARK = mark_of("", _TO_STDERR)


class Request:
    """A request that is being handled.

    Args:
        name: Its id.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # Incomplete lines, by the stream's ``write`` function and the stream's part of the mark.
        self._held: dict[tuple[Any, str], str] = {}
        self._open = True

    def write(self, write: Any, text: str, stream: str) -> None:
        """Write all complete lines; keep the incomplete rest while the request is being handled."""
        text = self._held.pop((write, stream), "") + text
        end = text.rfind("\n") + 1 if self._open and len(text) < _MOST_HELD else len(text)
        if end < len(text):
            self._held[write, stream] = text[end:]
        if end:
            mark = mark_of(self._name, stream)
            # No mark after the last line end, because the next line may belong to another request.
            write(mark + text[: end - 1].replace("\n", "\n" + mark) + text[end - 1])

    def release(self, write: Any, stream: str) -> None:
        """Write the kept incomplete line."""
        text = self._held.pop((write, stream), "")
        if text:
            write(mark_of(self._name, stream) + text)

    def close(self) -> None:
        """End the request and write incomplete lines. Tasks that it started may still print with its mark."""
        self._open = False
        for write, stream in list(self._held):
            self.release(write, stream)


# Tasks and threads that handle a part of the request run in a copy of the context.
_request: ContextVar[Request | None] = ContextVar("preview_request", default=None)


def mark_output(log: str | None = None) -> None:
    """Make standard output and error mark their lines. A second call changes nothing.

    Args:
        log: ``DEVICE:INODE`` of the log's pipe. A stream that is anything else stays as it is: a file, or what another
            program reads. None if both are the log.
    """
    for stream, part in ((sys.stdout, ""), (sys.stderr, _TO_STDERR)):
        if stream is not None and not hasattr(stream, _OWN) and (log is None or _leads_to(stream, log)):
            _let_mark(stream, part)


def _leads_to(stream: Any, log: str) -> bool:
    try:
        found = os.fstat(stream.fileno())
    except Exception:  # noqa: BLE001  whatever the program has put there
        return False
    return f"{found.st_dev}:{found.st_ino}" == log


def _let_mark(stream: Any, part: str) -> None:
    write, flush = stream.write, stream.flush

    def marking(text: str) -> int:
        request = _request.get()
        if not text or not isinstance(text, str):
            count: int = write(text)
            return count
        if request is not None:
            request.write(write, text, part)
        else:
            write(_marked(text) if part else text)
        return len(text)

    def flushing() -> None:
        request = _request.get()
        if request is not None:
            request.release(write, part)
        flush()

    try:
        setattr(stream, _OWN, True)
        stream.write, stream.flush = marking, flushing
    except AttributeError:
        # Not a stream of the interpreter; leave it unchanged.
        return


def _marked(text: str) -> str:
    """Return what to write to standard error outside of a request, whose incomplete lines are not kept.

    Each part of a line has a mark, as another program may have ended the line. The service counts only the first one.
    """
    if "\r" in text:
        text = _LINE_START.sub(lambda _: _ERROR_MARK, text)
    elif "\n" in text[:-1]:
        text = text[:-1].replace("\n", "\n" + _ERROR_MARK) + text[-1]
    return _ERROR_MARK + text


class Reports:
    """Reports of requests that the service has not carried, one line for each.

    Args:
        send: Sends a message over the control channel, if there is room; returns whether it did.
        mark: Start of the ids that the service gives to the requests that it carries.
    """

    def __init__(self, send: Any, mark: str) -> None:
        self._send = send
        self._mark = mark
        self._prefix = f"direct-{os.urandom(4).hex()}-"
        self._count = itertools.count(1)
        self._dropped = 0
        self._left = 0
        self._second = 0

    def name(self, given: str, agent: str) -> str:
        """Return the id to report a request with; empty for a request that is not reported.

        Args:
            given: ``X-Request-Id``, or nothing.
            agent: ``User-Agent``, or nothing.
        """
        if given.startswith(self._mark) or agent == _PROBE:
            return ""
        return given if _SANE.fullmatch(given) else self._prefix + str(next(self._count))

    def report(self, name: str, method: str, target: bytes, status: int, took_s: float) -> None:
        """Report a request that has ended. Never waits; what finds no room is counted in the next report.

        Args:
            name: From ``name``.
            method: Method.
            target: Path and query.
            status: Status of the response; 0 if there was none.
            took_s: Seconds from its arrival to its end.
        """
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._left = second, _MOST_PER_S
        if self._left:
            self._left -= 1
            shown = _UNSENT.sub(lambda one: b"%%%02X" % ord(one.group()), target[:_MOST_TARGET])[:_MOST_TARGET]
            dropped, took = min(self._dropped, 9_999_999), int(took_s * 1e6)
            line = f"request {dropped} {method} {status} {took} {name} {shown.decode('ascii')}\n"
            if self._send(line.encode("ascii", "replace")):
                self._dropped = 0
                return
        self._dropped += 1


def read_asgi_request(scope: Any) -> Any:
    """Return the request's id and its client's name, or nothing for each."""
    number = agent = ""
    for name, value in scope.get("headers", ()):
        if name == b"x-request-id":
            number = number or value.decode("latin-1")
        elif name == b"user-agent":
            agent = value.decode("latin-1")
    return number, agent


def open_asgi_request(scope: Any) -> Request | None:
    """Set the scope's request as the current one of this task, and of tasks that it starts."""
    return open_request(read_asgi_request(scope)[0])


def open_wsgi_request(environ: Any) -> Request | None:
    """Set the environment's request as the current one of this thread, until its next request."""
    return open_request(environ.get("HTTP_X_REQUEST_ID", ""))


def open_request(name: str) -> Request | None:
    """Set the request with this id as the current one; none if the id is not valid."""
    request = Request(name) if _SANE.fullmatch(name) else None
    _request.set(request)
    return request
