"""Probes; only contract ``v1`` has them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from preview.http.core.answers import Answer, Seconds, Time
from preview.replay.probe import FindingKind, ProbeResult


class ProbeRow(Answer):
    """Counts of one endpoint."""

    method: str
    path: str = Field(examples=["/books/{id}"])
    is_documented: bool = Field(description="Whether the application's OpenAPI document has it.")
    requests: int
    ok: int = Field(description="Responses from 200 to 399.")
    client_errors: int = Field(description="Responses from 400 to 499.")
    server_errors: int = Field(description="Responses from 500 to 599.")
    no_answers: int
    mismatches: int = Field(description="Kinds of differences from the OpenAPI document.")
    is_reached: bool = Field(description="Whether any response is not 401, 403, 404, 405 or 429.")


class ProbeStep(Answer):
    """A request, with its answer's status."""

    number: int
    method: str
    target: str = Field(description="Path with query, as sent.")
    body: str | None
    status: int | None = Field(description="null if there was no response.")
    curl: str = Field(description="A command for a shell; $PREVIEW is the preview's address.")


class ProbeLineShape(Answer):
    """A line that the trial preview printed."""

    seq: int
    level: str
    message: str


class ProbeFinding(Answer):
    """A mistake, with the smallest requests that show it."""

    number: int
    kind: FindingKind
    is_doubtful: bool = Field(description="Whether it can be intended, by rules that no schema shows.")
    method: str
    path: str
    sentence: str
    steps: list[ProbeStep] = Field(description="In order; the last one shows the mistake.")
    answer: str = Field(description="Beginning of the body of the last response.")
    error: str | None = Field(description="Kind and message of the error that was logged.")
    frame: str | None = Field(
        description="The deepest frame in the project's own code.", examples=["main.py:12 in get_book"]
    )
    lines: list[ProbeLineShape]
    failure: str | None = Field(
        description="Id of its failure: `GET …/preview/failures/{id}`; null without one, and while the probe runs."
    )


class ProbeShape(Answer):
    """A probe, running or over."""

    id: str = Field(examples=["probe_789abcdefghjkmnp"])
    generation_id: str
    revision: int
    state: Literal["starting", "running", "done", "failed"]
    phase: str = Field(description="Current activity, as a short phrase.")
    started_at: Time
    finished_at: Time | None
    seconds: Seconds = Field(description="Time for the whole probe: the start of the trial preview, and the requests.")
    elapsed_s: float
    requests: int
    engine: Literal["own", "schemathesis"]
    notes: list[str] = Field(description="What could not be done, and why.")
    error: str | None = Field(description="Reason of a failure.")
    rows: list[ProbeRow]
    findings: list[ProbeFinding]

    @classmethod
    def of(cls, result: ProbeResult) -> Self:
        """Return the probe."""
        return cls.model_validate(result)
