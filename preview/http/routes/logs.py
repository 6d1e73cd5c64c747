"""Routes for a preview's log: streams, tickets for clients that cannot send headers, history and WebSockets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlencode

import trio
from quart import Blueprint, Request, Response, Websocket, request, websocket
from quart.wrappers.response import ResponseBody

from preview.core.quoting import quoted
from preview.errors import (
    Forbidden,
    PreviewNotFound,
    PreviewUnavailable,
    RequestNotFound,
    Unauthenticated,
    UpgradeRequired,
)
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts import ANSWERS
from preview.http.contracts.shared import Ticket
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.bodies import HistoryQuery, StreamQuery
from preview.http.core.line_query import LineQuery
from preview.http.core.reading import checked_query
from preview.http.guests import follow
from preview.http.identity import own_generation, owned_by
from preview.http.protocol.listening import request_resources
from preview.http.protocol.strict_ws import peer_in
from preview.http.protocol.takeover import TakeoverBody, handover_in
from preview.http.streams.direct import DirectStream
from preview.http.streams.exports import EXPORTS, ExportBody, ExportKind, ExportStyle
from preview.http.streams.log_socket import LogSocket, StreamRequester, first_lines, watching
from preview.http.streams.log_streams import Farewell, LogStreamBody
from preview.logs import PREAMBLE, Contract, Encoding, Format, LineFilter, LogPager, LogReplica, Range, StreamEncoder
from preview.logs.filter import NO_FILTER, Filter, KnownRequests, parse_filter
from preview.storage.tables import PreviewRecord
from preview.supervisor import PreviewManager

_MEDIA_TYPES = {Format.SSE: "text/event-stream", Format.NDJSON: "application/x-ndjson"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    # Makes nginx, and proxies that follow its example, forward each chunk at once.
    "X-Accel-Buffering": "no",
}
_NUMBER = re.compile(r"\d{1,18}")


def log_routes(contract: Contract, running: Running) -> Blueprint:
    """Return the routes of one contract."""
    routes = BackendRoutes(f"{contract.value}_logs", running)

    @routes.get("/preview/logs/stream")
    async def stream(backend: Backend, generation_id: str) -> Response:
        """Return the preview's log as Server-Sent Events, or with `Accept: application/x-ndjson` as JSON lines.

        `Last-Event-ID` resumes right after that line; 204 when the preview has ended and no line follows.
        """
        query = checked_query(request, StreamQuery)
        watcher = await _watcher_of(backend, generation_id, query, request)
        after = _resume_after(query)
        if after is not None and await backend.previews.has_all(watcher.record, after):
            # The client has every line there will be; a 204 stops a browser from reconnecting.
            return no_content(_HEADERS)
        chosen = await line_filter(backend, watcher.record, query)
        encoding = Encoding(contract, _accepted_format(), chosen, query.colours)
        if request.method == "HEAD":
            return _stream_response(b"", encoding.format)
        request_resources().enter_context(backend.slots.hold(watcher.user_id))
        replica = await _replica(backend, watcher.record, after)
        after, tail = await first_lines(backend.previews, watcher.record, query, chosen, after, replica)
        # No await from here until the stream has joined: a lost log has no event that would end it.
        if replica is not None and replica.is_lost:
            raise PreviewUnavailable("The preview's node was lost; try again in a moment.")
        begin = Beginning(after, tail, replica)
        direct = _open_direct(backend, encoding, watcher, begin) if query.follow else None
        if direct is not None:
            # Hypercorn no longer serves the connection then, so no further request can be read.
            return _stream_response(direct, encoding.format, {"Connection": "close"})
        body = _open_body(backend, request_resources(), encoding, watcher, begin, follow=query.follow)
        return _stream_response(body, encoding.format)

    @routes.post("/preview/logs/ticket")
    async def ticket(backend: Backend, generation_id: str) -> Response:
        """Return a short-lived ticket for `EventSource`, which cannot send headers: `…/logs/stream?ticket=…`."""
        identity, _ = await own_generation(backend, generation_id, in_contract=True)
        record = await backend.previews.latest(generation_id)
        made = backend.tickets.issue(identity, record.id)
        return json_answer(Ticket(ticket=made, expires_in=backend.settings.ticket_ttl_s))

    return routes


async def _watcher_of(
    backend: Backend, generation_id: str, query: StreamQuery, asked: Request | Websocket
) -> StreamRequester:
    """Return the user, by ticket or token, and the preview: the newest, or the one that the query names.

    Raises:
        Unauthenticated, Forbidden, GenerationNotFound: See ``identity``; also for a ticket.
        NoActivePreview, PreviewNotFound: There is no such preview.

    Cancellation: no state changes.
    """
    if query.ticket is None:
        identity, _ = await own_generation(backend, generation_id, asked, in_contract=True)
        record = await _preview_of(backend.previews, generation_id, query.preview_id)
    else:
        identity, preview_id = backend.tickets.redeem(query.ticket)
        if identity.token_id is not None and backend.people.api_tokens.is_revoked(identity.token_id):
            raise Unauthenticated("The API token of this stream ticket was revoked; get a new one.", reason="ticket")
        await backend.people.members.checked(identity)
        follow(backend, asked.scope, identity)
        await owned_by(backend, identity.user.id, generation_id, in_contract=True)
        record = await backend.previews.get(preview_id)
        if record.generation_id != generation_id:
            raise Forbidden("The stream ticket is for another preview; get one for this.", reason="ticket")
    return StreamRequester(identity.key, identity.expires_at, record, identity.revocable is not None)


class Beginning(NamedTuple):
    """Start of a stream: a line, or a number of last lines; and the log, if another node has the preview."""

    after: int | None
    tail: int | None
    replica: LogReplica | None


def _is_elsewhere(backend: Backend, record: PreviewRecord) -> bool:
    is_clustered = backend.service.cluster is not None
    return is_clustered and record.is_active and backend.previews.find(record.id) is None


async def _replica(backend: Backend, record: PreviewRecord, after: int | None) -> LogReplica | None:
    """Return the log of a live preview on another node, with line ``after``; None if the preview is here, or over.

    Raises:
        PreviewUnavailable: The preview waits for a node of the cluster, or its node is lost.

    Cancellation: no state changes.
    """
    if not _is_elsewhere(backend, record):
        return None
    locator = backend.shared_logs.locator
    if locator is None or await locator.locate(record.id, fresh=False) is None:
        await _check_here(backend, record)
    shared = request_resources().enter_context(backend.shared_logs.reading(record.id))
    return await backend.shared_logs.opened(shared, after)


async def _check_here(backend: Backend, record: PreviewRecord) -> None:
    """Check that the log of a live preview can be watched here. Raises, cancellation: as ``_replica``."""
    if not _is_elsewhere(backend, record):
        return
    place = await backend.previews.place(record)
    where = "" if place is None else f", place {place.place} of {place.waiting} in the queue"
    raise PreviewUnavailable(f"The preview waits for a node{where}; try again in a moment.")


def _resume_after(query: StreamQuery) -> int | None:
    header = request.headers.get("Last-Event-ID", "")
    # The header has priority: a reconnecting browser repeats the address with the first connection's query.
    if _NUMBER.fullmatch(header):
        return int(header)
    return query.after if query.last_event_id is None else query.last_event_id


def _accepted_format() -> Format:
    """Return the accepted format: Server-Sent Events, unless the client prefers NDJSON."""
    best = request.accept_mimetypes.best_match(_MEDIA_TYPES.values())
    return Format.NDJSON if best == _MEDIA_TYPES[Format.NDJSON] else Format.SSE


def _open_direct(
    backend: Backend, encoding: Encoding, watcher: StreamRequester, begin: Beginning
) -> TakeoverBody | None:
    """Return the stream as a body that leaves Hypercorn; None if impossible, or if the preview has ended."""
    handover = handover_in(request.scope)
    preview = backend.previews.find(watcher.record.id)
    log = begin.replica if preview is None else preview.log
    if not backend.settings.direct_streams or log is None or handover is None or not handover.is_possible:
        return None
    if watcher.is_revocable:
        # A revocation cuts the request off, and a direct stream outlives its request.
        return None
    resources = request_resources()
    if preview is not None:
        resources.enter_context(preview.streaming())
    stream = DirectStream(
        resources.enter_context(backend.direct.group(log, encoding)),
        log.cursor(after=begin.after, tail=begin.tail),
        StreamEncoder(encoding, start_seq=begin.after or 0),
        waits=backend.waits,
        farewell=Farewell(watcher.record.id, encoding, watcher.expires_at),
        preamble=PREAMBLE if encoding.format is Format.SSE else b"",
    )
    return TakeoverBody(handover, stream.run)


def _open_body(
    backend: Backend,
    resources: ExitStack,
    encoding: Encoding,
    watcher: StreamRequester,
    begin: Beginning,
    *,
    follow: bool,
) -> LogStreamBody:
    """Return the body of a stream that stays subscribed until the end of the request."""
    after, tail, replica = begin
    watched = resources.enter_context(watching(backend.previews, watcher, after=after, tail=tail, replica=replica))
    return LogStreamBody(
        watched.receiver,
        encoding=encoding,
        waits=backend.waits,
        preview_id=watcher.record.id,
        expires_at=watcher.expires_at,
        keep_alive_s=backend.settings.keep_alive_s,
        until_seq=None if follow else watched.newest_seq,
        start_seq=after or 0,
    )


def _stream_response(
    body: ResponseBody | bytes, form: Format, headers: Mapping[str, str] = MappingProxyType({})
) -> Response:
    response = Response(body, 200, {**_HEADERS, **headers}, content_type=_MEDIA_TYPES[form])
    # Quart would end it after a minute, without a last chunk.
    response.timeout = None
    return response


# Maximum wait until a request that has just ended is stored; in an outage it is not found.
_STORED_S = 1.0


async def line_filter(backend: Backend, record: PreviewRecord, query: LineQuery) -> LineFilter:
    """Return the filter of a query for this preview's lines.

    Raises:
        InvalidFilter: The filter has a mistake, or a term that does not apply to lines.

    Cancellation: no state changes.
    """
    return query.chosen(await line_terms(backend, record, query.filter))


async def line_terms(backend: Backend, record: PreviewRecord, text: str | None) -> Filter:
    """Return the terms of a filter for this preview's lines.

    Raises:
        InvalidFilter: The filter has a mistake, or a term that does not apply to lines.

    Cancellation: no state changes.
    """
    terms = NO_FILTER if text is None else parse_filter(text)
    service, requests, known = backend.service, dict[int, str](), KnownRequests()
    if terms.request_numbers or terms.needs_requests:
        with trio.move_on_after(_STORED_S):
            await service.traffic_writer.flush(record.id)
    for number in terms.request_numbers:
        with suppress(RequestNotFound):
            requests[number] = (await service.traffic.get(record.id, number)).request_id
    if terms.needs_requests:
        known = await service.traffic.known(record.id)
    return backend.previews.resolve(record, terms, requests, known)


_PAGE_LINES = 500
_JSON = "application/json"
_BY_MEDIA_TYPE = {export.media_type: kind for kind, export in EXPORTS.items()}


def history_routes(contract: Contract, running: Running) -> Blueprint:
    """Return the routes of one contract."""
    routes = BackendRoutes(f"{contract.value}_history", running)

    @routes.get("/preview/logs")
    async def history(backend: Backend, generation_id: str) -> Response:
        """Return lines of the preview, live or ended: the first after `after`, or the last before `before`.

        As a page of JSON with the addresses of its neighbours, or (`format`, or `Accept`) all of them as a file.
        """
        identity, _ = await own_generation(backend, generation_id, in_contract=True)
        query = checked_query(request, HistoryQuery)
        record = await _preview_of(backend.previews, generation_id, query.preview_id)
        chosen = await line_filter(backend, record, query)
        kind = _export_kind(query)
        if kind is None:
            return await _page(backend.previews.look_back(record), contract, record, query, chosen)
        resources = request_resources()
        resources.enter_context(backend.slots.hold(identity.key))
        export = EXPORTS[kind]
        body = ExportBody(
            backend.previews.look_back(record),
            kind,
            ExportStyle(contract, query.colours),
            asked=_range(query),
            chosen=chosen,
            whole=query.limit is None,
            waits=backend.waits,
        )
        headers = {"Content-Disposition": f'attachment; filename="{record.id}.{export.suffix}"', "Vary": "Accept"}
        given = b"" if request.method == "HEAD" else body
        response = Response(given, 200, headers, content_type=f"{export.media_type}; charset=utf-8")
        # Quart would end a long response after a minute.
        response.timeout = None
        return response

    return routes


def _export_kind(query: HistoryQuery) -> ExportKind | None:
    """Return the kind of file; None for a page. The query overrides the header."""
    if query.format is not None:
        return None if query.format == "json" else ExportKind(query.format)
    # JSON is first, as the response to a client that accepts anything.
    best = request.accept_mimetypes.best_match([_JSON, *_BY_MEDIA_TYPE], default=_JSON)
    return _BY_MEDIA_TYPE.get(best or _JSON)


def _range(query: HistoryQuery) -> Range:
    newest = query.before is not None
    return Range(query.after, query.before, query.limit or _PAGE_LINES, newest=newest)


async def _page(
    pager: LogPager, contract: Contract, record: PreviewRecord, query: HistoryQuery, chosen: LineFilter
) -> Response:
    page = await pager.page(_range(query), chosen)
    following = previous = None
    if record.is_active or page.last < page.last_seq:
        following = _address(query, record, after=page.last)
    if page.first > page.first_kept > 0:
        previous = _address(query, record, before=page.first)
    shown = ANSWERS[contract].log_page.of(page, colours=query.colours, following=following, previous=previous)
    return json_answer(shown, headers={"Vary": "Accept"})


def _address(query: HistoryQuery, record: PreviewRecord, **place: int) -> str:
    """Return the same query at another position. It names the preview, so a later launch does not matter."""
    kept = {"level": query.level, "source": query.source, "q": query.q, "request_id": query.request_id}
    kept["filter"] = query.filter
    kept |= {"limit": None if query.limit is None else str(query.limit), "ansi": "keep" if query.colours else None}
    words = {name: value for name, value in kept.items() if value is not None}
    return f"{link(request.path)}?{urlencode({'preview_id': record.id} | place | words)}"


async def _preview_of(previews: PreviewManager, generation_id: str, preview_id: str | None) -> PreviewRecord:
    """Return the preview of this generation with this id; by default the newest."""
    if preview_id is None:
        return await previews.latest(generation_id)
    record = await previews.get(preview_id)
    if record.generation_id != generation_id:
        raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
    return record


def log_socket_routes(contract: Contract, running: Running) -> Blueprint:
    """Return the routes of one contract."""
    routes = BackendRoutes(f"{contract.value}_log_sockets", running)

    @routes.get("/preview/logs/ws")
    async def socket(backend: Backend, generation_id: str) -> Response:
        """Return the preview's log over a WebSocket (RFC 6455): each message is a JSON array of events.

        A client may change its filter at any time; docs/api.md has the messages of both sides.
        """
        await own_generation(backend, generation_id, in_contract=True)
        raise UpgradeRequired("This address speaks WebSocket; open it with a WebSocket client, or read …/logs/stream.")

    @routes.websocket("/preview/logs/ws")
    async def watch(backend: Backend, generation_id: str) -> None:
        """Send the preview's log; each message is a JSON array of events. A refusal is an ordinary response."""
        asked = websocket._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  used in this package's tasks
        query = checked_query(asked, StreamQuery)
        watcher = await _watcher_of(backend, generation_id, query, asked)
        await _check_here(backend, watcher.record)
        given = query.after if query.last_event_id is None else query.last_event_id
        settings = backend.settings
        with ExitStack() as held:
            held.enter_context(backend.slots.hold(watcher.user_id))
            resolve = partial(line_filter, backend, watcher.record)
            chosen = await resolve(query)
            after, tail = await first_lines(backend.previews, watcher.record, query, chosen, given)
            encoding = Encoding(contract, Format.NDJSON, chosen, query.colours)
            begin = Beginning(after, tail, None)
            body = _open_body(backend, held, encoding, watcher, begin, follow=query.follow)
            await asked.accept()
            await LogSocket(asked, body, peer=peer_in(asked.scope), ping_s=settings.keep_alive_s, resolve=resolve).run()

    return routes
