"""Heads that the relay writes, and the cache of heads for requests like an earlier one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Generic, TypeVar

from preview.core.ids import REQUEST_MARK
from preview.proxy.admission import Admitted, OwnAnswer, Reauthorize, RequestHead
from preview.proxy.carriage import returned_fields
from preview.proxy.headers import REQUEST_ID_FIELD, is_sane_request_id
from preview.proxy.http1 import CHUNKED, NO_CONTENT, UNTIL_CLOSE, Answer, Ask, Field, field_lines, framing_fields
from preview.proxy.page_refresh import appended_script, continued

_NO_CONTENT, _NOT_MODIFIED = 204, 304
_MARK_DIGITS = len(REQUEST_MARK)
_NUMBERED = b"\r\n%b: " % REQUEST_ID_FIELD


class Dates:
    """``Date`` (RFC 9110 section 6.6.1), formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """Return the current time in HTTP's format."""
        second = int(time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True).encode()
        return self._text


# Requests


def request_lines(ask: Ask, fields: list[Field]) -> bytes:
    """Return a request's header lines for the preview with new framing, without request line and request id.

    Args:
        ask: The client's request.
        fields: From ``carriage.standing_fields``.
    """
    kept = [field for field in fields if field[0] != b"content-length"]
    is_said = ask.length or any(name == b"content-length" for name, _ in ask.fields)
    kept += framing_fields(
        ask.method,
        ask.length if is_said else None,
        expects=ask.expects,
        takes_trailers=ask.takes_trailers,
        upgrade=b"websocket" if ask.upgrade == b"websocket" else b"",
    )
    return field_lines(kept)


def relayed_head(method: bytes, target: bytes, standing: bytes, number: bytes) -> bytes:
    """Write the head of a request to a preview.

    Args:
        method: The client's method.
        target: The target on the preview.
        standing: From ``request_lines``.
        number: The request's id.
    """
    return b"%b %b HTTP/1.1\r\n%b%b: %b\r\n\r\n" % (method, target, standing, REQUEST_ID_FIELD, number)


def passed_head(method: bytes, target: bytes, standing: bytes, number: bytes) -> bytes:  # noqa: ARG001  that node's id
    """Write the head of a request to another node, which gives it an id; see ``relayed_head``.

    Heads without an id are equal, so both nodes know them again.

    Args:
        method: The client's method.
        target: The client's target.
        standing: From ``request_lines``.
        number: Not sent.
    """
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, standing)


def traced_head(method: bytes, target: bytes, standing: bytes, number: bytes) -> bytes:
    """Write the head of a request to a traced preview, with a ``traceparent``; see ``parent_field``.

    Args:
        method: The client's method.
        target: The target on the preview.
        standing: From ``request_lines``.
        number: The request's id, which the service has made.
    """
    return b"%b %b HTTP/1.1\r\n%btraceparent: 00-00000000%b-%b-01\r\n%b: %b\r\n\r\n" % (
        method, target, standing, number, number[_MARK_DIGITS:], REQUEST_ID_FIELD, number,
    )  # fmt: skip


HeadWriter = Callable[[bytes, bytes, bytes, bytes], bytes]


def head_writer(admitted: Admitted, *, makes_parent: bool) -> HeadWriter:
    """Return the writer of a request's head.

    Args:
        admitted: The request's admission.
        makes_parent: From ``carriage.makes_parent``.
    """
    if admitted.is_node:
        return passed_head
    return traced_head if makes_parent else relayed_head


# Responses


@dataclass(slots=True, eq=False)
class Returned:
    """The head of a preview's response for the client, without the parts that differ each time.

    Attributes:
        answer: The preview's response head.
        standing: Status line and header lines.
        is_numbered: Whether the lines contain the request id.
        is_dated: Whether the lines contain ``Date``.
        in_chunks: Whether the content goes to the client in chunks.
        is_unbounded: Whether only the end of the connection marks the end of the content.
        appended: Bytes that follow the preview's content; see ``page_refresh``.
    """

    answer: Answer
    standing: bytes
    is_numbered: bool
    is_dated: bool
    in_chunks: bool
    is_unbounded: bool
    appended: bytes = b""

    def head(self, number: bytes, date: bytes, *, closes: bool) -> bytes:
        """Return the complete head.

        Args:
            number: The request's id.
            date: From ``Dates``.
            closes: Whether the connection closes after the response.
        """
        return b"%b%b%b%b\r\n" % (
            self.standing,
            b"" if self.is_numbered else b"%b: %b\r\n" % (REQUEST_ID_FIELD, number),
            b"" if self.is_dated else b"date: %b\r\n" % date,
            b"connection: close\r\n" if closes else b"",
        )


def returned(answer: Answer, ask: Ask, head: RequestHead, admitted: Admitted) -> Returned:
    """Return the head of a final response. It does not depend on the request's target.

    Args:
        answer: The preview's response head.
        ask: The request's framing.
        head: The request.
        admitted: The request's admission.
    """
    is_open = answer.length in {CHUNKED, UNTIL_CLOSE}
    in_chunks = is_open and ask.is_11
    fields, is_numbered = returned_fields(answer.fields, head, admitted)
    lengths = {value for name, value in fields if name == b"content-length"}
    fields = [field for field in fields if field[0] != b"content-length"]
    appended = appended_script(answer, head, admitted)
    if appended:
        fields = continued(fields)
    if in_chunks:
        fields.append((b"transfer-encoding", b"chunked"))
    elif ask.method == b"HEAD" or answer.status == _NOT_MODIFIED:
        # Length of the content of a full response (RFC 9110 section 8.6).
        fields += [(b"content-length", length) for length in lengths if len(lengths) == 1 and length.isdigit()]
    elif answer.length >= 0 and answer.status != _NO_CONTENT:
        fields.append((b"content-length", b"%d" % (answer.length + len(appended))))
    return Returned(
        answer,
        b"HTTP/1.1 %d %b\r\n%b" % (answer.status, answer.reason, field_lines(fields)),
        is_numbered,
        is_dated=any(name == b"date" for name, _ in fields),
        in_chunks=in_chunks,
        is_unbounded=is_open and not ask.is_11,
        appended=appended,
    )


def without_number(raw: bytes) -> tuple[bytes, bytes]:
    """Return a response's head without its request id, and the id; heads of equal responses are then equal.

    Args:
        raw: The head, which another node has written.

    Returns: The head, and an empty id if there is none that a service makes.
    """
    at = raw.rfind(_NUMBERED)
    if at < 0:
        return raw, b""
    begin = at + len(_NUMBERED)
    end = raw.find(b"\r\n", begin)
    end = len(raw) if end < 0 else end
    number = raw[begin:end]
    return (raw[:at] + raw[end:], number) if is_sane_request_id(number) else (raw, b"")


def own_answer(own: OwnAnswer, *, is_head: bool, closes: bool, date: bytes) -> bytes:
    """Return the bytes of a response that the service itself gives.

    Args:
        own: The response.
        is_head: Whether the method was HEAD, which means no content.
        closes: Whether the connection closes after the response.
        date: From ``Dates``.
    """
    fields = list(own.fields)
    if own.status not in NO_CONTENT:
        fields.append((b"content-length", b"%d" % len(own.body)))
    if closes:
        fields.append((b"connection", b"close"))
    if all(name != b"date" for name, _ in fields):
        fields.append((b"date", date))
    head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (own.status, _phrase(own.status), field_lines(fields))
    return head if is_head or own.status in NO_CONTENT else head + own.body


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """A two-generation cache: it keeps each value for one or two ages after its last use.

    Args:
        limit: Most values to keep.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """Return the cached value, or None."""
        found = self._young.get(key)
        if found is None and self._old:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Store a value; if there are too many, drop those unused for the longest time."""
        if len(self._young) >= self._half:
            self.age()
        self._young[key] = value

    def drop(self, key: K) -> None:
        """Remove a value."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def age(self) -> None:
        """Start a new age: drop values that were not used in the last one."""
        self._old, self._young = self._young, {}


# Limits: 1 MiB of blocks in total, about as much of data made from them, and up to 8 MiB of response heads. Entries are
# dropped within 8 s of their last use (``open_relay``).
MAX_KNOWN = 256
MAX_BLOCK = 4096
_MAX_ANSWERS = 4
_MAX_ANSWER_HEAD = 2048


@dataclass(slots=True, eq=False)
class Known:
    """Facts shared by requests with the same method, fields and peer. They do not depend on the target.

    Attributes:
        ask: The requests' framing.
        head: The requests' head without its target.
        admitted: Admission of the last request.
        again: Checks whether the next request may pass.
        standing: From ``request_lines``.
        write_head: Writes the head of such a request, as ``relayed_head`` does.
        answers: Response heads by their received bytes.
    """

    ask: Ask
    head: RequestHead
    admitted: Admitted
    again: Reauthorize
    standing: bytes
    write_head: HeadWriter = relayed_head
    answers: Memo[bytes, Returned] = field(default_factory=lambda: Memo(_MAX_ANSWERS))

    def admit(self, target: bytes) -> Admitted | None:
        """Return the admission of a request for this target; None if a full check is needed."""
        admitted, known = self.again(target), self.admitted
        # Usually nothing has changed, and it is the same object.
        if admitted is None or admitted is known:
            return admitted
        if admitted.address != known.address or admitted.prefix != known.prefix:
            return None
        if admitted.is_traced != known.is_traced:
            return None
        self.admitted = admitted
        return admitted

    def keep(self, raw: bytes, found: Returned) -> None:
        """Cache the head of a response, unless it is large or sets a cookie, which may be secret."""
        if len(raw) <= _MAX_ANSWER_HEAD and all(name != b"set-cookie" for name, _ in found.answer.fields):
            self.answers.put(raw, found)


def block_of(peer: str | None, method: bytes, head: bytes) -> bytes:
    """Return the cache key of a request: all of its head except the target.

    Args:
        peer: The address at the other end of the connection.
        method: HTTP method of the request.
        head: The request's head; may begin anywhere before the version.
    """
    # Unambiguous: neither address nor method contains a space, and the first `` HTTP/1.`` follows the target.
    return b"%b %b %b" % (peer.encode() if peer else b"", method, head.partition(b" HTTP/1.")[2])


def is_worth_keeping(ask: Ask, block: bytes) -> bool:
    """Return whether such requests can be carried without waiting, and are short enough to cache."""
    return len(block) <= MAX_BLOCK and ask.length >= 0 and not (ask.closes or ask.expects or ask.upgrade)
