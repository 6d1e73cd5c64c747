"""Recorded requests; only contract ``v1`` has them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field

from preview.core.clock import from_ms
from preview.http.core.answers import Answer, Time
from preview.traffic import Message, Origin, RecordedRequest, RequestPage


class TimingShape(Answer):
    """Durations in milliseconds, each from the request's arrival; null if that moment never came."""

    queued_ms: float | None = Field(description="Until the access check was done.")
    connected_ms: float | None = Field(description="Until a connection to the preview was established.")
    first_byte_ms: float | None = Field(description="Until the head of the response arrived.")
    ended_ms: float = Field(description="Until the response was complete, or broke off.")


class RequestItem(Answer):
    """A recorded request, without its headers and bodies."""

    number: int = Field(description="1, 2, 3, … in its preview: the id of the record.")
    preview_id: str
    request_id: str = Field(description="`X-Request-Id` that the preview received; its log lines carry it.")
    started_at: Time
    origin: Literal["browser", "socket", "call", "replay", "probe", "check", "direct", "import"] = Field(
        description="Way of the request; `direct`: to the preview's own port, reported by the application. "
        "Servers that the service starts, and all Node servers, report; Python start commands do not."
    )
    who: Literal["owner", "viewer", "agent", "service", "unknown"] = Field(
        description="Sender; `agent`: a program with the owner's token."
    )
    method: str
    target: str = Field(description="Path and query on the preview.", examples=["/books?page=2"])
    path: str
    status: int | None = Field(description="Status of the preview's response; null without one.")
    error: str | None = Field(description="Error code if there was no complete response.", examples=["upstream_failed"])
    timing: TimingShape
    sent_bytes: int = Field(description="Size of the request's content.")
    received_bytes: int = Field(description="Size of the response's content.")
    reload: int = Field(description="Number of reloads and restarts before it.")
    first_line: int = Field(description="First log line that may belong to it.")
    last_line: int = Field(description="Last one; below `first_line` if there is none.")
    is_verified: bool = Field(description="False if the application itself has reported it.")
    pinned: bool
    failure: str | None = Field(
        description="Id of the failure that the request caused: `GET …/preview/failures/{id}`. Null if no stored "
        "occurrence belongs to it. Also null in an event stream, which may arrive before the traceback."
    )

    @classmethod
    def of(cls, record: RecordedRequest, failure: str | None = None) -> Self:
        """Return the record's facts, and the id of its failure."""
        timing = record.timing
        return cls.taken_from(
            record,
            started_at=from_ms(record.started_ms),
            origin=record.origin.value,
            who=record.who.value,
            status=record.status or None,
            timing=TimingShape(
                queued_ms=timing.queued,
                connected_ms=timing.connected,
                first_byte_ms=timing.first_byte,
                ended_ms=timing.ended,
            ),
            is_verified=record.origin is not Origin.DIRECT,
            failure=failure,
        )


class MessageShape(Answer):
    """Headers and body, without secrets."""

    headers: list[tuple[str, str]]
    body: str = Field(description="The first bytes of the content, at most 64 KiB.")
    body_encoding: Literal["utf-8", "base64"]
    size_bytes: int = Field(description="Size of the whole content.")
    is_cut: bool = Field(description="Whether a part of the content was not kept.")
    note: str | None = Field(description="How much was kept, if not all.", examples=["cut at 65536 of 120000"])

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the message."""
        encoding: Literal["utf-8", "base64"] = "utf-8"
        try:
            body = message.body.decode()
        except UnicodeDecodeError:
            body, encoding = b64encode(message.body).decode(), "base64"
        note = f"cut at {len(message.body)} of {message.size_bytes}" if message.is_cut else None
        return cls(
            headers=list(message.headers),
            body=body,
            body_encoding=encoding,
            size_bytes=message.size_bytes,
            is_cut=message.is_cut,
            note=note,
        )


class RequestShape(RequestItem):
    """A recorded request."""

    request: MessageShape | None = Field(description="Null if headers and bodies were not recorded.")
    response: MessageShape | None = Field(description="Null for the same reasons as `request`, and without a response.")

    @classmethod
    def of(cls, record: RecordedRequest, failure: str | None = None) -> Self:
        """Return the record, and the id of its failure."""
        request, response = record.request, record.response
        return cls(
            **RequestItem.of(record, failure).model_dump() | {"started_at": from_ms(record.started_ms)},
            request=None if request is None else MessageShape.of(request),
            response=None if response is None else MessageShape.of(response),
        )


class RequestList(Answer):
    """A page of recorded requests."""

    items: list[RequestItem]
    next: int | None = Field(
        description="Continue with `before` (or with `after`, if the query had it) this number; null at the end. "
        "A page with a filter may have few items although more follow."
    )
    lost: int = Field(description="Requests that could not be recorded, as too many came at once.")
    lost_bodies: int = Field(description="Requests whose headers and bodies could not be recorded.")
    preview_id: str
    capture: Literal["off", "meta", "full"]

    @classmethod
    def of(
        cls,
        page: RequestPage,
        preview_id: str,
        capture: Literal["off", "meta", "full"],
        failures: Mapping[int, str],
    ) -> Self:
        """Return the page; ``failures`` has the failure's id for a record's number."""
        return cls(
            items=[RequestItem.of(one, failures.get(one.number)) for one in page.items],
            next=page.next,
            lost=page.lost_records,
            lost_bodies=page.lost_bodies,
            preview_id=preview_id,
            capture=capture,
        )


class CaptureShape(Answer):
    """Capture setting of a preview's requests."""

    preview_id: str
    capture: Literal["off", "meta", "full"] = Field(
        description="Nothing; method, path, status and times; or headers and bodies too."
    )
