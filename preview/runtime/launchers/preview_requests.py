r"""Ties what is printed to the request that is handled meanwhile: its id stands in front of each line.

The id is that of the request's ``X-Request-Id``. It is written as an operating system command (ECMA-48 8.3.89),
``ESC ] 7473 ; id ESC \``, which the service takes off again (``preview/logs/model/events.py``). A line of a request
goes out whole, as to a terminal: ``print`` writes each of its words by itself, and other threads print too.

Runs in the child, on the project's own interpreter: the standard library and nothing else. The streams stay the objects
that they are, but for ``write`` and ``flush``: who holds them already writes marks too, and ``buffer``, ``fileno`` and
all else is as it was. What goes around them (``os.write``, programs that are started, ``sys.stdout.buffer``) has none.
"""

from __future__ import annotations

import re
import sys
from contextvars import ContextVar
from typing import Any

# As the service has it: RFC 9110 section 5.6.2, and no longer than it takes.
_SANE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
# A line without an end is not held for ever.
_MOST_HELD = 8192
_OWN = "preview_marks"


class Request:
    """A request that is handled.

    Attributes:
        mark: Before each of its lines.
    """

    def __init__(self, name: str) -> None:
        self.mark = f"\x1b]7473;{name}\x1b\\"
        # By what it is written with: the beginning of a line whose end was not printed yet.
        self._held: dict[Any, str] = {}
        self._open = True

    def write(self, write: Any, text: str) -> None:
        """Write the lines that ``text`` ends; hold what is left, while the request is answered."""
        text = self._held.pop(write, "") + text
        end = text.rfind("\n") + 1 if self._open and len(text) < _MOST_HELD else len(text)
        if end < len(text):
            self._held[write] = text[end:]
        if end:
            # Not behind the last line end: the next line may be another request's.
            write(self.mark + text[: end - 1].replace("\n", "\n" + self.mark) + text[end - 1])

    def release(self, write: Any) -> None:
        """Write what is held."""
        text = self._held.pop(write, "")
        if text:
            write(self.mark + text)

    def close(self) -> None:
        """Close the answered request: release everything. Programs that it started may continue to print."""
        self._open = False
        for write in list(self._held):
            self.release(write)


# Tasks and threads that a request is handed to have a copy of the context.
_request: ContextVar[Request | None] = ContextVar("preview_request", default=None)


def mark_output() -> None:
    """Let standard output and error mark their lines. A second call changes nothing."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not hasattr(stream, _OWN):
            _let_mark(stream)


def _let_mark(stream: Any) -> None:
    write, flush = stream.write, stream.flush

    def marking(text: str) -> int:
        request = _request.get()
        if request is None or not text or not isinstance(text, str):
            count: int = write(text)
            return count
        request.write(write, text)
        return len(text)

    def flushing() -> None:
        request = _request.get()
        if request is not None:
            request.release(write)
        flush()

    try:
        setattr(stream, _OWN, True)
        stream.write, stream.flush = marking, flushing
    except AttributeError:
        # Not a stream of the interpreter's: it stays as it is.
        return


def open_asgi_request(scope: Any) -> Request | None:
    """Note that this task handles the scope's request; so do the tasks it starts."""
    found = [value for name, value in scope.get("headers", ()) if name == b"x-request-id"]
    return _open(found[0].decode("latin-1") if found else "")


def open_wsgi_request(environ: Any) -> Request | None:
    """Note that this thread handles the environment's request, until the next one."""
    return _open(environ.get("HTTP_X_REQUEST_ID", ""))


def _open(name: str) -> Request | None:
    request = Request(name) if _SANE.fullmatch(name) else None
    _request.set(request)
    return request
