"""Heads as the relay writes them, and those that are kept for the next requests like one before."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Generic, TypeVar

from preview.proxy.admission import Admitted, OwnAnswer, Reauthorize, RequestHead
from preview.proxy.carriage import returned_fields
from preview.proxy.headers import REQUEST_ID_FIELD
from preview.proxy.http1 import CHUNKED, NO_CONTENT, UNTIL_CLOSE, Answer, Ask, Field, field_lines, framing_fields

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


# Requests


def request_lines(ask: Ask, fields: list[Field]) -> bytes:
    """Return the lines of a request to a preview, framed again; without request line and request id.

    Args:
        ask: As the client wrote it.
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
        b"HTTP/1.1 %d %b\r\n%b" % (answer.status, answer.reason, field_lines(fields)),
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
    """Keeps so many values, and each for one or two ages behind its last use; then nothing of it is left here.

    Args:
        limit: The most that are kept.
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
        """Keep it; where there are too many, those that were not used for the longest time go."""
        if len(self._young) >= self._half:
            self.age()
        self._young[key] = value

    def drop(self, key: K) -> None:
        """Forget it."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def age(self) -> None:
        """Start a new age: forget what was not used in the last one."""
        self._old, self._young = self._young, {}


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
        standing: From ``request_lines``.
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


def block_of(peer: str | None, method: bytes, head: bytes) -> bytes:
    """By which a request is known again: all that its head says but the target.

    Args:
        peer: The address at the other end of its connection.
        method: Of the request.
        head: Its head; may begin anywhere before the version.
    """
    # Neither the address nor the method holds a space, and the first one before a version is behind the target.
    return b"%b %b %b" % (peer.encode() if peer else b"", method, head.partition(b" HTTP/1.")[2])


def is_worth_keeping(ask: Ask, block: bytes) -> bool:
    """Return whether such requests can be carried without waiting, and are short enough to be remembered."""
    return len(block) <= MAX_BLOCK and ask.length >= 0 and not (ask.closes or ask.expects or ask.upgrade)
