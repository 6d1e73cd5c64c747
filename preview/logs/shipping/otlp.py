"""Lines for an OpenTelemetry collector: OTLP over HTTP, as protocol buffers. Needs the extra ``otel``.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import httpx2

from preview.core.clock import now_ms
from preview.errors import ConfigurationError
from preview.logs.model.batch import Batch
from preview.logs.model.events import Contract, Level
from preview.logs.shipping.target import Encode, LinesRefused, Opener, Sink, TargetFailed
from preview.settings import Settings

_TIMEOUT_S = 10.0
MOST_ANSWER_BYTES: Final = 64 * 1024
"""A collector's response says little; a longer one is not read to its end."""
# A collector that answers one of these will not take the same content later. All others are worth another try: it is
# overloaded, or its operator mends the key or the address.
_NEVER = frozenset({400, 406, 411, 413, 414, 415, 422, 431})
# OpenTelemetry's log data model: the least number of each range.
_SEVERITY = {Level.DEBUG: 5, Level.INFO: 9, Level.WARNING: 13, Level.ERROR: 17}
_NS = 1_000_000


def otlp_target(settings: Settings) -> tuple[Opener, Encode]:
    """Return how to reach the collector of the settings, and the form of lines for it.

    Raises:
        ConfigurationError: No collector is set, a header is wrong, or the extra ``otel`` is not installed.
    """
    if settings.otlp_endpoint is None:
        raise ConfigurationError("PREVIEW_LOG_SHIPPING=otlp: needs PREVIEW_OTLP_ENDPOINT, the collector's address.")
    headers = parse_headers("" if settings.otlp_headers is None else settings.otlp_headers.get_secret_value())
    try:
        logs: Any = importlib.import_module("opentelemetry.proto.collector.logs.v1.logs_service_pb2")
    except ImportError as error:
        raise ConfigurationError("PREVIEW_LOG_SHIPPING=otlp: needs further packages; install preview[otel].") from error
    address = f"{settings.otlp_endpoint.rstrip('/')}/v1/logs"
    return partial(_open_collector, address, headers, logs), partial(_otlp_request, logs)


def parse_headers(text: str) -> dict[str, str]:
    """Return the fields of ``NAME=VALUE,NAME=VALUE``, the form of ``OTEL_EXPORTER_OTLP_HEADERS``.

    Raises:
        ConfigurationError: The text is not of this form.
    """
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.isprintable():
            raise ConfigurationError("PREVIEW_OTLP_HEADERS must be NAME=VALUE, separated by commas.")
        found[name.strip()] = value.strip()
    return found


async def post(client: httpx2.AsyncClient, address: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Send a request of OTLP; return the status, and the response's content if it is short.

    Raises:
        httpx2.HTTPError, httpx2.InvalidURL, ValueError: There is no response.

    Cancellation: the collector may have the content.
    """
    headers = {"Content-Type": "application/x-protobuf"} | dict(headers)
    async with client.stream("POST", address, content=body, headers=headers) as answer:
        # What has no length, or a large one, is not read: it might have no end.
        length = answer.headers.get("content-length", "")
        is_short = length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= MOST_ANSWER_BYTES
        found = [part async for part in answer.aiter_raw()] if is_short else []
        return answer.status_code, b"".join(found)


def is_taken(status: int) -> bool:
    """Return whether a collector took what was sent."""
    return 200 <= status < 300


def is_refused(status: int) -> bool:
    """Return whether a collector will never take the same content."""
    return status in _NEVER


@asynccontextmanager
async def _open_collector(address: str, headers: Mapping[str, str], logs: Any) -> AsyncIterator[Sink]:
    async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        yield _Collector(client, address, headers, logs)


class _Collector:
    def __init__(self, client: httpx2.AsyncClient, address: str, headers: Mapping[str, str], logs: Any) -> None:
        self._client, self._address, self._headers, self._logs = client, address, headers, logs

    async def send(self, data: bytes) -> None:
        """See ``Sink``."""
        try:
            status, answer = await post(self._client, self._address, data, self._headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TargetFailed(type(error).__name__) from error
        if is_refused(status):
            raise LinesRefused(f"HTTP {status}")
        if not is_taken(status):
            raise TargetFailed(f"HTTP {status}")
        if refused := self._refused(answer):
            raise LinesRefused("partial success", lines=refused)

    def _refused(self, answer: bytes) -> int:
        """Return the number of lines that the response says are refused; what is no response says nothing."""
        try:
            found = self._logs.ExportLogsServiceResponse.FromString(answer)
        except Exception:  # noqa: BLE001  ``DecodeError``, of a package that may be missing
            return 0
        return max(0, int(found.partial_success.rejected_log_records))


def _otlp_request(logs: Any, batch: Batch) -> bytes:
    """Return the request for some lines. Several in a row are one request: the messages merge."""
    made = logs.ExportLogsServiceRequest()
    group = made.resource_logs.add()
    for name, value in (("service.name", "preview"), ("preview.id", batch.preview_id)):
        group.resource.attributes.add(key=name).value.string_value = value
    scope = group.scope_logs.add()
    scope.scope.name = "preview.output"
    at = now_ms() * _NS
    for line in batch:
        record = scope.log_records.add(
            time_unix_nano=line.timestamp_ms * _NS,
            observed_time_unix_nano=at,
            severity_number=_SEVERITY[line.level],
            severity_text=line.level.name,
        )
        record.body.string_value = line.message.encode("utf-8", "replace").decode()
        record.attributes.add(key="preview.seq").value.int_value = line.seq
        record.attributes.add(key="preview.source").value.string_value = line.source.word(Contract.V1)
        if line.is_stderr:
            record.attributes.add(key="log.iostream").value.string_value = "stderr"
        if line.request_id is not None:
            record.attributes.add(key="preview.request_id").value.string_value = line.request_id
    return bytes(made.SerializeToString())
