"""Routes of recorded requests, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import trio
from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.core.quoting import quoted
from preview.errors import NoActivePreview, PreviewNotFound, RequestNotFound
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.requests import CaptureShape, RequestItem, RequestList, RequestShape
from preview.http.core.answers import json_answer, no_content
from preview.http.core.bodies import CaptureBody, OneRequestQuery, RecordQuery, RequestsQuery
from preview.http.core.reading import checked_query, read_json
from preview.http.core.request_exports import har_answer, text_answer
from preview.http.identity import own_generation
from preview.http.protocol.listening import request_resources
from preview.http.streams.request_stream import RequestStreamBody
from preview.logs.failures.model import FailureRecord
from preview.logs.filter import Resolved, parse_filter
from preview.storage.tables import PreviewRecord
from preview.traffic import Capture, RecordedRequest
from preview.traffic.exports import Format

_BODY_BYTES = 4096
# Longest wait of a reader for requests that are not stored yet; during an outage, older ones are shown.
_SETTLE_S = 2.0
_FAILED = 500
_ANY_LINE = 2**63
_NUMBER = re.compile(r"[0-9]{1,18}")
_EVENTS = "text/event-stream"
_STREAM_HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept", "X-Accel-Buffering": "no"}


def request_routes(running: Running) -> Blueprint:
    """Return the routes that read and pin recorded requests."""
    routes = BackendRoutes("requests", running)

    @routes.get("/preview/requests")
    async def list_requests(backend: Backend, generation_id: str) -> Response:
        """Return recorded requests of the preview, live or ended: the newest first, or from `after` on upwards.

        With `Accept: text/event-stream` as Server-Sent Events, `request` for each, as soon as it is stored.
        """
        identity, _ = await own_generation(backend, generation_id)
        query = checked_query(request, RequestsQuery)
        record = await preview_of(backend, generation_id, query.preview_id)
        matches = await matches_of(backend, record, query.filter)
        if request.accept_mimetypes.best_match(["application/json", _EVENTS]) == _EVENTS:
            return await _stream(backend, identity, record, query, matches)
        await _settle(backend, record.id)
        page = await backend.service.traffic.list(
            record.id,
            matches,
            before=query.before,
            after=query.after,
            limit=query.limit,
            with_content=query.format == "har",
        )
        if query.format == "har":
            return await har_answer(record, page.items)
        capture = await _capture(backend, record)
        # Only those that have failed are worth a wait for their tracebacks.
        is_failed = any(not one.status or one.status >= _FAILED for one in page.items)
        failures = await _failures(backend, record.id, page.items, settles=is_failed)
        return json_answer(RequestList.of(page, record.id, capture.value, failures), headers={"Vary": "Accept"})

    @routes.get("/preview/requests/<record:number>")
    async def one_request(backend: Backend, generation_id: str, number: str) -> Response:
        """Return one recorded request, with headers and bodies if these were recorded; or as text to paste."""
        record, place = await _one(backend, generation_id, number)
        form = checked_query(request, RecordQuery).format
        found = await backend.service.traffic.get(record.id, place)
        if form != "json":
            return text_answer(record, found, Format(form))
        failures = await _failures(backend, record.id, [found], settles=True)
        return json_answer(RequestShape.of(found, failures.get(found.number)))

    @routes.put("/preview/requests/<record:number>/pin")
    async def pin(backend: Backend, generation_id: str, number: str) -> Response:
        """Keep a recorded request: it is not deleted by age or size."""
        record, place = await _one(backend, generation_id, number)
        await backend.service.traffic.pin(
            record.id, place, user_id=record.user_id, most=backend.settings.pinned_requests
        )
        return no_content()

    @routes.delete("/preview/requests/<record:number>/pin")
    async def unpin(backend: Backend, generation_id: str, number: str) -> Response:
        """Let a recorded request be deleted again by age or size."""
        record, place = await _one(backend, generation_id, number)
        await backend.service.traffic.unpin(record.id, place)
        return no_content()

    @routes.get("/preview/capture")
    async def capture(backend: Backend, generation_id: str) -> Response:
        """Return what is recorded of the preview's requests."""
        await own_generation(backend, generation_id)
        record = await preview_of(backend, generation_id, None)
        return json_answer(CaptureShape(preview_id=record.id, capture=(await _capture(backend, record)).value))

    @routes.put("/preview/capture")
    async def set_capture(backend: Backend, generation_id: str) -> Response:
        """Set what is recorded of the live preview's requests, from the next one on."""
        await own_generation(backend, generation_id)
        body = await read_json(request, CaptureBody, limit_bytes=_BODY_BYTES)
        preview = backend.previews.active(generation_id)
        if preview is None or not preview.stored:
            raise NoActivePreview("The generation has no preview now; launch it first.")
        preview.traffic.set_capture(Capture(body.capture))
        await backend.service.traffic_writer.store_capture(preview.traffic)
        return json_answer(CaptureShape(preview_id=preview.id, capture=body.capture))

    return routes


async def preview_of(backend: Backend, generation_id: str, preview_id: str | None) -> PreviewRecord:
    """Return the preview of this generation with this id; by default the newest.

    Raises:
        NoActivePreview, PreviewNotFound: There is none.

    Cancellation: no state changes.
    """
    if preview_id is None:
        return await backend.previews.latest(generation_id)
    record = await backend.previews.get(preview_id)
    if record.generation_id != generation_id:
        raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
    return record


async def _one(backend: Backend, generation_id: str, number: str) -> tuple[PreviewRecord, int]:
    """Return the preview, and the number of the record in the address.

    Raises:
        RequestNotFound: It is no number.
        NoActivePreview, PreviewNotFound: There is no such preview.

    Cancellation: no state changes.
    """
    await own_generation(backend, generation_id)
    record = await preview_of(backend, generation_id, checked_query(request, OneRequestQuery).preview_id)
    if _NUMBER.fullmatch(number) is None:
        raise RequestNotFound(f"{quoted(number)} is not the number of a recorded request; list the requests.")
    await _settle(backend, record.id)
    return record, int(number)


async def _settle(backend: Backend, preview_id: str) -> None:
    """Wait a moment until the requests so far are stored."""
    with trio.move_on_after(_SETTLE_S):
        await backend.service.traffic_writer.flush(preview_id)


async def _failures(
    backend: Backend, preview_id: str, items: Sequence[RecordedRequest], *, settles: bool
) -> dict[int, str]:
    """Return the id of the failure of each request that has one, by the request's number.

    Args:
        backend: The backend.
        preview_id: The preview.
        items: Its requests.
        settles: Wait, for a second at most, until what the preview has printed is searched.

    Cancellation: nothing changes.
    """
    collector = backend.service.failures
    records: Sequence[FailureRecord] = collector.known(preview_id)
    if settles or backend.previews.find(preview_id) is None:
        records, _, _ = await collector.records(preview_id)
    wanted = {one.request_id for one in items}
    known: dict[str, list[tuple[int, str]]] = {}
    for record in records:
        for one in record.occurrences:
            if one.request_id is not None and one.request_id in wanted:
                known.setdefault(one.request_id, []).append((one.first_seq, record.id))
    found: dict[int, str] = {}
    for item in items:
        # Servers print a traceback after the response, so perhaps after the record.
        last = item.last_line if item.status and item.status < _FAILED else _ANY_LINE
        # Another request may have the same id: the lines tell them apart.
        of = (record_id for seq, record_id in known.get(item.request_id, ()) if item.first_line <= seq <= last)
        if (first := next(of, None)) is not None:
            found[item.number] = first
    return found


async def _capture(backend: Backend, record: PreviewRecord) -> Capture:
    preview = backend.previews.find(record.id)
    if preview is not None:
        return preview.traffic.capture
    return await backend.service.traffic.capture(record.id) or Capture(backend.settings.capture)


async def matches_of(
    backend: Backend, record: PreviewRecord, text: str | None
) -> Callable[[RecordedRequest], bool] | None:
    """Return the test of the filter; None for an empty one.

    Raises:
        InvalidFilter: The filter has a mistake, or a term that does not apply to requests.

    Cancellation: no state changes.
    """
    chosen = parse_filter(text or "")
    if chosen.is_empty:
        return None
    chosen.check_requests()
    if chosen.needs_reloads:
        preview = backend.previews.find(record.id)
        if preview is not None:
            reloads = preview.restarts
        else:
            newest = (await backend.service.traffic.list(record.id, limit=1)).items
            reloads = newest[0].reload if newest else 0
        chosen = chosen.resolved(Resolved(reloads=(1,) * (reloads + 1)))
    return chosen.matches_request


async def _stream(
    backend: Backend,
    identity: Identity,
    record: PreviewRecord,
    query: RequestsQuery,
    matches: Callable[[RecordedRequest], bool] | None,
) -> Response:
    traffic = backend.service.traffic_writer.find(record.id)
    given = request.headers.get("Last-Event-ID", "")
    after = int(given) if _NUMBER.fullmatch(given) else query.after
    if after is None:
        after = 0 if traffic is None else traffic.stored_number
    body: bytes | RequestStreamBody = b""
    if request.method != "HEAD":
        request_resources().enter_context(backend.slots.hold(identity.key))
        body = RequestStreamBody(
            backend.service.traffic,
            traffic,
            record.id,
            after=after,
            matches=matches,
            shown=lambda one: json.dumps(RequestItem.of(one).dumped()),
            waits=backend.waits,
            expires_at=identity.expires_at,
            keep_alive_s=backend.settings.keep_alive_s,
        )
    response = Response(body, 200, _STREAM_HEADERS, content_type=_EVENTS)
    # Quart would end it after a minute, without a last chunk.
    response.timeout = None
    return response
