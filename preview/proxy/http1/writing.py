"""Heads of requests, written so that there is one way to read them.

A request here has been read by others (an ASGI server, the sender of an envelope), and a connection carries more than
one request: a line end within a field would be another field, or another request, behind which the next one's answer
would be that of the one before.

Source: RFC 9112 sections 3 and 5, RFC 9110 sections 5.6.2, 8.6 and 10.1.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from preview.errors import UpstreamFailed
from preview.proxy.http1.heads import CHUNKED, Field

_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
# Said here alone.
_FRAMING = frozenset({b"connection", b"content-length", b"te", b"transfer-encoding"})


def field_lines(fields: Iterable[Field]) -> bytes:
    """Fields as they stand in a head, each line ended."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def framing_fields(
    method: bytes, length: int | None, *, expects: bool = False, takes_trailers: bool = False, upgrade: bytes = b""
) -> list[Field]:
    """Return the fields that frame a request's content and manage its connection.

    Args:
        method: As sent.
        length: Bytes of content, ``CHUNKED``, or None where nothing is said of it.
        expects: Wait for ``100 Continue``.
        takes_trailers: Say that fields behind the answer's content are welcome.
        upgrade: The protocol to speak from here on; empty for none.
    """
    said: list[Field] = []
    options: list[bytes] = []
    if length == CHUNKED:
        said.append((b"Transfer-Encoding", b"chunked"))
    elif length is not None:
        said.append((b"Content-Length", b"%d" % length))
    if expects:
        said.append((b"Expect", b"100-continue"))
    if takes_trailers:
        said.append((b"TE", b"trailers"))
        options.append(b"te")
    if upgrade:
        said.append((b"Upgrade", upgrade))
        options.append(b"upgrade")
    if method == b"HEAD":
        # Some servers (waitress) write the end of a content that is not there: the next answer would begin with it.
        options.append(b"close")
    if options:
        said.append((b"Connection", b", ".join(options)))
    return said


def request_head(
    method: str, target: bytes, fields: Sequence[Field], length: int | None, *, takes_trailers: bool = False
) -> bytes:
    """Write the head of a request, its empty line included; see ``framing_fields``.

    Args:
        method: As sent.
        target: Origin form.
        fields: Those that travel; what they say of framing and of the connection does not count.
        length: Bytes of content, ``CHUNKED``, or None where nothing is said of it.
        takes_trailers: Say that fields behind the answer's content are welcome.

    Raises:
        UpstreamFailed: It cannot be written.
    """
    verb = method.encode("latin-1", "replace")
    kept = [field for field in fields if field[0].lower() not in _FRAMING]
    kept += framing_fields(verb, length, takes_trailers=takes_trailers)
    line, written = b"%b %b" % (verb, target), field_lines(kept)
    # As many line ends as there are fields: none is within one.
    if not _LINE.fullmatch(line) or not _FIELDS.fullmatch(written) or written.count(b"\r\n") != len(kept):
        raise UpstreamFailed("The request cannot be passed on: a name or a value in its head is none of HTTP's.")
    return b"%b HTTP/1.1\r\n%b\r\n" % (line, written)
