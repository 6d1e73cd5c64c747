"""Log records as a project's OpenTelemetry sends them, in both forms. Nothing in them is verified.

Source: opentelemetry-proto, logs/v1/logs.proto; opentelemetry.io, "Logs Data Model".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from preview.logs.model.events import Level, level_of
from preview.tracing.otlp.given import NotOtlp
from preview.tracing.otlp.values import json_integer, json_list, json_text, read_body, wire_text
from preview.tracing.otlp.wire import Budget, fields, messages, text_of

# Longer than the text that is shown: secrets are masked before it is cut.
_MOST_BODY = 4096
_MOST_FACT = 1000
_MOST_ATTRIBUTES = 128
_MOST_SEVERITY = 20
# What an error is, where the record's text does not say it.
_TYPE, _MESSAGE = "exception.type", "exception.message"
_WANTED: Final = frozenset({_TYPE, _MESSAGE})
_LEVELS = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)
_LEAST_ERROR, _LEAST_WARNING, _LEAST_INFO = 17, 13, 9


@dataclass(slots=True)
class GivenRecord:
    """A log record as it was sent.

    Attributes:
        time_ns, observed_ns: Nanoseconds since 1970; 0 if unknown.
        severity: 1 to 24; 0 if unknown.
        severity_text: The project's word of it.
        body: Its text.
        trace_id: In hexadecimal; may be anything.
        facts: Attributes that are wanted.
    """

    time_ns: int = 0
    observed_ns: int = 0
    severity: int = 0
    severity_text: str = ""
    body: str = ""
    trace_id: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        """Its severity."""
        if self.severity >= _LEAST_ERROR:
            return Level.ERROR
        if self.severity >= _LEAST_WARNING:
            return Level.WARNING
        if self.severity > 0:
            return Level.INFO if self.severity >= _LEAST_INFO else Level.DEBUG
        at = level_of(self.severity_text[:_MOST_SEVERITY])
        return Level.INFO if at is None else _LEVELS[at]

    @property
    def text(self) -> str:
        """Its text, with the error that it is about; may be empty."""
        error = ": ".join(filter(None, (self.facts.get(_TYPE), self.facts.get(_MESSAGE))))
        # Most libraries have put it into the text already.
        said = "" if self.facts.get(_MESSAGE, _TYPE) in self.body else error
        return " ".join(filter(None, (self.body, f"({said})" if said and self.body else said)))


def read_protobuf_records(body: bytes) -> Iterator[GivenRecord | None]:
    """Yield the records of an ``ExportLogsServiceRequest``; None where the caller may pause.

    Raises:
        NotOtlp: The message is wrong. Earlier records have been yielded.
    """
    budget = Budget()
    for resource in messages(memoryview(body), 1, budget):
        for scope in messages(resource, 2, budget) if resource is not None else ():
            for record in messages(scope, 2, budget) if scope is not None else ():
                if record is None:
                    yield None
                    continue
                with budget.part():
                    found = _from_wire(record, budget)
                yield found
            yield None
        yield None


def _from_wire(text: memoryview, budget: Budget) -> GivenRecord:
    given = GivenRecord()
    attributes = 0
    for number, value in fields(text, budget):
        if isinstance(value, int):
            if number == 1:
                given.time_ns = value
            elif number == 11:
                given.observed_ns = value
            elif number == 2:
                given.severity = value
        elif number == 3:
            given.severity_text = text_of(value[:_MOST_SEVERITY])
        elif number == 5:
            given.body = wire_text(value, budget, _MOST_BODY)
        elif number == 9:
            # A longer id is none.
            given.trace_id = bytes(value[:17]).hex()
        elif number == 6 and attributes < _MOST_ATTRIBUTES:
            attributes += 1
            _attribute(value, given, budget)
    return given


def _attribute(text: memoryview, given: GivenRecord, budget: Budget) -> None:
    key = ""
    for number, value in fields(text, budget):
        if number == 1 and isinstance(value, memoryview):
            key = text_of(value)
        elif number == 2 and isinstance(value, memoryview) and key in _WANTED:
            given.facts[key] = wire_text(value, budget, _MOST_FACT)


def read_json_records(body: bytes) -> Iterator[GivenRecord | None]:
    """Yield the records of a body in JSON: see ``read_protobuf_records``."""
    for resource in json_list(read_body(body), "resourceLogs"):
        for scope in json_list(resource, "scopeLogs"):
            for record in json_list(scope, "logRecords"):
                yield _from_json(record)
            yield None
        yield None


def _from_json(record: Any) -> GivenRecord:
    if not isinstance(record, dict):
        raise NotOtlp("a record is not an object")
    given = GivenRecord(
        time_ns=json_integer(record.get("timeUnixNano")) or 0,
        observed_ns=json_integer(record.get("observedTimeUnixNano")) or 0,
        severity=json_integer(record.get("severityNumber")) or 0,
        body=json_text(record.get("body"), _MOST_BODY),
    )
    word, trace_id, attributes = (record.get(name) for name in ("severityText", "traceId", "attributes"))
    given.severity_text = word[:_MOST_SEVERITY] if isinstance(word, str) else ""
    given.trace_id = trace_id.lower() if isinstance(trace_id, str) else ""
    for one in attributes[:_MOST_ATTRIBUTES] if isinstance(attributes, list) else ():
        key = one.get("key") if isinstance(one, dict) else None
        if isinstance(key, str) and key in _WANTED:
            given.facts[key] = json_text(one.get("value"), _MOST_FACT)
    return given
