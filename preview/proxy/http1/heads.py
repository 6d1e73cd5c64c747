"""Strict reader of request and response heads: it rejects whatever another reader could interpret differently.

It is stricter than a general-purpose library (RFC 9112 sections 2.2, 3, 5.1, 5.2, 6.1): lines end with CR LF, and no
line is folded. Control characters and spaces around names are errors, and a length has one form only. The caller
decides what happens to a rejected message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Field = tuple[bytes, bytes]
"""A header field: its name and its value. Names are in lower case when this module has read them."""

CHUNKED = -1
"""Used as a length: the content comes in chunks (RFC 9112 section 7.1)."""
UNTIL_CLOSE = -2
"""Used as a length: the content ends with the connection (RFC 9112 section 6.3, item 8)."""

HEAD_END = b"\r\n\r\n"
MAX_ANSWER_HEAD = 64 * 1024
# RFC 9110 section 15.2 allows any number; no sensible preview sends more.
MAX_INTERIM = 32

_MAX_FIELDS = 100

_TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Origin form only, without a fragment. RFC 9112 section 3 requires at least 8000 bytes; 15 KiB fit here.
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (/[!\"$-~]{0,15360}) HTTP/1\.([01])")
_ANSWER = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
# All characters except control characters; the tab is allowed (RFC 9110 section 5.5).
_CLEAN = bytes(one for one in range(256) if one == 9 or (one > 31 and one != 127))
LENGTH = re.compile(rb"[0-9]{1,18}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# As in ``http.guard``: another reader might have used the other one of two.
_SINGLE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"origin", b"transfer-encoding",
                     b"x-preview-token", b"upgrade", b"expect"})  # fmt: skip
NO_CONTENT = frozenset({204, 304})
"""Statuses of responses that never have content."""

_NO_OPTIONS: frozenset[bytes] = frozenset()
# Common spellings, which need no check of each letter.
_USUAL = {
    spelled: name.lower()
    for name in (
        b"Accept", b"Accept-Encoding", b"Accept-Language", b"Accept-Ranges", b"Authorization", b"Cache-Control",
        b"Connection", b"Content-Encoding", b"Content-Length", b"Content-Type", b"Cookie", b"Date", b"ETag", b"Host",
        b"If-Modified-Since", b"If-None-Match", b"Last-Modified", b"Location", b"Origin", b"Range", b"Referer",
        b"Sec-Fetch-Dest", b"Sec-Fetch-Mode", b"Sec-Fetch-Site", b"Server", b"Set-Cookie", b"Transfer-Encoding",
        b"Upgrade-Insecure-Requests", b"User-Agent", b"Vary",
    )
    for spelled in (name, name.lower())
}  # fmt: skip


class Unclean(Exception):
    """The message is not strictly written, or cannot be relayed; the text gives the reason."""


@dataclass(slots=True)
class Ask:
    """The head of a request, without its target.

    Attributes:
        method: As sent.
        fields: Names in lower case, values without surrounding white space.
        host: Host with port, in lower case.
        is_11: True for HTTP/1.1, False for HTTP/1.0.
        length: Bytes of content, or ``CHUNKED``.
        closes: Whether the client wants the connection to close after the response.
        expects: Whether the client waits for ``100 Continue``.
        takes_trailers: Whether the client sent ``TE: trailers``.
        upgrade: The protocol that the client wants to switch to, in lower case; empty for none.
    """

    method: bytes
    fields: list[Field]
    host: bytes
    is_11: bool
    length: int
    closes: bool
    expects: bool
    takes_trailers: bool
    upgrade: bytes


@dataclass(slots=True)
class Answer:
    """The head of a response.

    Attributes:
        status: HTTP status.
        reason: The reason phrase, as sent.
        fields: As in ``Ask``.
        length: Bytes of content on the wire, ``CHUNKED`` or ``UNTIL_CLOSE``.
        is_kept: Whether the connection can be reused after the response.
    """

    status: int
    reason: bytes
    fields: list[Field]
    length: int
    is_kept: bool


def read_fields(block: bytes) -> list[Field]:
    """Read the fields in lines separated by CR LF.

    Raises:
        Unclean: There are too many fields, or one is not strictly written.
    """
    if not block:
        return []
    written_lines = block.split(b"\r\n")
    # Only line ends may remain, one per separator. A folded line begins with white space, which is not a valid name.
    if len(block.translate(None, _CLEAN)) != 2 * (len(written_lines) - 1):
        raise Unclean("a control character, or a bare line end")
    fields: list[Field] = []
    for line in written_lines:
        written, colon, value = line.partition(b":")
        name = _USUAL.get(written)
        if name is None:
            if not written or not colon or written.translate(None, _TOKEN_BYTES):
                raise Unclean("a field's name is not a token")
            name = written.lower()
        elif not colon:
            raise Unclean("a field without a value")
        fields.append((name, value.strip(b" \t")))
    if len(fields) > _MAX_FIELDS:
        raise Unclean(f"more than {_MAX_FIELDS} fields")
    return fields


def read_request(head: bytes) -> tuple[bytes, Ask]:
    """Return the target (in origin form) and the head of a request; ``head`` ends before the empty line.

    Raises:
        Unclean: The request cannot be relayed.
    """
    line, _, block = head.partition(b"\r\n")
    found = REQUEST_LINE.fullmatch(line)
    if found is None:
        raise Unclean("the request line")
    method, target, minor = found.groups()
    if method in {b"CONNECT", b"TRACE"}:
        raise Unclean("a method that is for proxies")
    fields = read_fields(block)
    single: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _SINGLE:
            if name in single:
                raise Unclean("a field that must not be repeated is repeated")
            single[name] = value
    host = single.get(b"host")
    if host is None or not _HOST.fullmatch(host):
        raise Unclean("no host")
    is_11 = minor == b"1"
    length = _request_length(single, is_11)
    options = _options(fields)
    expect = single.get(b"expect")
    if expect is not None and (expect.lower() != b"100-continue" or not is_11):
        raise Unclean("an expectation that is not known")
    upgrade = single.get(b"upgrade", b"").lower() if is_11 and b"upgrade" in options else b""
    ask = Ask(
        method,
        fields,
        host.lower(),
        is_11,
        length,
        closes=not is_11 or b"close" in options,
        expects=expect is not None and length != 0,
        takes_trailers=b"te" in options and takes_trailers(fields),
        upgrade=upgrade if length == 0 else b"",
    )
    return target, ask


def read_answer(head: bytes, *, is_head: bool) -> Answer:
    """Return the head of a response; ``head`` ends before the empty line.

    Args:
        head: Bytes as received.
        is_head: Whether the request's method was HEAD.

    Raises:
        Unclean: The response cannot be relayed.
    """
    line, _, block = head.partition(b"\r\n")
    found = _ANSWER.fullmatch(line)
    if found is None:
        raise Unclean("the status line is not one of HTTP/1.1")
    is_11, status, reason = found[1] == b"1", int(found[2]), found[3] or b""
    fields = read_fields(block)
    options = _options(fields)
    is_kept = is_11 and b"close" not in options
    if status < 200 or status in NO_CONTENT or is_head:
        return Answer(status, reason, fields, 0, is_kept)
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    lengths = {value for name, value in fields if name == b"content-length"}
    if codings:
        if not is_11 or [coding.lower() for coding in codings] != [b"chunked"]:
            raise Unclean("a Transfer-Encoding other than 'chunked'")
        # RFC 9112 section 6.3, item 3: the chunks count, and the connection is not reused.
        return Answer(status, reason, fields, CHUNKED, is_kept and not lengths)
    if not lengths:
        return Answer(status, reason, fields, UNTIL_CLOSE, False)
    (length, *others) = lengths
    if others or not LENGTH.fullmatch(length):
        raise Unclean("two lengths, or one that is not a number")
    return Answer(status, reason, fields, int(length), is_kept)


def _request_length(single: dict[bytes, bytes], is_11: bool) -> int:
    coding, length = single.get(b"transfer-encoding"), single.get(b"content-length")
    if coding is not None:
        if length is not None or not is_11 or coding.lower() != b"chunked":
            raise Unclean("two lengths, or a Transfer-Encoding other than 'chunked'")
        return CHUNKED
    if length is None:
        return 0
    if not LENGTH.fullmatch(length):
        raise Unclean("a length that is not a number")
    return int(length)


def _options(fields: list[Field]) -> frozenset[bytes]:
    """Return the options of ``Connection``, in lower case."""
    said = [value for name, value in fields if name == b"connection"]
    if not said:
        return _NO_OPTIONS
    return frozenset(option.strip(b" \t") for option in b",".join(said).lower().split(b","))


def takes_trailers(fields: Iterable[Field]) -> bool:
    """Return whether ``TE`` accepts trailers."""
    said = b",".join(value for name, value in fields if name == b"te").lower()
    return any(one.partition(b";")[0].strip(b" \t") == b"trailers" for one in said.split(b","))
