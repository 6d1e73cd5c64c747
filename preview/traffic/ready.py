"""A request that is ready to be sent again."""

from __future__ import annotations

from dataclasses import dataclass

from preview.errors import RecordIncomplete
from preview.traffic.record import RecordedRequest

REDACTED = "[redacted"
"""Part of each mark that stands in place of a secret in a record."""

# Fields that belong to one transfer, or that the client or the service sets again.
_NOT_SENT = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    }
)


@dataclass(frozen=True, slots=True)
class ReadyRequest:
    """A request without the address of its server.

    Attributes:
        method: Method, in upper case.
        target: Path and query.
        headers: Fields in their order, without those of one transfer.
        body: Content; None if there is none.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def header(self, name: str) -> str | None:
        """Return the first value of a field, by its name in lower case; None if it is missing."""
        return next((value for one, value in self.headers if one.lower() == name), None)

    @property
    def has_secrets(self) -> bool:
        """True if a secret is missing: a mark stands in its place."""
        marked = (self.target, *(value for _, value in self.headers))
        return any(REDACTED in text for text in marked) or REDACTED.encode() in (self.body or b"")


def sendable(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the fields that are sent again."""
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in _NOT_SENT and not name.startswith(":") and not name.lower().startswith("x-forwarded-")
    )


def ready_request(record: RecordedRequest) -> ReadyRequest:
    """Return a recorded request, ready to be sent.

    Raises:
        RecordIncomplete: The record lacks a part of the request.
    """
    message = record.request
    if message is None and record.sent_bytes:
        raise RecordIncomplete(
            f"The request {record.number} cannot be sent again: its body was not recorded. Set the preview's capture "
            "to full, and send it once more.",
            number=record.number,
        )
    if message is None:
        return ReadyRequest(record.method, record.target)
    if message.is_cut:
        raise RecordIncomplete(
            f"The request {record.number} cannot be sent again: its body was cut at {len(message.body)} of "
            f"{message.size_bytes} bytes.",
            number=record.number,
        )
    return ReadyRequest(record.method, record.target, sendable(message.headers), message.body or None)
