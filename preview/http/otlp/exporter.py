"""The exporter: a queue of spans, and a task that sends them, metrics and log lines to a collector."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import httpx2
import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from preview.auth import Audit
from preview.core.clock import now_ms, to_ms
from preview.core.lifecycle import State
from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.http.metrics import RECENT_LOG, Metrics
from preview.http.otlp.audit import AuditFollower
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import End, StatusChange
from preview.logs.shipping.otlp import is_refused, is_taken, parse_headers, post
from preview.service import Service
from preview.supervisor import LivePreview

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

log = structlog.get_logger(__name__)

# Spans that wait; the oldest are lost, and counted, if the collector does not take them.
_MOST_SPANS = 5_000
_EACH_S = 10.0
_METRICS_EACH_S = 60.0
_TIMEOUT_S = 10.0
_LAST_S = 2.0
# Pages of the audit trail in one round.
_AUDIT_PAGES = 10


class _Sent(Enum):
    """Result of a request: taken, to be sent again, or refused for ever."""

    TAKEN = auto()
    LATER = auto()
    REFUSED = auto()


class OtlpExporter:
    """Exports to one collector. ``run`` runs its task.

    Args:
        endpoint: The collector's base address, as ``OTEL_EXPORTER_OTLP_ENDPOINT``: ``http://HOST:4318``.
        headers: Further fields of each request, such as a key; secret.
        metrics: The metrics of the app; they count what is lost.
        audit: Reads the audit trail's new entries; None exports none.

    Raises:
        ConfigurationError: The extra ``otel`` is not installed.
    """

    def __init__(
        self, endpoint: str, headers: dict[str, str], metrics: Metrics, audit: AuditFollower | None = None
    ) -> None:
        try:
            self._messages: Any = importlib.import_module("preview.http.otlp.messages")
        except ImportError as error:
            raise ConfigurationError(
                "PREVIEW_OTLP_ENDPOINT needs additional packages; install preview[otel]."
            ) from error
        self._endpoint = endpoint.rstrip("/")
        self._headers = headers
        self._metrics = metrics
        self._spans: deque[Span] = deque(maxlen=_MOST_SPANS)
        self._started_ms = now_ms()
        self._sent_lines = RECENT_LOG.count
        self._is_failing = False
        self._audit = audit

    def observe(self, preview: LivePreview) -> None:
        """Export the launch and the reloads of a new preview: see ``SupervisorContext.observers``."""
        preview.log.broadcast.add(_Watch(self, preview))

    def add(self, spans: Iterable[Span]) -> None:
        """Queue spans; never waits."""
        for span in spans:
            self._metrics.lost_exports["spans"] += len(self._spans) == _MOST_SPANS
            self._spans.append(span)

    def launched(self, preview: LivePreview, change: StatusChange | End, name: str, start_ms: int) -> None:
        """Queue the spans of a launch or reload that is over. No name of a user is in them."""
        record = preview.record
        facts = {"preview.id": record.id, "preview.generation_id": record.generation_id, "preview.state": change.state}
        failed = change.state == State.FAILED
        # A reload's steps are not those of the launch, which the status still has.
        steps = (*preview.progress.parts, *change.steps) if name == "launch" else ()
        error = preview.cause.code if failed else None
        self.add(
            self._messages.launch_trace(steps, name=name, facts=facts, start_ms=start_ms, end_ms=now_ms(), error=error)
        )

    async def run(self) -> None:
        """Export until cancelled. Cancellation: waiting spans are sent, within ``_LAST_S`` seconds."""
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            try:
                if self._audit is not None:
                    await self._flush_audit(client, self._audit)
                next_metrics = trio.current_time()
                while True:
                    await trio.sleep(_EACH_S)
                    await self.flush(client)
                    if trio.current_time() >= next_metrics:
                        next_metrics = trio.current_time() + _METRICS_EACH_S
                        families = self._metrics.collect()
                        await self._send(client, "metrics", self._messages.metrics(families, self._started_ms))
            finally:
                with trio.move_on_after(_LAST_S, shield=True):
                    await self.flush(client)
                    await self._release_audit()

    async def flush(self, client: httpx2.AsyncClient) -> None:
        """Send the waiting spans, log lines and audit entries; what is not taken is sent again.

        Cancellation: what is under way may arrive, or not; log lines and audit entries are sent again.
        """
        await self._flush_spans(client)
        await self._flush_log(client)
        if self._audit is not None:
            await self._flush_audit(client, self._audit)

    async def _flush_spans(self, client: httpx2.AsyncClient) -> None:
        if not self._spans:
            return
        spans = list(self._spans)
        self._spans.clear()
        sent = await self._send(client, "traces", self._messages.traces(spans))
        if sent is not _Sent.TAKEN:
            # The newest ones stay, if another try is worthwhile.
            room = _MOST_SPANS - len(self._spans) if sent is _Sent.LATER else 0
            kept = spans[max(0, len(spans) - room) :]
            self._metrics.lost_exports["spans"] += len(spans) - len(kept)
            self._spans.extendleft(reversed(kept))

    async def _flush_log(self, client: httpx2.AsyncClient) -> None:
        lines, count = RECENT_LOG.since(self._sent_lines), RECENT_LOG.count
        # Only the last ones are kept.
        lost = count - self._sent_lines - len(lines)
        self._sent_lines = count - len(lines)
        if lines:
            sent = await self._send(client, "logs", self._messages.logs(lines))
            lost += len(lines) if sent is _Sent.REFUSED else 0
            self._sent_lines = self._sent_lines if sent is _Sent.LATER else count
        self._metrics.lost_exports["log_lines"] += lost

    async def _flush_audit(self, client: httpx2.AsyncClient, audit: AuditFollower) -> None:
        try:
            for _ in range(_AUDIT_PAGES):
                entries, lost = await audit.next()
                if not entries:
                    return
                sent = await self._send(client, "logs", self._messages.audit_entries(entries))
                if sent is _Sent.LATER:
                    return
                if not await audit.done(entries[-1].seq):
                    log.warning("audit export taken over", reason="this service was slower than its lease")
                    return
                self._metrics.lost_exports["audit_entries"] += lost + (len(entries) if sent is _Sent.REFUSED else 0)
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            # The entries wait in the database, or for it.
            log.info("audit entries not exported yet", reason=type(error).__name__)

    async def _release_audit(self) -> None:
        with suppress(DatabaseUnavailable, SQLAlchemyError):
            # Else the lease ends by itself.
            if self._audit is not None:
                await self._audit.release()

    async def _send(self, client: httpx2.AsyncClient, signal: str, body: bytes) -> _Sent:
        sent, reason = _Sent.LATER, "timeout"
        with trio.move_on_after(_TIMEOUT_S):
            try:
                status, _ = await post(client, f"{self._endpoint}/v1/{signal}", body, self._headers)
                sent = _Sent.REFUSED if is_refused(status) else _Sent.TAKEN if is_taken(status) else _Sent.LATER
                reason = str(status)
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
                reason = type(error).__name__
        has_failed = sent is not _Sent.TAKEN
        if has_failed is not self._is_failing:
            self._is_failing = has_failed
            # Once each time, or each failure would make a line to export.
            log.warning("otlp export failed", reason=reason) if has_failed else log.info("otlp export works again")
        return sent


@contextmanager
def exporting(service: Service, metrics: Metrics, trail: Audit, nursery: trio.Nursery) -> Iterator[None]:
    """Export meanwhile, if the settings name a collector; the task is the nursery's.

    Raises:
        ConfigurationError: The extra ``otel`` is not installed, or a header is wrong.
    """
    settings = service.settings
    if settings.otlp_endpoint is None:
        yield
        return
    headers = parse_headers("" if settings.otlp_headers is None else settings.otlp_headers.get_secret_value())
    exporter = OtlpExporter(settings.otlp_endpoint, headers, metrics, AuditFollower(trail, service.database))
    nursery.start_soon(exporter.run)
    with service.previews.observing(exporter.observe):
        yield


class _Watch:
    """Exports one preview's launch and reloads. A listener of its log, for the preview's whole life."""

    watchers = 0

    def __init__(self, exporter: OtlpExporter, preview: LivePreview) -> None:
        self._exporter = exporter
        self._preview = preview
        self._is_launched = False
        self._restarts = 0
        self._changed_ms = to_ms(preview.record.created_at)

    def offer(self, event: Received) -> None:
        """Take an event of the log. Lines come most often, and are passed over."""
        if isinstance(event, Batch) or not isinstance(event, StatusChange | End):
            return
        if not self._is_launched and (isinstance(event, End) or event.state == State.RUNNING):
            self._is_launched = True
            self._exporter.launched(self._preview, event, "launch", to_ms(self._preview.record.created_at))
        elif isinstance(event, StatusChange) and event.restarts > self._restarts:
            self._restarts = event.restarts
            self._exporter.launched(self._preview, event, "reload", self._changed_ms)
        self._changed_ms = now_ms()
