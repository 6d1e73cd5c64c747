"""The log stream of a generation's preview, and tickets for clients that cannot send headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from quart import Blueprint, Response, request
from quart.wrappers.response import ResponseBody

from preview.http.backend import backend
from preview.http.contracts import VIEWS
from preview.http.core.answers import json_answer, no_content
from preview.http.core.bodies import StreamQuery
from preview.http.core.reading import checked_query
from preview.http.identity import own_generation
from preview.http.protocol.connection import request_resources
from preview.http.protocol.takeover import TakeoverBody, handover_in
from preview.http.streams.direct import DirectStream
from preview.http.streams.farewell import Farewell
from preview.http.streams.log_streams import LogStreamBody
from preview.http.streams.subscriptions import StreamRequester, first_lines, one_stream, watcher_of, watching
from preview.logs import PREAMBLE, Contract, Encoding, Format, StreamEncoder

_MEDIA_TYPES = {Format.SSE: "text/event-stream", Format.NDJSON: "application/x-ndjson"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    # Tells nginx, and whoever follows its example, to pass each chunk on at once.
    "X-Accel-Buffering": "no",
}
_NUMBER = re.compile(r"\d{1,18}")


def log_routes(contract: Contract) -> Blueprint:
    """The routes in one document's words."""
    routes = Blueprint(f"{contract.value}_logs", __name__)

    @routes.get("/preview/logs/stream")
    async def stream(generation_id: str) -> Response:
        """The preview's log as Server-Sent Events, or (`Accept: application/x-ndjson`) as one JSON object a line.

        `Last-Event-ID` resumes right behind that line; 204 when the preview is over and nothing is left to say.
        """
        query = checked_query(request, StreamQuery)
        watcher = await watcher_of(generation_id, query.ticket, request)
        after = _resume_after(query)
        if after is not None and await backend().previews.has_all(watcher.record, after):
            # It has all there will ever be: this stops a browser from coming back.
            return no_content(_HEADERS)
        encoding = Encoding(contract, _accepted_format(), query.filter, query.colours)
        if request.method == "HEAD":
            return _stream_response(b"", encoding.format)
        request_resources().enter_context(one_stream(watcher))
        after, tail = await first_lines(watcher.record, query, after)
        direct = _open_direct(encoding, watcher, after=after, tail=tail) if query.follow else None
        if direct is not None:
            # Hypercorn has left it when it ends, and reads no further request.
            return _stream_response(direct, encoding.format, {"Connection": "close"})
        body = _open_body(encoding, watcher, after=after, tail=tail, follow=query.follow)
        return _stream_response(body, encoding.format)

    @routes.post("/preview/logs/ticket")
    async def ticket(generation_id: str) -> Response:
        """A short-lived ticket for `EventSource`, which cannot send headers: `…/logs/stream?ticket=…`."""
        identity, _ = await own_generation(generation_id)
        record = await backend().previews.latest(generation_id)
        made = backend().tickets.issue(identity, record.id)
        return json_answer(VIEWS[contract].ticket(made, backend().settings.ticket_ttl_s))

    return routes


def _resume_after(query: StreamQuery) -> int | None:
    header = request.headers.get("Last-Event-ID", "")
    # The header wins: a browser that comes back keeps the address, and with it the first connection's query.
    if _NUMBER.fullmatch(header):
        return int(header)
    return query.after if query.last_event_id is None else query.last_event_id


def _accepted_format() -> Format:
    """Server-Sent Events for whoever does not say that they would rather have something else."""
    best = request.accept_mimetypes.best_match(_MEDIA_TYPES.values())
    return Format.NDJSON if best == _MEDIA_TYPES[Format.NDJSON] else Format.SSE


def _open_direct(
    encoding: Encoding, watcher: StreamRequester, *, after: int | None, tail: int | None
) -> TakeoverBody | None:
    """The stream as one that leaves Hypercorn; None where it cannot, or the preview is over, and so the stream soon."""
    made, handover = backend(), handover_in(request.scope)
    preview = made.previews.find(watcher.record.id)
    if not made.settings.direct_streams or preview is None or handover is None or not handover.is_possible:
        return None
    resources = request_resources()
    resources.enter_context(preview.streaming())
    stream = DirectStream(
        resources.enter_context(made.direct.group(preview.log, encoding)),
        preview.log.cursor(after=after, tail=tail),
        StreamEncoder(encoding, start_seq=after or 0),
        waits=made.waits,
        farewell=Farewell(watcher.record.id, encoding, watcher.expires_at),
        preamble=PREAMBLE if encoding.format is Format.SSE else b"",
    )
    return TakeoverBody(handover, stream.run)


def _open_body(
    encoding: Encoding, watcher: StreamRequester, *, after: int | None, tail: int | None, follow: bool
) -> LogStreamBody:
    """Subscribe, until the request is over."""
    watched = request_resources().enter_context(watching(watcher, after=after, tail=tail))
    return LogStreamBody(
        watched.receiver,
        encoding=encoding,
        waits=backend().waits,
        preview_id=watcher.record.id,
        expires_at=watcher.expires_at,
        keep_alive_s=backend().settings.keep_alive_s,
        until_seq=None if follow else watched.newest_seq,
        start_seq=after or 0,
    )


def _stream_response(
    body: ResponseBody | bytes, form: Format, headers: Mapping[str, str] = MappingProxyType({})
) -> Response:
    response = Response(body, 200, {**_HEADERS, **headers}, content_type=_MEDIA_TYPES[form])
    # Quart would cut it after a minute, without a last chunk.
    response.timeout = None
    return response
