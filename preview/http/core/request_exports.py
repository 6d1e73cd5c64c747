"""Recorded requests in the forms of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio
from quart import Response

from preview.storage import PreviewRecord
from preview.traffic import RecordedRequest
from preview.traffic.exports import Format, export
from preview.traffic.har import write_har
from preview.traffic.ready import ready_request

HAR = "application/har+json"


async def har_answer(preview: PreviewRecord, records: Sequence[RecordedRequest]) -> Response:
    """Return records as an HTTP Archive, oldest first. Cancellation: no state changes."""
    ordered = sorted(records, key=lambda one: one.number)
    text = await trio.to_thread.run_sync(partial(write_har, ordered, _base_url(preview)))
    name = f"attachment; filename={preview.id}.har"
    return Response(text.encode("utf-8", "replace"), 200, {"Content-Disposition": name}, content_type=HAR)


def text_answer(preview: PreviewRecord, record: RecordedRequest, form: Format) -> Response:
    """Return a record as text to paste.

    Raises:
        RecordIncomplete: The record lacks a part of the request.
    """
    text = export(ready_request(record), form, _base_url(preview), status=record.status)
    return Response(text.encode("utf-8", "replace"), 200, content_type="text/plain; charset=utf-8")


def _base_url(preview: PreviewRecord) -> str:
    return (preview.base_url or "http://localhost").rstrip("/")
