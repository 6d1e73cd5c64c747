"""A preview's log by pages, and as a file."""

from __future__ import annotations

from urllib.parse import urlencode

from quart import Blueprint, Response, request

from preview.core.quoting import quoted
from preview.errors import PreviewNotFound
from preview.http.backend import backend
from preview.http.contracts.log_pages import log_page
from preview.http.core.answers import json_answer, link
from preview.http.core.bodies import HistoryQuery
from preview.http.core.reading import checked_query
from preview.http.identity import own_generation
from preview.http.protocol.connection import request_resources
from preview.http.streams.exports import EXPORTS, ExportBody, ExportKind, ExportStyle
from preview.logs import Contract, Range
from preview.storage.records import PreviewRecord

_PAGE_LINES = 500
_JSON = "application/json"
_BY_MEDIA_TYPE = {export.media_type: kind for kind, export in EXPORTS.items()}


def history_routes(contract: Contract) -> Blueprint:
    """The routes in one document's words."""
    routes = Blueprint(f"{contract.value}_history", __name__)

    @routes.get("/preview/logs")
    async def history(generation_id: str) -> Response:
        """Lines of the preview, live or over: the first behind `after`, or the last before `before`.

        As a page of JSON with the addresses of its neighbours, or (`format`, or `Accept`) all of them as a file.
        """
        identity, _ = await own_generation(generation_id)
        query = checked_query(request, HistoryQuery)
        record = await _preview_of(generation_id, query.preview_id)
        kind = _export_kind(query)
        if kind is None:
            return await _page(contract, record, query)
        resources = request_resources()
        resources.enter_context(backend().slots.hold(identity.user.id))
        export = EXPORTS[kind]
        body = ExportBody(
            backend().previews.look_back(record),
            kind,
            ExportStyle(contract, query.colours),
            asked=_range(query),
            chosen=query.filter,
            whole=query.limit is None,
            waits=backend().waits,
        )
        headers = {"Content-Disposition": f'attachment; filename="{record.id}.{export.suffix}"', "Vary": "Accept"}
        given = b"" if request.method == "HEAD" else body
        response = Response(given, 200, headers, content_type=f"{export.media_type}; charset=utf-8")
        # Quart would cut a long one after a minute.
        response.timeout = None
        return response

    return routes


def _export_kind(query: HistoryQuery) -> ExportKind | None:
    """Which file; None is a page. What the query says counts before what the header accepts."""
    if query.format is not None:
        return None if query.format == "json" else ExportKind(query.format)
    # JSON stands first: it is the answer to whoever takes anything.
    best = request.accept_mimetypes.best_match([_JSON, *_BY_MEDIA_TYPE], default=_JSON)
    return _BY_MEDIA_TYPE.get(best or _JSON)


def _range(query: HistoryQuery) -> Range:
    newest = query.before is not None
    return Range(query.after, query.before, query.limit or _PAGE_LINES, newest=newest)


async def _page(contract: Contract, record: PreviewRecord, query: HistoryQuery) -> Response:
    page = await backend().previews.look_back(record).page(_range(query), query.filter)
    following = previous = None
    if record.is_active or page.last < page.last_seq:
        following = _address(query, record, after=page.last)
    if page.first > page.first_kept > 0:
        previous = _address(query, record, before=page.first)
    shown = log_page(page, contract, colours=query.colours, following=following, previous=previous)
    return json_answer(shown, headers={"Vary": "Accept"})


def _address(query: HistoryQuery, record: PreviewRecord, **place: int) -> str:
    """The same question at another place; the preview stays the same, whatever is launched meanwhile."""
    kept = {"level": query.level, "source": query.source, "q": query.q, "request_id": query.request_id}
    kept |= {"limit": None if query.limit is None else str(query.limit), "ansi": "keep" if query.colours else None}
    words = {name: value for name, value in kept.items() if value is not None}
    return f"{link(request.path)}?{urlencode({'preview_id': record.id} | place | words)}"


async def _preview_of(generation_id: str, preview_id: str | None) -> PreviewRecord:
    """The preview of this generation with this id; the newest where none is named."""
    if preview_id is None:
        return await backend().previews.latest(generation_id)
    record = await backend().previews.get(preview_id)
    if record.generation_id != generation_id:
        raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
    return record
