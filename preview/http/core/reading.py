"""Read a request's content within limits, as values or one clear error."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from math import inf
from typing import Any, TypeVar

import trio
from pydantic import BaseModel, ValidationError
from quart import Request, Websocket
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from preview.core.quoting import quoted
from preview.errors import InvalidRequest, TooLarge

M = TypeVar("M", bound=BaseModel)

# A body has a base time (Quart's BODY_TIMEOUT, the setting ``body_timeout_s``) plus time for each received byte. So a
# slow upload succeeds, but a trickling body fails.
_SLOWEST_BYTES_PER_S = 32 * 1024
_FORM = "application/x-www-form-urlencoded"
_DISCARD_S = 1.0
_DISCARD_BYTES = 16 * 1024 * 1024
# RFC 7240 section 4.3; delta-seconds, optionally quoted, among other preferences.
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?=$|[,;])', re.IGNORECASE)


async def body_pieces(request: Request, limit_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives.

    Quart's own limit applies to the buffered bytes; this limit applies to the whole body.

    Raises:
        TooLarge: The body, or its announced length, exceeds ``limit_bytes``.
        RequestTimeout: The body did not arrive in time.

    Cancellation: the rest is not read.
    """
    if request.content_length is not None and request.content_length > limit_bytes:
        await _discard(request)
        raise _too_large(limit_bytes)
    deadline = trio.current_time() + (request.body_timeout or inf)
    pieces, total = aiter(request.body), 0
    while True:
        with trio.move_on_at(deadline + total / _SLOWEST_BYTES_PER_S) as scope:
            piece = await anext(pieces, None)
        if scope.cancelled_caught:
            raise RequestTimeout
        if piece is None:
            return
        total += len(piece)
        if total > limit_bytes:
            await _discard(request)
            raise _too_large(limit_bytes)
        yield piece


async def _discard(request: Request) -> None:
    """Read the rest of a refused body for a moment.

    Closing a connection with unread bytes resets it. A client that is still sending would then lose the response (RFC
    9112 section 9.6).
    """
    total = 0
    with trio.move_on_after(_DISCARD_S), suppress(RequestEntityTooLarge):
        while total < _DISCARD_BYTES and (piece := await anext(request.body, None)) is not None:
            total += len(piece)


async def read_json(request: Request, model: type[M], *, limit_bytes: int) -> M:
    """Return the JSON body as ``model``; an empty body means an empty object.

    Raises:
        InvalidRequest: The body is not JSON, or a field is missing or of a wrong type.
        UnsupportedMediaType: The request declares another type; see ``may_be_json_in_a_form``.
        TooLarge: See ``body_pieces``.

    Cancellation: the rest is not read.
    """
    kind = request.mimetype
    as_form = may_be_json_in_a_form(request)
    if kind and kind != "application/json" and not kind.endswith("+json") and not as_form:
        raise wrong_media_type(kind)
    raw = bytearray()
    async for piece in body_pieces(request, limit_bytes):
        raw += piece
    try:
        return model.model_validate_json(bytes(raw) or b"{}")
    except ValidationError as error:
        if as_form and any(one["type"] == "json_invalid" for one in error.errors(include_url=False)):
            raise wrong_media_type(kind) from error
        raise InvalidRequest(sentence_of(error, "The body"), fields=_fields(error)) from error


def may_be_json_in_a_form(request: Request) -> bool:
    """Return whether the body is read as JSON although declared as a form: ``curl -d`` does that by default.

    Only with a bearer token. A browser sends another site's form with the user's cookies and stored passwords, without
    a preflight (the Fetch Standard's "simple" types). But no page can make it add a bearer token.
    """
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    return request.mimetype == _FORM and scheme.lower() == "bearer"


def wrong_media_type(kind: str, *, further: str = "") -> UnsupportedMediaType:
    """Return the error for a body of another type.

    Args:
        kind: Media type of the request.
        further: Text about further types that this address accepts.
    """
    return UnsupportedMediaType(
        f"Send the body as JSON with the header 'Content-Type: application/json'{further}, not as {quoted(kind)}."
    )


def checked_query(request: Request | Websocket, model: type[M]) -> M:
    """Return the query as ``model``; of repeated names, the last counts.

    Raises:
        InvalidRequest: A value is wrong.
    """
    try:
        return model.model_validate_strings(dict(request.args.items()))
    except ValidationError as error:
        raise InvalidRequest(sentence_of(error, "The query"), fields=_fields(error)) from error


def preferred_wait_s(prefer: str) -> int | None:
    """Return the seconds of ``Prefer: wait=…`` (RFC 7240), or None. As the RFC requires, invalid values are ignored."""
    found = _WAIT.search(prefer)
    return int(found.group(1)) if found else None


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit_bytes} bytes; send less.", limit_bytes=limit_bytes)


def _fields(error: ValidationError) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"field": _name(one["loc"]), "problem": one["msg"]} for one in found[:20]]


def sentence_of(error: ValidationError, what: str) -> str:
    """Describe the first error in ``what``, in one sentence."""
    first = _fields(error)[0]
    said = first["problem"].removeprefix("Value error, ").rstrip(".")
    if not first["field"]:
        return f"{what} cannot be used: {said}."
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{what} has a wrong value for {quoted(first['field'])}: {said}{more}."


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)[:200]


def etag_of(revision: int) -> str:
    """Return the entity tag of a generation's files at this revision; strong: it covers every byte."""
    return f'"{revision}"'


def expected_revision(request: Request) -> Callable[[int], bool] | None:
    """Return a check of revisions against ``If-Match``; None without that field.

    Weak tags never match, and ``*`` always does, because the generation exists.
    """
    if "If-Match" not in request.headers:
        return None
    given = request.if_match
    return lambda revision: given.contains(str(revision))


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client already has this version (``If-None-Match``), which means a 304 response."""
    return "If-None-Match" in request.headers and request.if_none_match.contains_weak(tag.strip('"'))
