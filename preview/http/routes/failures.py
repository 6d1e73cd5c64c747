"""Routes of a preview's failures and of its diagnosis, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

import trio
from quart import Blueprint, Response, request

from preview.core.quoting import quoted
from preview.errors import FailureNotFound, NoActivePreview, PreviewError, PreviewNotFound
from preview.generations import Generation
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.failures import (
    DiagnosisQuery,
    DiagnosisShape,
    FailureDetail,
    FailureList,
    FailureQuery,
    FailuresQuery,
)
from preview.http.core.answers import json_answer
from preview.http.core.reading import checked_query
from preview.http.identity import own_generation
from preview.http.routes.logs import line_terms
from preview.logs import EVERYTHING, LogLine, Range, Source
from preview.logs.failures.model import FailureRecord
from preview.logs.failures.text import line_of, text_of
from preview.storage.tables import PreviewRecord
from preview.supervisor import report_on
from preview.traffic.record import RecordedRequest

_LAST_LINES = 30
_READ_LINES = 200
_NEWEST = 5
_BEFORE, _AFTER = 20, 5
_FLUSH_S = 1.0
_BODY_BYTES = 4_000
_OWN = frozenset({Source.SYSTEM, Source.SYSTEM_STARTUP})


def failure_routes(running: Running) -> Blueprint:
    """Return the routes that explain why a preview, or a request to it, failed."""
    routes = BackendRoutes("failures", running)

    @routes.get("/preview/failures")
    async def failures(backend: Backend, generation_id: str) -> Response:
        """Return the failures of the newest preview, one record for each cause, the newest first.

        A failure is a traceback of Python or Node in the log. The preview may be over.
        """
        await own_generation(backend, generation_id)
        query = checked_query(request, FailuresQuery)
        record = await _preview_of(backend, generation_id, query.preview_id)
        chosen = await line_terms(backend, record, query.filter)
        records, further, unread_lines = await backend.service.failures.records(record.id)
        passing = [one for one in records if chosen.matches_line(line_of(one))]
        return json_answer(FailureList.of(record.id, passing[: query.limit], further, unread_lines))

    @routes.get("/preview/failures/<failure_id>")
    async def failure(backend: Backend, generation_id: str, failure_id: str) -> Response:
        """Return a failure with its stack, the source around its place, and its occurrences.

        Of the newest preview, or of the last probe.
        """
        _, generation = await own_generation(backend, generation_id)
        query = checked_query(request, FailureQuery)
        record, found = await _find(backend, generation, query.preview_id, failure_id)
        sent = None if record is None else await _request_of(backend, record, found)
        if query.format == "text":
            lines = [] if record is None else await _lines_around(backend, record, found)
            text = text_of(found, lines, [] if sent is None else _described(sent))
            return Response(text.encode("utf-8", "replace"), content_type="text/plain; charset=utf-8")
        return json_answer(FailureDetail.of(found, sent, is_probe=record is None))

    @routes.get("/preview/diagnosis")
    async def diagnosis(backend: Backend, generation_id: str) -> Response:
        """Explain the newest preview: how far it came, how it ended, the cause, and what to do.

        Also of a preview that did not start, and of one that runs and in which requests fail.
        """
        await own_generation(backend, generation_id)
        query = checked_query(request, DiagnosisQuery)
        record = await _preview_of(backend, generation_id, query.preview_id)
        records, _, _ = await backend.service.failures.records(record.id)
        confinement = backend.service.previews.confinement(record.id)
        lines = await _last_lines(backend, record, _READ_LINES)
        reached = [] if confinement is None else confinement.reached
        printed = [line.message for line in lines if line.source not in _OWN]
        report = report_on(record, reached, printed, records)
        return json_answer(DiagnosisShape.of(record, confinement, report, lines[-_LAST_LINES:], records[:_NEWEST]))

    return routes


async def _preview_of(backend: Backend, generation_id: str, preview_id: str | None) -> PreviewRecord:
    """Return the preview of this generation with this id; by default the newest."""
    previews = backend.service.previews
    if preview_id is None:
        return await previews.latest(generation_id)
    record = await previews.get(preview_id)
    if record.generation_id != generation_id:
        raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
    return record


async def _find(
    backend: Backend, generation: Generation, preview_id: str | None, failure_id: str
) -> tuple[PreviewRecord | None, FailureRecord]:
    """Return a failure with its preview; None in place of the preview if the last probe found it.

    Raises:
        NoActivePreview, PreviewNotFound, FailureNotFound: There is none.

    Cancellation: no state changes.
    """
    missing: PreviewError
    try:
        record = await _preview_of(backend, generation.id, preview_id)
    except NoActivePreview as error:
        missing = error
    else:
        records, _, _ = await backend.service.failures.records(record.id)
        for one in records:
            if one.id == failure_id:
                return record, one
        missing = FailureNotFound(f"The preview has no failure {quoted(failure_id)}; list them to see which it has.")
    probe = await backend.prober.last(generation) if preview_id is None else None
    for one in [] if probe is None else probe.failures:
        if one.id == failure_id:
            return None, one
    raise missing


async def _last_lines(backend: Backend, record: PreviewRecord, count: int) -> list[LogLine]:
    pager = backend.service.previews.look_back(record)
    return (await pager.page(Range(0, None, count, newest=True), EVERYTHING)).lines


async def _request_of(backend: Backend, record: PreviewRecord, found: FailureRecord) -> RecordedRequest | None:
    """Return the recorded request of the newest occurrence, with what is known of its content; None without one."""
    request_id = found.last.request_id
    if request_id is None:
        return None
    with trio.move_on_after(_FLUSH_S):
        await backend.service.traffic_writer.flush(record.id)
    return await backend.service.traffic.find(record.id, request_id, found.last.first_seq)


def _described(sent: RecordedRequest) -> list[str]:
    lines = [f"{sent.method} {sent.target} -> {sent.status or 'no response'} (record {sent.number})"]
    if sent.request is not None:
        lines += [f"{name}: {value}" for name, value in sent.request.headers]
        if sent.request.body:
            lines += ["", sent.request.body[:_BODY_BYTES].decode("utf-8", "replace")]
    return lines


async def _lines_around(backend: Backend, record: PreviewRecord, found: FailureRecord) -> list[LogLine]:
    """Return lines before and after the newest occurrence; those of its traceback are in the stack."""
    pager, last = backend.service.previews.look_back(record), found.last
    before = await pager.page(Range(0, last.first_seq, _BEFORE, newest=True), EVERYTHING)
    after = await pager.page(Range(last.last_seq, None, _AFTER), EVERYTHING)
    return [*before.lines, *after.lines]
