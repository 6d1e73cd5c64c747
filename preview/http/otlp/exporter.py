"""The exporter: a queue of spans, and a task that sends them, metrics and log lines to a collector."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import structlog
import trio

from preview.core.clock import now_ms, to_ms
from preview.core.lifecycle import State
from preview.errors import ConfigurationError
from preview.http.metrics import RECENT_LOG, Metrics
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import End, StatusChange
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


class OtlpExporter:
    """Exports to one collector. ``run`` runs its task.

    Args:
        endpoint: The collector's base address, as ``OTEL_EXPORTER_OTLP_ENDPOINT``: ``http://HOST:4318``.
        headers: Further fields of each request, such as a key; secret.
        metrics: The metrics of the app.

    Raises:
        ConfigurationError: The extra ``otel`` is not installed.

    Attributes:
        lost_spans: Spans that were dropped since the start.
    """

    def __init__(self, endpoint: str, headers: dict[str, str], metrics: Metrics) -> None:
        try:
            self._messages: Any = importlib.import_module("preview.http.otlp.messages")
        except ImportError as error:
            raise ConfigurationError("PREVIEW_OTLP_ENDPOINT needs further packages; install preview[otel].") from error
        self._endpoint = endpoint.rstrip("/")
        self._headers = headers | {"Content-Type": "application/x-protobuf"}
        self._metrics = metrics
        self._spans: deque[Span] = deque(maxlen=_MOST_SPANS)
        self._started_ms = now_ms()
        self._sent_lines = RECENT_LOG.count
        self._is_failing = False
        self.lost_spans = 0

    def observe(self, preview: LivePreview) -> None:
        """Export the launch and the reloads of a new preview: see ``SupervisorContext.observers``."""
        preview.log.broadcast.add(_Watch(self, preview))

    def add(self, spans: Iterable[Span]) -> None:
        """Queue spans; never waits."""
        for span in spans:
            self.lost_spans += len(self._spans) == _MOST_SPANS
            self._spans.append(span)

    def launched(self, preview: LivePreview, change: StatusChange | End, name: str, start_ms: int) -> None:
        """Queue the spans of a launch or reload that is over. No name of a user is in them."""
        record = preview.record
        facts = {"preview.id": record.id, "preview.generation_id": record.generation_id, "preview.state": change.state}
        failed = change.state == State.FAILED
        # A reload's steps are not those of the launch, which the status still has.
        steps = change.steps if name == "launch" else ()
        error = preview.cause.code if failed else None
        self.add(
            self._messages.launch_trace(steps, name=name, facts=facts, start_ms=start_ms, end_ms=now_ms(), error=error)
        )

    async def run(self) -> None:
        """Export until cancelled. Cancellation: waiting spans are sent, within ``_LAST_S`` seconds."""
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            try:
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

    async def flush(self, client: httpx2.AsyncClient) -> None:
        """Send the waiting spans and log lines. Cancellation: the lines and spans under way may be lost."""
        if self._spans:
            spans = list(self._spans)
            self._spans.clear()
            if not await self._send(client, "traces", self._messages.traces(spans)):
                self._spans.extendleft(reversed(spans[: _MOST_SPANS - len(self._spans)]))
        lines = RECENT_LOG.since(self._sent_lines)
        self._sent_lines = RECENT_LOG.count
        if lines:
            await self._send(client, "logs", self._messages.logs(lines))

    async def _send(self, client: httpx2.AsyncClient, signal: str, body: bytes) -> bool:
        try:
            answer = await client.post(f"{self._endpoint}/v1/{signal}", content=body, headers=self._headers)
            is_taken, reason = answer.is_success, str(answer.status_code)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            is_taken, reason = False, type(error).__name__
        if is_taken is self._is_failing:
            self._is_failing = not is_taken
            # Once each time, or each failure would make a line to export.
            log.info("otlp export works again") if is_taken else log.warning("otlp export failed", reason=reason)
        return is_taken


@contextmanager
def exporting(service: Service, metrics: Metrics, nursery: trio.Nursery) -> Iterator[None]:
    """Export meanwhile, if the settings name a collector; the task is the nursery's.

    Raises:
        ConfigurationError: The extra ``otel`` is not installed, or a header is wrong.
    """
    settings = service.settings
    if settings.otlp_endpoint is None:
        yield
        return
    headers = parse_headers("" if settings.otlp_headers is None else settings.otlp_headers.get_secret_value())
    exporter = OtlpExporter(settings.otlp_endpoint, headers, metrics)
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


def parse_headers(text: str) -> dict[str, str]:
    """Return the fields of ``NAME=VALUE,NAME=VALUE``, the form of ``OTEL_EXPORTER_OTLP_HEADERS``.

    Raises:
        ConfigurationError: The text is not of this form.
    """
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.isprintable():
            raise ConfigurationError("PREVIEW_OTLP_HEADERS is NAME=VALUE, with commas between several.")
        found[name.strip()] = value.strip()
    return found
