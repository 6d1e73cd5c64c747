"""Reads the few fields of an ``ExportTraceServiceRequest`` that are kept, from protobuf's wire format.

Source: opentelemetry-proto, trace/v1/trace.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

from preview.tracing.otlp.given import Given
from preview.tracing.otlp.wire import Budget, fields, messages, text_of

_MOST_ATTRIBUTES = 128


def read_protobuf(body: bytes) -> Iterator[Given | None]:
    """Yield the spans of a message; None where the caller may pause.

    Raises:
        NotOtlp: The message is wrong. Earlier spans have been yielded.
    """
    budget = Budget()
    for resource in messages(memoryview(body), 1, budget):
        for scope in messages(resource, 2, budget) if resource is not None else ():
            for span in messages(scope, 2, budget) if scope is not None else ():
                if span is None:
                    yield None
                    continue
                with budget.part():
                    found = _span(span, budget)
                yield found
            yield None
        yield None


def _span(text: memoryview, budget: Budget) -> Given:
    given = Given()
    attributes = 0
    for number, value in fields(text, budget):
        if isinstance(value, int):
            if number == 6:
                given.kind = value
            elif number == 7:
                given.start_ns = value
            elif number == 8:
                given.end_ns = value
        elif number in {1, 2, 4}:
            # Longer ids are none.
            setattr(given, {1: "trace_id", 2: "span_id", 4: "parent_id"}[number], bytes(value[:17]).hex())
        elif number == 5:
            given.name = text_of(value)
        elif number == 9 and attributes < _MOST_ATTRIBUTES:
            attributes += 1
            _attribute(value, given, budget)
        elif number == 15:
            for part, said in fields(value, budget):
                if part == 2 and isinstance(said, memoryview):
                    given.message = text_of(said)
                elif part == 3 and isinstance(said, int):
                    given.has_failed = said == 2
    return given


def _attribute(text: memoryview, given: Given, budget: Budget) -> None:
    key = ""
    for number, value in fields(text, budget):
        if isinstance(value, int):
            continue
        if number == 1:
            key = text_of(value)
        elif number == 2 and given.wants(key):
            for part, said in fields(value, budget):
                if part == 1 and isinstance(said, memoryview):
                    given.attributes[key] = text_of(said)
                elif part == 3 and isinstance(said, int):
                    given.attributes[key] = said
