"""Parts of responses that both contracts have: defined in snake_case, and derived from that in camelCase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field

from preview.core.clock import rfc3339_ms
from preview.core.escapes import without_escapes
from preview.core.launch_steps import step_fields
from preview.core.lifecycle import State
from preview.endpoints import Endpoint
from preview.http.core.answers import Answer, PlanAnswer, Seconds, without_none
from preview.logs import Contract, LogLine, LogSlice
from preview.runtime import Usage
from preview.storage.tables import PreviewRecord
from preview.supervisor import Confinement

T = TypeVar("T")

HealthWord = Literal["unknown", "healthy", "unhealthy"]
Steps = Annotated[list[T], Field(description="Of its launch, in their order; empty for an old preview.")]
Known = Annotated[T | None, Field(description="Null where it is not known any more.")]
Reached = Annotated[list[T], Field(description="Each limit that it was held to so far, or ended by.")]


@dataclass(frozen=True, slots=True)
class Facts:
    """A preview's record, and further facts about the preview.

    Attributes:
        record: The preview's database row.
        usage: Resources that its processes use, or None.
        uptime_s: Seconds since its launch; 0 for an ended preview.
        endpoints: The generation's endpoints.
        confinement: Isolation and limits; None if they are not known.
    """

    record: PreviewRecord
    usage: Usage | None = None
    uptime_s: float = 0.0
    endpoints: Sequence[Endpoint] = ()
    confinement: Confinement | None = None


class FirstAnswerShape(Answer):
    """The first request to the application, and its response."""

    path: str = Field(examples=["/health"])
    status: int = Field(examples=[200])


class LaunchStepShape(Answer):
    """A step of the launch."""

    name: str = Field(
        description="`files`, `environment`, `process`, `answers`, or a step of the plan, such as `migrations`."
    )
    state: Literal["waiting", "running", "done", "failed", "stopped"]
    started_at: str | None = Field(description="Null while it waits.")
    elapsed_ms: int | None = Field(description="Null until it has ended.")
    detail: str | None = Field(description="A few words for people.", examples=["cached, Python 3.12.1"])
    reused: bool = Field(description="Whether it took over what an earlier launch had made.")
    answer: FirstAnswerShape | None = Field(default=None, description="Of the step `answers` alone.")


class PlanLaunchStep(LaunchStepShape, PlanAnswer):
    """A step of the launch."""


class Isolation(Answer):
    """Isolation of a preview."""

    runtime: str = Field(examples=["sandbox", "plain"])
    network: Literal["none", "loopback-only", "host"] = Field(description="What it reaches.")
    holds: list[str] = Field(validation_alias="described", description="What holds, a few words each.")


class PlanIsolation(Isolation, PlanAnswer):
    """Isolation of a preview."""


class LimitsShape(Answer):
    """Limits of a preview; null: not enforced here."""

    memory_mb: int = Field(description="MiB of memory, the whole tree.")
    cpu_cores: float | None = Field(description="Processor time per time.")
    processes: int | None = Field(description="Processes and threads.")
    open_files: int = Field(description="Of each process.")
    disk_mb: int = Field(description="MiB in its own folders.")
    file_bytes: int = Field(description="Size of one file.")
    temp_bytes: int | None = Field(description="Size of `/tmp`, in memory.")
    output_bytes_per_s: int = Field(description="What it may print, averaged over some seconds.")


class PlanLimits(LimitsShape, PlanAnswer):
    """Limits of a preview; null: not enforced here."""


class ReachedLimit(Answer):
    """A limit that a preview has reached."""

    limit: Literal["memory", "cpu", "processes", "disk", "output"]
    message: str = Field(examples=["held to 256 processes: further ones were refused"])


class PlanReachedLimit(ReachedLimit, PlanAnswer):
    """A limit that a preview has reached."""


class LogRange(Answer):
    """Numbers of the lines that were published during the request, its own and all others."""

    first_seq: int
    last_seq: int

    @classmethod
    def of(cls, lines: range) -> Self | None:
        """Return the first and last number; None if there were no lines."""
        return cls(first_seq=lines[0], last_seq=lines[-1]) if lines else None


class PlanLogRange(LogRange, PlanAnswer):
    """Numbers of the lines that were published during the request, its own and all others."""


class Ticket(Answer):
    """A stream ticket, for one user and one preview."""

    ticket: str
    expires_in: Seconds = Field(description="Seconds.")


def launch_fields(record: PreviewRecord, confinement: Confinement | None) -> dict[str, object]:
    """Return the fields for launch steps, isolation and limits, which both contracts have."""
    return {
        "steps": [step_fields(one, camel=False) for one in record.steps],
        "isolation": confinement,
        "limits": confinement,
        "reached": [] if confinement is None else confinement.reached,
    }


def status_fields(facts: Facts) -> dict[str, object]:
    """Return the status fields that both contracts have; for a failed preview, include the reason and the exit."""
    record, fields = facts.record, launch_fields(facts.record, facts.confinement)
    if record.state is State.FAILED:
        fields |= {"reason": record.reason, "exit_code": record.exit_code, "exit_signal": record.exit_signal}
    return fields


class _Line(Answer):
    contract: ClassVar[Contract] = Contract.V1

    seq: int
    timestamp: str
    level: str
    source: str
    message: str
    request_id: str | None = Field(default=None, description="Of the request it was printed for, where it is known.")

    @classmethod
    def of(cls, line: LogLine, *, colours: bool) -> Self:
        """Return the line in the contract's words; its message as plain text or with colours."""
        return cls(
            seq=line.seq,
            timestamp=rfc3339_ms(line.timestamp_ms),
            level=line.level.word(cls.contract),
            source=line.source.word(cls.contract),
            message=line.message if colours else without_escapes(line.message),
            **without_none(request_id=line.request_id),
        )


class Line(_Line):
    """A line of a preview's log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    source: Literal["subprocess", "system"]


class PlanLine(_Line, PlanAnswer):
    """A line of a preview's log."""

    contract = Contract.PLAN

    level: Literal["DEBUG", "INFO", "WARN", "ERROR"]
    source: Literal["startup", "request", "preview"]


class MissingLines(Answer):
    """Lines that are no longer kept, both numbers included."""

    first: int
    last: int
    reason: Literal["retention", "lost"]


class _LogPage(Answer):
    line: ClassVar[type[_Line]] = Line

    lines: Sequence[_Line]
    gaps: list[MissingLines] = Field(description="What is missing of the lines that were looked at.")
    first_kept: int = Field(description="The oldest line that is kept; 0 where there is none.")
    next: str | None = Field(description="Where the lines behind these are; null where there will be none.")
    prev: str | None = Field(description="Where the lines before these are; null where there are none.")

    @classmethod
    def of(cls, page: LogSlice, *, colours: bool, following: str | None, previous: str | None) -> Self:
        """Return the page, with the addresses of the following and previous lines, if any."""
        return cls(
            lines=[cls.line.of(line, colours=colours) for line in page.lines],
            gaps=[MissingLines(first=gap.first_seq, last=gap.last_seq, reason=gap.reason) for gap in page.gaps],
            first_kept=page.first_kept,
            next=following,
            prev=previous,
        )


class LogPage(_LogPage):
    """Past lines, oldest first."""

    lines: list[Line]


class PlanLogPage(_LogPage, PlanAnswer):
    """Past lines, oldest first."""

    line = PlanLine

    lines: list[PlanLine]
