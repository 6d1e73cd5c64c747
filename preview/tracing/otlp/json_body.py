"""Reads spans from OTLP's JSON form (opentelemetry.io, "OTLP specification", JSON Protobuf encoding)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from preview.tracing.otlp.given import Given, NotOtlp
from preview.tracing.otlp.values import json_integer, json_list, read_body

MOST_JSON_BYTES: Final = 512 * 1024
"""Limit of a body in JSON, which is read at once: up to some ten milliseconds."""

_MOST_ATTRIBUTES = 128


def read_json(body: bytes) -> Iterator[Given | None]:
    """Yield the spans of a body; None where the caller may pause.

    Raises:
        NotOtlp: The body is wrong. Earlier spans have been yielded.
    """
    for resource in json_list(read_body(body), "resourceSpans"):
        for scope in json_list(resource, "scopeSpans"):
            for span in json_list(scope, "spans"):
                yield _span(span)
            yield None
        yield None


def _span(span: Any) -> Given:
    if not isinstance(span, dict):
        raise NotOtlp("a span is not an object")
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    given = Given(
        trace_id=_text(span.get("traceId")).lower(),
        span_id=_text(span.get("spanId")).lower(),
        parent_id=_text(span.get("parentSpanId")).lower(),
        name=_text(span.get("name")),
        kind=_number(span.get("kind")),
        start_ns=_number(span.get("startTimeUnixNano")),
        end_ns=_number(span.get("endTimeUnixNano")),
        message=_text(status.get("message")),
        has_failed=status.get("code") in (2, "STATUS_CODE_ERROR"),
    )
    attributes = span.get("attributes")
    for one in attributes[:_MOST_ATTRIBUTES] if isinstance(attributes, list) else ():
        key, value = (one.get("key"), one.get("value")) if isinstance(one, dict) else (None, None)
        if isinstance(key, str) and given.wants(key) and isinstance(value, dict):
            if isinstance(value.get("stringValue"), str):
                given.attributes[key] = value["stringValue"]
            elif "intValue" in value:
                given.attributes[key] = _number(value["intValue"])
    return given


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    found = json_integer(value)
    return 0 if found is None else found
