"""Turn a caller's description of a request (method, path, query, headers, body) into one that is safe to send."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlencode

from preview.core.quoting import quoted
from preview.errors import BodyTooLarge, InvalidPath, InvalidRequest
from preview.proxy.call_fields import forwarded_headers
from preview.proxy.headers import REQUEST_ID_FIELD, is_sane_request_id, new_request_id

# CONNECT and TRACE are for proxies, and TRACE echoes secrets; unknown methods are most likely mistakes.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Below the default limit of common servers (uvicorn's h11: 64 KiB for the whole head); longer is a mistake.
_MAX_TARGET_BYTES = 16 * 1024

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# RFC 3986 section 3.3: characters that need no escape in a path; "%" because escapes are already checked.
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"
_QUERY_SAFE = _PATH_SAFE + "?"


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """A request that may be sent to a preview.

    Attributes:
        method: One of ``METHODS``.
        path: Absolute path on the preview, percent-encoded, without query.
        query: Encoded query without the question mark; may be empty.
        headers: Checked fields (see ``call_fields.forwarded_headers``).
        body: Bytes, or None for a request without content.
        request_id: Sent as ``X-Request-Id``; empty for none.
    """

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    request_id: str = ""

    @property
    def target(self) -> bytes:
        """The request target in origin form (RFC 9112 section 3.2.1)."""
        return (f"{self.path}?{self.query}" if self.query else self.path).encode("ascii")


def make_request(
    method: str,
    path: str,
    *,
    query: Mapping[str, object] | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: object = None,
    body_limit_bytes: int,
) -> ProxyRequest:
    """Check an envelope and encode it.

    Args:
        method: In any case.
        path: Absolute path on the preview; may contain a query, which precedes ``query``.
        query: Values are text, numbers, true, false, null (left out) or lists of these.
        headers: The caller's fields. A valid ``X-Request-Id`` is kept; otherwise the request gets a new one.
        body: None for no content, text and bytes as they are, anything else as JSON.
        body_limit_bytes: Most bytes of encoded content.

    Raises:
        InvalidPath: The path is not an absolute path on the preview.
        InvalidRequest: The method is unknown, or a header or query value cannot be sent.
        BodyTooLarge: The encoded content is over the limit.
    """
    verb = method.upper()
    if verb not in METHODS:
        raise InvalidRequest(
            f"Unknown method {quoted(method)}: use one of {', '.join(sorted(METHODS))}.", method=method
        )
    own_path, mark, own_query = path.partition("?")
    checked = check_path(own_path)
    parts = [_checked_query(own_query) if mark else "", encode_query(query or {})]
    fields, request_id = _take_request_id(forwarded_headers(headers))
    content = _content(body, fields)
    if content is not None and len(content) > body_limit_bytes:
        raise BodyTooLarge(
            f"The body has {len(content)} bytes; at most {body_limit_bytes} may be sent to a preview: send less.",
            limit_bytes=body_limit_bytes,
        )
    request = ProxyRequest(verb, checked, "&".join(part for part in parts if part), fields, content, request_id)
    if len(request.target) > _MAX_TARGET_BYTES:
        raise InvalidPath(f"Path and query are longer than {_MAX_TARGET_BYTES} bytes.", limit_bytes=_MAX_TARGET_BYTES)
    return request


def check_path(path: str) -> str:
    """Return the path, percent-encoded where needed.

    Raises:
        InvalidPath: The path has a scheme or an authority, does not begin with exactly one slash, climbs with ``..``
            (also percent-encoded), or contains a backslash, a fragment, a broken escape or a control character.
    """
    if not path.startswith("/"):
        raise _refused(path, "must begin with a slash; give only the path, the preview's address is known")
    if _BAD_ESCAPE.search(path):
        raise _refused(path, "has a % that is not followed by two hexadecimal digits; write %25 for a percent sign")
    if "#" in path:
        raise _refused(path, "has a fragment, which is never sent; write %23 for a number sign")
    try:
        meant = unquote_to_bytes(path).decode("utf-8", "replace")
    except UnicodeEncodeError as error:
        raise _refused(path, "holds half of a surrogate pair, which cannot be sent") from error
    if _CONTROL.search(meant):
        raise _refused(path, "holds a control character")
    if "\\" in meant:
        raise _refused(path, "holds a backslash, which some servers take for a slash")
    if meant.startswith("//"):
        raise _refused(path, "begins with two slashes, which names another host")
    if any(segment.partition(";")[0] == ".." for segment in meant.split("/")):
        raise _refused(path, "leaves the application's root with '..'")
    return quote(path, safe=_PATH_SAFE)


def encode_query(query: Mapping[str, object]) -> str:
    """Return the query as ``application/x-www-form-urlencoded`` text.

    Raises:
        InvalidRequest: A value is neither text, number, boolean, null nor a list of these.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        items = value if isinstance(value, list) else [value]
        pairs.extend((name, _query_text(name, item)) for item in items if item is not None)
    try:
        return urlencode(pairs)
    except UnicodeEncodeError as error:
        raise InvalidRequest("The query holds half of a surrogate pair, which cannot be sent.") from error


def _take_request_id(fields: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], str]:
    """Return the fields without any request id, and the effective id."""
    name = REQUEST_ID_FIELD.decode()
    given = [value.encode() for one, value in fields if one.lower() == name and is_sane_request_id(value.encode())]
    kept = [(one, value) for one, value in fields if one.lower() != name]
    return kept, (given[0] if given else new_request_id()).decode()


def _query_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        try:
            return str(value)
        except ValueError as error:  # Python converts integers of at most 4300 digits
            raise InvalidRequest(
                f"The query value of {quoted(name)} has thousands of digits; send it as text.", field=f"query.{name}"
            ) from error
    raise InvalidRequest(
        f"The query value of {quoted(name)} is a {type(value).__name__}: "
        "use text, a number, true, false or a list of these.",
        field=f"query.{name}",
    )


def _checked_query(query: str) -> str:
    if _BAD_ESCAPE.search(query) or _CONTROL.search(query) or "#" in query:
        raise _refused(query, "has a query with a broken escape, a fragment or a control character")
    try:
        return quote(query, safe=_QUERY_SAFE)
    except UnicodeEncodeError as error:
        raise _refused(query, "has a query with half of a surrogate pair, which cannot be sent") from error


def bytes_of(body: object) -> bytes | None:
    """Return the bytes that a body in base64 stands for.

    Raises:
        InvalidRequest: The body is no text in base64.
    """
    if body is None:
        return None
    try:
        if isinstance(body, str):
            return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"The body is not base64: {error}.", field="body") from error
    raise InvalidRequest("A body with the encoding base64 must be text.", field="body")


def _content(body: object, fields: list[tuple[str, str]]) -> bytes | None:
    """Return the content's bytes; append ``Content-Type`` to ``fields`` if it is missing."""
    if body is None:
        return None
    if isinstance(body, bytes):
        if not any(name.lower() == "content-type" for name, _ in fields):
            fields.append(("Content-Type", "application/octet-stream"))
        return body
    if isinstance(body, str):
        kind, text = "text/plain; charset=utf-8", body
    else:
        kind, text = "application/json", _json(body)
    if not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", kind))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("The body holds half of a surrogate pair, which cannot be sent.") from error


def _json(body: object) -> str:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            "The body cannot be written as JSON: it contains NaN, infinity or a number with thousands of digits, "
            "or is nested too deeply.",
            field="body",
        ) from error


def _refused(path: str, why: str) -> InvalidPath:
    # Truncated, because the message goes into a response and a log.
    return InvalidPath(f"The path {quoted(path)} {why}.", path=path[:200])
