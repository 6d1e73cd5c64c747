"""The log stream of a generation's preview, and tickets for clients that cannot send headers."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from quart import Blueprint, Response, request

from preview.errors import Forbidden
from preview.http.answers import json_answer, no_content
from preview.http.backend import backend
from preview.http.bodies import StreamQuery
from preview.http.connection import request_resources
from preview.http.contracts import VIEWS
from preview.http.identity import own_generation, owned_by, require_identity
from preview.http.reading import checked_query
from preview.http.streams import LogStreamBody, Receiver
from preview.logs import Contract
from preview.storage.records import PreviewRecord

__all__ = ["log_routes"]

_STREAM_HEADERS = {
    "Cache-Control": "no-cache",
    # Tells nginx, and whoever follows its example, to pass each chunk on at once.
    "X-Accel-Buffering": "no",
}
_NUMBER = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class _Watcher:
    """Who watches, and how long they may."""

    user_id: str
    expires_at: datetime | None
    record: PreviewRecord


def log_routes(contract: Contract) -> Blueprint:
    """The routes in one document's words."""
    routes = Blueprint(f"{contract.value}_logs", __name__)

    @routes.get("/preview/logs/stream")
    async def stream(generation_id: str) -> Response:
        """The preview's log as Server-Sent Events.

        `Last-Event-ID` resumes right behind that line; 204 when the preview is over and nothing is left to say.
        """
        query = checked_query(request, StreamQuery)
        watcher = await _watcher(generation_id, query.ticket)
        after = _resume_after(query)
        if after is not None and await backend().previews.has_all(watcher.record, after):
            # It has all there will ever be: this stops a browser from coming back.
            return no_content()
        if request.method == "HEAD":
            return _stream_response(b"")
        return _stream_response(_open_body(contract, watcher, query, after))

    @routes.post("/preview/logs/ticket")
    async def ticket(generation_id: str) -> Response:
        """A short-lived ticket for `EventSource`, which cannot send headers: `…/logs/stream?ticket=…`."""
        identity, _ = await own_generation(generation_id)
        record = await backend().previews.latest(generation_id)
        made = backend().tickets.issue(identity, record.id)
        return json_answer(VIEWS[contract].ticket(made, backend().settings.ticket_ttl_s))

    return routes


async def _watcher(generation_id: str, ticket: str | None) -> _Watcher:
    """Who asks, by ticket or by token, and which preview it is."""
    if ticket is None:
        identity = await require_identity()
        await owned_by(identity.user.id, generation_id)
        record = await backend().previews.latest(generation_id)
    else:
        identity, preview_id = backend().tickets.redeem(ticket)
        await owned_by(identity.user.id, generation_id)
        record = await backend().previews.get(preview_id)
        if record.generation_id != generation_id:
            raise Forbidden("The stream ticket is for another preview; get one for this.", reason="ticket")
    return _Watcher(identity.user.id, identity.expires_at, record)


def _resume_after(query: StreamQuery) -> int | None:
    header = request.headers.get("Last-Event-ID", "")
    # The header wins: a browser that comes back keeps the address, and with it the first connection's query.
    return int(header) if _NUMBER.fullmatch(header) else query.last_event_id


def _open_body(contract: Contract, watcher: _Watcher, query: StreamQuery, after: int | None) -> LogStreamBody:
    """Take a slot and subscribe; both are given back when the request is over."""
    made, resources = backend(), request_resources()
    resources.enter_context(made.slots.hold(watcher.user_id))
    preview = made.previews.find(watcher.record.id)
    if preview is not None:
        resources.enter_context(preview.streaming())
    log: AbstractContextManager[Receiver] = made.previews.open_log(watcher.record, after=after, tail=query.tail)
    receiver = resources.enter_context(log)
    until_seq = None if query.follow or preview is None else preview.log.last_seq
    return LogStreamBody(
        receiver,
        contract=contract,
        waits=made.waits,
        preview_id=watcher.record.id,
        expires_at=watcher.expires_at,
        keep_alive_s=made.settings.keep_alive_s,
        until_seq=until_seq,
        start_seq=after or 0,
    )


def _stream_response(body: LogStreamBody | bytes) -> Response:
    response = Response(body, 200, _STREAM_HEADERS, content_type="text/event-stream")
    # Quart would cut it after a minute, without a last chunk.
    response.timeout = None
    return response
