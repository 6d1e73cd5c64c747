"""HTTP Archive (HAR) 1.2: records as a file for other tools, and requests from such a file.

Source: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import base64
import binascii
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

import harfile
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preview.core.clock import from_ms
from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.traffic.curl import target_of
from preview.traffic.ready import ReadyRequest, sendable
from preview.traffic.record import BODY_BYTES, Message, RecordedRequest

MOST_BYTES = 8 * 1024 * 1024
MOST_ENTRIES = 1000
# Names and values that a server takes: the relay's own limit of a request's head is lower.
_MOST_HEADERS = 200
_MOST_TEXT = 16 * 1024
_VERSION = "HTTP/1.1"
_BASE64 = "base64"


# Writing


def write_har(records: Iterable[RecordedRequest], base_url: str) -> str:
    """Return records as a HAR file, with secrets as they are recorded: removed.

    Args:
        records: Oldest first.
        base_url: Address of the preview, without a slash at its end.
    """
    file = io.StringIO()
    with harfile.HarFile(file, creator=harfile.Creator(name="preview", version="1")) as har:
        for record in records:
            har.add_entry(
                startedDateTime=from_ms(record.started_ms),
                time=max(0.0, record.timing.ended),
                request=_request(record, base_url),
                response=_response(record),
                timings=_timings(record),
                comment=f"request {record.number}, id {record.request_id}",
            )
    return file.getvalue()


def _request(record: RecordedRequest, base_url: str) -> harfile.Request:
    body = None
    if record.request is not None and record.request.body:
        text, coding = _text(record.request.body)
        body = harfile.PostData(mimeType=_kind(record.request), text=text, comment=coding)
    return harfile.Request(
        method=record.method,
        url=base_url + record.target,
        httpVersion=_VERSION,
        headers=_headers(record.request),
        queryString=[
            harfile.Record(name, value)
            for name, value in parse_qsl(record.target.partition("?")[2], keep_blank_values=True)
        ],
        postData=body,
        bodySize=record.sent_bytes,
        comment=_cut(record.request),
    )


def _response(record: RecordedRequest) -> harfile.Response:
    message, content = record.response, harfile.Content(size=record.received_bytes, mimeType="")
    if message is not None:
        text, coding = _text(message.body)
        content = harfile.Content(size=message.size_bytes, mimeType=_kind(message), text=text, encoding=coding)
    location = "" if message is None else next((value for name, value in message.headers if name == "location"), "")
    return harfile.Response(
        status=record.status,
        statusText=_phrase(record.status),
        httpVersion=_VERSION,
        headers=_headers(message),
        content=content,
        redirectURL=location,
        bodySize=record.received_bytes,
        comment=record.error or _cut(message),
    )


def _timings(record: RecordedRequest) -> harfile.Timings:
    timing = record.timing
    queued = timing.queued or 0.0
    connected = max(queued, timing.connected or queued)
    first = max(connected, timing.first_byte or timing.ended)
    return harfile.Timings(
        blocked=queued,
        connect=connected - queued,
        send=0,
        wait=first - connected,
        receive=max(0.0, timing.ended - first),
    )


def _headers(message: Message | None) -> list[harfile.Record]:
    return [] if message is None else [harfile.Record(name, value) for name, value in message.headers]


def _kind(message: Message) -> str:
    return next((value for name, value in message.headers if name.lower() == "content-type"), "")


def _cut(message: Message | None) -> str | None:
    if message is None or not message.is_cut:
        return None
    return f"body cut at {len(message.body)} of {message.size_bytes} bytes"


def _text(body: bytes) -> tuple[str, str | None]:
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), _BASE64


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


# Reading


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Pair(_Strict):
    name: str = Field(max_length=256)
    value: str = Field(default="", max_length=_MOST_TEXT)


class _Body(_Strict):
    text: str | None = None
    comment: str | None = None


class _Content(_Strict):
    text: str | None = None
    encoding: str | None = None


class _Sent(_Strict):
    method: str = Field(pattern=r"^[A-Za-z]{1,32}$")
    url: str = Field(max_length=_MOST_TEXT)
    headers: list[_Pair] = Field(default_factory=list, max_length=_MOST_HEADERS)
    postData: _Body | None = None  # noqa: N815  the format's word


class _Received(_Strict):
    status: int = Field(default=0, ge=0, le=999)
    headers: list[_Pair] = Field(default_factory=list, max_length=_MOST_HEADERS)
    content: _Content = _Content()


class _Entry(_Strict):
    request: _Sent
    response: _Received = _Received()


class _Log(_Strict):
    entries: list[_Entry] = Field(max_length=MOST_ENTRIES)


class _File(_Strict):
    log: _Log


@dataclass(frozen=True, slots=True)
class ImportedRequest:
    """A request from a file, with the response that it had there.

    Attributes:
        request: The request.
        status: Status of the response; 0 if there is none.
        headers: Fields of the response.
        body: Content of the response, at most ``BODY_BYTES``.
    """

    request: ReadyRequest
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Imported:
    """Requests to one host.

    Attributes:
        host: The host, with its port.
        requests: Its requests, in the file's order.
        skipped: Number of requests to other hosts, and of requests whose body is too large to be kept.
    """

    host: str
    requests: Sequence[ImportedRequest]
    skipped: int


def read_har(content: bytes, host: str | None = None) -> Imported:
    """Return the requests of a HAR file that went to one host.

    Time and memory are bounded by the size: the parser is pydantic's, which limits the depth and builds only the known
    fields.

    Args:
        content: The file.
        host: The host; None means that of most requests.

    Raises:
        InvalidRequest: It is not a HAR file, it is too large, or no request went to that host.
    """
    if len(content) > MOST_BYTES:
        raise InvalidRequest(f"The file is larger than {MOST_BYTES} bytes; export fewer requests.")
    try:
        entries = _File.model_validate_json(content).log.entries
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:200]
        raise InvalidRequest(
            f"The file is not a HAR file that can be used: {where or 'its content'}: {first['msg']}."
        ) from error
    hosts = Counter(_host(entry.request.url) for entry in entries)
    hosts.pop("", None)
    chosen = host or next((one for one, _ in hosts.most_common(1)), None)
    if chosen is None or chosen not in hosts:
        raise InvalidRequest(f"The file has no request to {quoted(host)}." if host else "The file has no request.")
    found = [_imported(entry) for entry in entries if _host(entry.request.url) == chosen]
    kept = [one for one in found if one is not None]
    return Imported(chosen, kept, len(entries) - len(kept))


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _imported(entry: _Entry) -> ImportedRequest | None:
    sent, received = entry.request, entry.response
    body = _sent_body(sent.postData)
    if body is not None and len(body) > BODY_BYTES:
        return None
    headers = sendable(tuple((one.name, one.value) for one in sent.headers))
    return ImportedRequest(
        ReadyRequest(sent.method.upper(), target_of(sent.url), headers, body),
        received.status,
        tuple((one.name, one.value) for one in received.headers),
        _bytes(received.content.text or "", received.content.encoding)[:BODY_BYTES],
    )


def _sent_body(body: _Body | None) -> bytes | None:
    if body is None or body.text is None:
        return None
    return _bytes(body.text, body.comment)


def _bytes(text: str, coding: str | None) -> bytes:
    if coding == _BASE64:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return b""
    return text.encode("utf-8", "replace")
