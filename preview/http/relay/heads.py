"""Heads as bytes: of requests to previews, of their answers, and answers of the service's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING

from preview.proxy.admission import Admitted, OwnAnswer, Reauthorize, RequestHead
from preview.proxy.carriage import Field, returned_fields
from preview.proxy.headers import REQUEST_ID_FIELD
from preview.proxy.relay import CHUNKED, UNTIL_CLOSE, Answer, Ask, Memo

if TYPE_CHECKING:
    from preview.http.relay.proxied_request import ProxiedRequest


_NO_LENGTH = frozenset({204, 304})
_NO_CONTENT, _NOT_MODIFIED = 204, 304


class Dates:
    """``Date`` (RFC 9110 section 6.6.1), written once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """Return the time as HTTP writes it."""
        second = int(time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True).encode()
        return self._text


def lines(fields: Iterable[Field]) -> bytes:
    """Fields as they stand in a head, each line ended."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


# Requests


def request_lines(ask: Ask, fields: list[Field]) -> bytes:
    """Return the lines of a request to a preview, framed again; without request line and request id.

    Args:
        ask: As the client wrote it.
        fields: From ``carriage.standing_fields``.
    """
    kept = [field for field in fields if field[0] != b"content-length"]
    options: list[bytes] = []
    if ask.length == CHUNKED:
        kept.append((b"transfer-encoding", b"chunked"))
    elif ask.length or any(name == b"content-length" for name, _ in ask.fields):
        kept.append((b"content-length", b"%d" % ask.length))
    if ask.expects:
        kept.append((b"expect", b"100-continue"))
    if ask.takes_trailers:
        kept.append((b"te", b"trailers"))
        options.append(b"te")
    if ask.upgrade == b"websocket":
        kept.append((b"upgrade", b"websocket"))
        options.append(b"upgrade")
    if ask.method == b"HEAD":
        # Some servers (waitress) write the end of a content that is not there: the next answer would begin with it.
        options.append(b"close")
    if options:
        kept.append((b"connection", b", ".join(options)))
    return lines(kept)


def request_head(method: bytes, target: bytes, standing: bytes, number: bytes) -> bytes:
    """Return the head of a request to a preview.

    Args:
        method: As the client wrote it.
        target: What the preview is asked for.
        standing: From ``request_lines``.
        number: The request's.
    """
    return b"%b %b HTTP/1.1\r\n%b%b: %b\r\n\r\n" % (method, target, standing, REQUEST_ID_FIELD, number)


# Answers


@dataclass(slots=True, eq=False)
class Returned:
    """The head of a preview's answer as the client reads it, but for what is new in each.

    Attributes:
        answer: As the preview wrote it.
        standing: Its lines.
        is_numbered: Whether the request's number is among them.
        is_dated: Whether ``Date`` is.
        in_chunks: Whether the content goes to the client in chunks.
        is_unbounded: Whether the connection's end is the content's.
    """

    answer: Answer
    standing: bytes
    is_numbered: bool
    is_dated: bool
    in_chunks: bool
    is_unbounded: bool

    def head(self, number: bytes, date: bytes, *, closes: bool) -> bytes:
        """All of it.

        Args:
            number: The request's.
            date: From ``Dates``.
            closes: Whether the connection ends behind the answer.
        """
        return b"%b%b%b%b\r\n" % (
            self.standing,
            b"" if self.is_numbered else b"%b: %b\r\n" % (REQUEST_ID_FIELD, number),
            b"" if self.is_dated else b"date: %b\r\n" % date,
            b"connection: close\r\n" if closes else b"",
        )


def returned(answer: Answer, ask: Ask, head: RequestHead, admitted: Admitted) -> Returned:
    """Return the head of a final response. The request's target does not change it.

    Args:
        answer: The preview's.
        ask: The request's framing.
        head: The request.
        admitted: Its admission.
    """
    is_open = answer.length in {CHUNKED, UNTIL_CLOSE}
    in_chunks = is_open and ask.is_11
    fields, is_numbered = returned_fields(answer.fields, head, admitted)
    lengths = {value for name, value in fields if name == b"content-length"}
    fields = [field for field in fields if field[0] != b"content-length"]
    if in_chunks:
        fields.append((b"transfer-encoding", b"chunked"))
    elif ask.method == b"HEAD" or answer.status == _NOT_MODIFIED:
        # That of the content that would have come (RFC 9110 section 8.6).
        fields += [(b"content-length", length) for length in lengths if len(lengths) == 1 and length.isdigit()]
    elif answer.length >= 0 and answer.status != _NO_CONTENT:
        fields.append((b"content-length", b"%d" % answer.length))
    return Returned(
        answer,
        b"HTTP/1.1 %d %b\r\n%b" % (answer.status, answer.reason, lines(fields)),
        is_numbered,
        is_dated=any(name == b"date" for name, _ in fields),
        in_chunks=in_chunks,
        is_unbounded=is_open and not ask.is_11,
    )


def own_answer(own: OwnAnswer, *, is_head: bool, closes: bool, date: bytes) -> bytes:
    """Return an answer of the service's own, whole.

    Args:
        own: The answer.
        is_head: Whether the method was HEAD: then without its content.
        closes: Whether the connection ends behind it.
        date: From ``Dates``.
    """
    fields = list(own.fields)
    if own.status not in _NO_LENGTH:
        fields.append((b"content-length", b"%d" % len(own.body)))
    if closes:
        fields.append((b"connection", b"close"))
    if all(name != b"date" for name, _ in fields):
        fields.append((b"date", date))
    head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (own.status, _phrase(own.status), lines(fields))
    return head if is_head or own.status in _NO_LENGTH else head + own.body


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


# Together 1 MiB of blocks, as much again of what was made of them, and of each the heads of some answers (8 MiB at
# most, where previews write the longest that are kept). None outlives 8 s without use (``open_relay``).
MAX_KNOWN = 256
MAX_BLOCK = 4096
_MAX_ANSWERS = 4
_MAX_ANSWER_HEAD = 2048


@dataclass(slots=True, eq=False)
class Known:
    """Facts shared by requests with the same method, fields and peer. The target changes none.

    Attributes:
        ask: Their framing.
        head: Of each of them, without its target.
        admitted: Of the last of them.
        again: Asks whether the next one may pass.
        standing: From ``heads.request_lines``.
        answers: Heads of answers, by how they came.
    """

    ask: Ask
    head: RequestHead
    admitted: Admitted
    again: Reauthorize
    standing: bytes
    answers: Memo[bytes, Returned] = field(default_factory=lambda: Memo(_MAX_ANSWERS))

    def admit(self, target: bytes) -> Admitted | None:
        """Return the admission of the request for this target; None if access must be checked again."""
        admitted, known = self.again(target), self.admitted
        # As a rule nothing has changed, and it is the very same one.
        if admitted is None or admitted is known:
            return admitted
        if admitted.address != known.address or admitted.prefix != known.prefix:
            return None
        self.admitted = admitted
        return admitted

    def keep(self, raw: bytes, found: Returned) -> None:
        """Keep the head of an answer, unless it is large, or sets what may be somebody's secret."""
        if len(raw) <= _MAX_ANSWER_HEAD and all(name != b"set-cookie" for name, _ in found.answer.fields):
            self.answers.put(raw, found)


def known_of(errand: ProxiedRequest, again: Reauthorize, standing: bytes) -> Known:
    """Return the part to keep. The target is left out: it may be long or private."""
    return Known(errand.ask, errand.head._replace(target=b""), errand.admitted, again, standing)


def block_of(peer: str | None, method: bytes, head: bytes) -> bytes:
    """By which a request is known again: all that its head says but the target.

    Args:
        peer: The address at the other end of its connection.
        method: Of the request.
        head: Its head; may begin anywhere before the version.
    """
    # Neither the address nor the method holds a space, and the first one before a version is behind the target.
    return b"%b %b %b" % (peer.encode() if peer else b"", method, head.partition(b" HTTP/1.")[2])


def is_worth_keeping(ask: Ask, admitted: Admitted, block: bytes) -> bool:
    """Return whether such requests need no waiting, and are short enough to remember."""
    return (
        admitted.again is not None
        and len(block) <= MAX_BLOCK
        and ask.length >= 0
        and not (ask.closes or ask.expects or ask.upgrade)
    )
