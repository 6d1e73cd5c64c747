"""Write request heads that have exactly one interpretation.

The requests were parsed elsewhere (by an ASGI server, or by the sender of an envelope), and connections are reused. A
line end within a field would add a field or a second request; responses would then belong to the wrong requests.

Source: RFC 9112 sections 3 and 5, RFC 9110 sections 5.6.2, 8.6 and 10.1.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from preview.errors import UpstreamFailed
from preview.proxy.http1.heads import CHUNKED, Field

_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
# Fields that only this module writes.
_FRAMING = frozenset({b"connection", b"content-length", b"te", b"transfer-encoding"})


def field_lines(fields: Iterable[Field]) -> bytes:
    """Return the fields as lines of a head, each with its line end."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def framing_fields(
    method: bytes, length: int | None, *, expects: bool = False, takes_trailers: bool = False, upgrade: bytes = b""
) -> list[Field]:
    """Return the fields that frame a request's content and manage its connection.

    Args:
        method: As sent.
        length: Bytes of content, ``CHUNKED``, or None to announce no length.
        expects: Wait for ``100 Continue``.
        takes_trailers: Accept trailers after the response's content.
        upgrade: The protocol to switch to; empty for none.
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
        # For a response to HEAD, some servers (waitress) write the end of the missing content: the next response would
        # begin with it.
        options.append(b"close")
    if options:
        said.append((b"Connection", b", ".join(options)))
    return said


def request_head(
    method: str, target: bytes, fields: Sequence[Field], length: int | None, *, takes_trailers: bool = False
) -> bytes:
    """Write the head of a request including its empty line; see ``framing_fields``.

    Args:
        method: As sent.
        target: Origin form.
        fields: Fields to forward; those for framing and the connection are ignored.
        length: Bytes of content, ``CHUNKED``, or None to announce no length.
        takes_trailers: Accept trailers after the response's content.

    Raises:
        UpstreamFailed: The head cannot be written as valid HTTP.
    """
    verb = method.encode("latin-1", "replace")
    kept = [field for field in fields if field[0].lower() not in _FRAMING]
    kept += framing_fields(verb, length, takes_trailers=takes_trailers)
    line, written = b"%b %b" % (verb, target), field_lines(kept)
    # The number of line ends equals the number of fields, so no field contains one.
    if not _LINE.fullmatch(line) or not _FIELDS.fullmatch(written) or written.count(b"\r\n") != len(kept):
        raise UpstreamFailed("The request cannot be forwarded: a name or a value in its head is not valid in HTTP.")
    return b"%b HTTP/1.1\r\n%b\r\n" % (line, written)
