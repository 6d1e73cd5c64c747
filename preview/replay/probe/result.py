"""Results of a probe: a row for each endpoint, and the findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter

from preview.logs.failures.model import FailureRecord


class ProbeState(StrEnum):
    """State of a probe."""

    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class FindingKind(StrEnum):
    """Kind of mistake."""

    SERVER_ERROR = "server_error"
    NO_ANSWER = "no_answer"
    SCHEMA_MISMATCH = "schema_mismatch"
    UNDOCUMENTED_STATUS = "undocumented_status"
    REJECTED_VALID = "rejected_valid"
    ACCEPTED_INVALID = "accepted_invalid"
    CHANGED_VALUE = "changed_value"
    CREATED_NOT_FOUND = "created_not_found"
    FOUND_AFTER_DELETE = "found_after_delete"
    PAGING = "paging"
    FILTER = "filter"


DOUBTFUL = frozenset({FindingKind.REJECTED_VALID, FindingKind.ACCEPTED_INVALID, FindingKind.UNDOCUMENTED_STATUS})
"""Kinds that can be intended: rules that no schema shows, lenient validation."""
MISMATCHES = frozenset({FindingKind.SCHEMA_MISMATCH, FindingKind.UNDOCUMENTED_STATUS})


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """A line that the application printed for a request."""

    seq: int
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """A request of a finding, with its answer.

    Attributes:
        number: The request's number in the probe, from 1.
        target: Path with query, as sent.
        body: Text, at most 4 KiB; None without content.
        status: HTTP status; None if there was no answer.
        curl: A command that sends it; ``$PREVIEW`` is the preview's address.
    """

    number: int
    method: str
    target: str
    body: str | None
    status: int | None
    curl: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake, with the smallest requests that show it.

    Attributes:
        number: From 1, in the order of discovery.
        is_doubtful: Whether it can be intended (see ``DOUBTFUL``).
        sentence: States the mistake.
        steps: Requests in order; the last one shows the mistake.
        answer: Beginning of the last answer's body.
        error: Kind and message of the error that the application has logged; None if unknown.
        frame: Its deepest own place, ``main.py:12 in get_item``; None if unknown.
        lines: Lines that the application printed for the last request.
        failure: Id of its failure record, which the result keeps; None without one.
    """

    number: int
    kind: FindingKind
    is_doubtful: bool
    method: str
    path: str
    sentence: str
    steps: Sequence[Step]
    answer: str
    error: str | None = None
    frame: str | None = None
    lines: Sequence[ProbeLine] = ()
    failure: str | None = None


@dataclass(slots=True)
class Row:
    """Counts of one endpoint.

    Attributes:
        is_documented: Whether an OpenAPI document of the application has it.
        ok: Answers from 200 to 399.
        mismatches: Kinds of differences from the document.
        is_reached: Whether any answer is not 401, 403, 404, 405 or 429.
    """

    method: str
    path: str
    is_documented: bool
    requests: int = 0
    ok: int = 0
    client_errors: int = 0
    server_errors: int = 0
    no_answers: int = 0
    mismatches: int = 0
    is_reached: bool = False


@dataclass(slots=True)
class ProbeResult:
    """A probe of one generation, running or over.

    Attributes:
        seconds: Time for its requests.
        elapsed_s: Seconds since its requests began, or that they took.
        phase: Half a sentence for people: what it does at the moment.
        requests: Number of requests that were sent.
        engine: ``schemathesis`` if that was used too, else ``own``.
        notes: Sentences: what could not be done, and why.
        error: Reason of a failure; None otherwise.
        failures: Failure records of the trial that findings name.
    """

    id: str
    generation_id: str
    state: ProbeState
    started_at: datetime
    seconds: float
    revision: int
    finished_at: datetime | None = None
    elapsed_s: float = 0.0
    phase: str = ""
    requests: int = 0
    engine: str = "own"
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    failures: list[FailureRecord] = field(default_factory=list)


_ADAPTER = TypeAdapter(ProbeResult)


def encode_result(result: ProbeResult) -> str:
    """Return a result as JSON."""
    return _ADAPTER.dump_json(result, ensure_ascii=True).decode()


def decode_result(text: str) -> ProbeResult:
    """Return a stored result.

    Raises:
        ValueError: The text is none.
    """
    return _ADAPTER.validate_json(text)
