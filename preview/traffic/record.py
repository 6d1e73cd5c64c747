"""A recorded request: facts about one request to a preview and its response."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BODY_BYTES = 64 * 1024
"""Most bytes that are kept of one body."""


class Capture(StrEnum):
    """Amount of data kept of a preview's requests: nothing, facts, or headers and bodies too."""

    OFF = "off"
    META = "meta"
    FULL = "full"


class Origin(StrEnum):
    """Way on which a request reached the preview."""

    BROWSER = "browser"  # the relay, or the ordinary path
    SOCKET = "socket"  # the handshake of a WebSocket
    CALL = "call"  # ``POST …/preview/request``
    REPLAY = "replay"
    PROBE = "probe"
    CHECK = "check"
    DIRECT = "direct"  # the preview's own port: reported by the application, and not verified
    IMPORT = "import"  # from a file; it was never sent


class Who(StrEnum):
    """Sender of a request."""

    OWNER = "owner"
    VIEWER = "viewer"
    AGENT = "agent"  # the owner's program, with a token of the API
    SERVICE = "service"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Message:
    """Headers and body of a request or a response, after redaction.

    Attributes:
        headers: Fields in their order; secrets are replaced.
        body: The first bytes of the content, at most ``BODY_BYTES``.
        size_bytes: Size of the whole content; more than ``len(body)`` if it was cut.
    """

    headers: tuple[tuple[str, str], ...]
    body: bytes
    size_bytes: int

    @property
    def is_cut(self) -> bool:
        """True if a part of the content was not kept."""
        return self.size_bytes > len(self.body)


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in milliseconds, each from the request's arrival; None if that moment never came.

    Attributes:
        queued: The access check was done.
        connected: A connection to the preview was there.
        first_byte: The response's head was there.
        ended: The response was complete, or broke off.
    """

    queued: float | None
    connected: float | None
    first_byte: float | None
    ended: float


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request that was sent to a preview, or arrived for it.

    Attributes:
        preview_id: The preview.
        number: 1, 2, 3, … within the preview, in the order of the requests' ends; the record's public id.
        request_id: ``X-Request-Id`` that the preview received; log lines carry it. Clients may use one twice.
        started_ms: Arrival, in milliseconds since the epoch.
        origin: How it reached the preview.
        who: Who sent it.
        method: Method, in upper case.
        target: Path and query on the preview; secrets in the query are replaced.
        status: Status of the response; 0 if there was none.
        error: Code of the error if there was no complete response (``upstream_failed``, ``client_gone``, …); else None.
        timing: Durations.
        sent_bytes: Size of the request's content.
        received_bytes: Size of the response's content, as far as it arrived.
        reload: Number of times that a new process had taken over (``LivePreview.restarts``).
        first_line: Number of the first log line that may belong to it.
        last_line: Number of the last one; less than ``first_line`` if nothing was printed meanwhile.
        request: Headers and body; None with ``Capture.META``.
        response: Headers and body; None with ``Capture.META``, or without a response.
        pinned: Never deleted by age or size.
    """

    preview_id: str
    number: int
    request_id: str
    started_ms: int
    origin: Origin
    who: Who
    method: str
    target: str
    status: int
    error: str | None
    timing: Timing
    sent_bytes: int
    received_bytes: int
    reload: int
    first_line: int
    last_line: int
    request: Message | None = None
    response: Message | None = None
    pinned: bool = False

    @property
    def path(self) -> str:
        """The target's path, without its query."""
        return self.target.partition("?")[0]
