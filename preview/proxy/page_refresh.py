"""A script at the end of a preview's HTML documents, which loads them again after a reload. Pure.

A response gets the script if all of this holds; otherwise not a byte of it is changed:

1. The request is a browser's for a whole page: GET, ``Sec-Fetch-Dest: document``, no ``Range``.
2. The response is a complete HTML document: 200, or an error with content; ``text/html`` with a character set that has
   ASCII in it; no ``Content-Encoding``; no ``Content-Disposition: attachment``.
3. Nothing forbids it: no Content-Security-Policy, no ``Cache-Control: no-transform``, no digest or signature.

Such a request reaches the preview with ``Accept-Encoding: identity``, since compressed content cannot be continued.
"""

from __future__ import annotations

import re

from preview.proxy.admission import Admitted, Fields, RequestHead
from preview.proxy.http1 import Answer, Field

_OK, _FIRST_ERROR = 200, 400
_ENCODING = b"accept-encoding"
_HTML = re.compile(rb"text/html[ \t]*;[ \t]*charset=\"?([a-z0-9_-]{1,20})\"?[ \t]*", re.IGNORECASE)
# Each begins with ASCII, and ends a text in a state in which ASCII is ASCII.
_ASCII = re.compile(rb"utf-?8|us-ascii|iso-8859-\d{1,2}|windows-125\d|latin1", re.IGNORECASE)
# The content, or a hash of it, is protected; or the document says what may run in it.
_FORBIDDING = frozenset(
    {b"content-security-policy", b"content-security-policy-report-only", b"content-digest", b"repr-digest", b"digest",
     b"content-md5", b"signature", b"content-range", b"trailer"}
)  # fmt: skip


def refresh_script(prefix: str) -> bytes:
    """Return the element to append; ``prefix`` is the path before the preview's own, or empty."""
    return b'\n<script async src="%b/.preview/refresh.js"></script>\n' % prefix.encode()


def asks_for_document(head: RequestHead, admitted: Admitted) -> bool:
    """Return whether the response may get the script; the first of the rules."""
    if not admitted.refresh or head.method != "GET":
        return False
    said = dict(head.fields)
    return said.get(b"sec-fetch-dest") == b"document" and b"range" not in said and b"upgrade" not in said


def uncompressed(fields: Fields) -> list[Field]:
    """Return a request's fields for content that is not compressed."""
    return [*(field for field in fields if field[0] != _ENCODING), (_ENCODING, b"identity")]


def appended_script(answer: Answer, head: RequestHead, admitted: Admitted) -> bytes:
    """Return the bytes to append to the response's content; empty if it stays as it is."""
    if not asks_for_document(head, admitted) or answer.length == 0:
        return b""
    if answer.status != _OK and answer.status < _FIRST_ERROR:
        return b""
    kinds = [value for name, value in answer.fields if name == b"content-type"]
    found = _HTML.fullmatch(kinds[0]) if len(kinds) == 1 else None
    if found is None or not _ASCII.fullmatch(found[1]):
        return b""
    return b"" if any(_forbids(name, value.lower()) for name, value in answer.fields) else admitted.refresh


def _forbids(name: bytes, value: bytes) -> bool:
    return (
        name in _FORBIDDING
        or (name == b"content-encoding" and value not in {b"", b"identity"})
        or (name == b"cache-control" and b"no-transform" in value)
        or (name == b"content-disposition" and not value.startswith(b"inline"))
    )


def continued(fields: Fields) -> list[Field]:
    """Return the response's fields without those that are wrong for longer content; its length is the caller's."""
    return [field for field in fields if field[0] != b"accept-ranges"]
