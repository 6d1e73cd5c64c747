"""Connection of the probe's confined program to the service. Standard library only.

One JSON text a line, both ways. The first line from the service is the task. Then the program asks the service to send
one request at a time, and gets its answer; findings and progress need no answer.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The service's own limit is the same: see ``messages.MOST_LINE_BYTES``.
MOST_LINE_BYTES = 1024 * 1024
_MOST_TASK_BYTES = 32 * 1024 * 1024
_MOST_SENTENCE = 400
MOST_FINDINGS = 200


class TimeIsUp(Exception):
    """The time for the probe is over, or the service ended the connection."""


@dataclass(frozen=True)
class Answer:
    """Answer of the application.

    Attributes:
        number: The service's number of the request; 0 if it was not sent.
        status: HTTP status; 0 if there was no answer.
        error: Reason why there is no answer, a sentence; empty if there is one.
        mark: Kind of the error that the application has logged; empty if unknown.
        body: At most 256 KiB.
        is_cut: Whether the body was longer.
    """

    number: int
    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    is_cut: bool = False
    error: str = ""
    mark: str = ""
    parsed: list[Any] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """True if the service did not send the request."""
        return self.number == 0

    @property
    def is_good(self) -> bool:
        """True for a status from 200 to 299."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str:
        """Return a field's value; empty if it is missing."""
        return next((value for one, value in self.headers if one.lower() == name), "")

    def json(self) -> Any:
        """Return the parsed body; None if it is no JSON."""
        if not self.parsed:
            try:
                self.parsed.append(json.loads(self.body) if self.body and not self.is_cut else None)
            except (ValueError, RecursionError):
                self.parsed.append(None)
        return self.parsed[0]


class Channel:
    """The connection, and the clock.

    Args:
        connection: Connected stream socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self.task: dict[str, Any] = json.loads(self._line(_MOST_TASK_BYTES))
        self.deadline = time.monotonic() + float(self.task["seconds"])
        self.findings = 0

    def _line(self, most_bytes: int) -> bytes:
        line = self._file.readline(most_bytes)
        if not line.endswith(b"\n"):
            raise TimeIsUp
        return line

    def say(self, **message: object) -> None:
        """Send a message that needs no answer."""
        data = json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode()
        if len(data) >= MOST_LINE_BYTES:
            return
        try:
            self._connection.sendall(data + b"\n")
        except OSError as error:
            raise TimeIsUp from error

    def left_s(self) -> float:
        """Return the seconds left."""
        return self.deadline - time.monotonic()

    def send(
        self, operation: int, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> Answer:
        """Have the service send a request; return its answer.

        Raises:
            TimeIsUp: The time is over.
        """
        if self.left_s() <= 0:
            raise TimeIsUp
        content = None if body is None else base64.b64encode(body).decode()
        if len(content or "") + len(target) > MOST_LINE_BYTES // 2:
            return Answer(0, 0, error="The request is too large.")
        self.say(send=[operation, method, target, [list(one) for one in headers], content])
        said: Mapping[str, Any] = json.loads(self._line(MOST_LINE_BYTES))
        return Answer(
            number=said["number"],
            status=said.get("status", 0),
            headers=[(name, value) for name, value in said.get("headers", ())],
            body=base64.b64decode(said.get("body", "")),
            is_cut=said.get("is_cut", False),
            error=said.get("error", ""),
            mark=said.get("mark", ""),
        )

    def find(self, kind: str, operation: int, steps: Sequence[int], sentence: str) -> None:
        """Report a finding: numbers of the requests that lead to it, the last one of which shows it."""
        self.findings += 1
        if self.findings <= MOST_FINDINGS:
            self.say(finding=[kind, operation, list(steps), sentence[:_MOST_SENTENCE]])
