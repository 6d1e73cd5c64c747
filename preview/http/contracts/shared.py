"""Parts of responses that both contracts have: defined in snake_case, and derived from that in camelCase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field

from preview.cluster import Place
from preview.core.clock import rfc3339_ms
from preview.core.escapes import without_escapes
from preview.core.launch_steps import step_fields
from preview.core.lifecycle import State
from preview.endpoints import Endpoint
from preview.http.core.answers import Answer, PlanAnswer, Seconds, Time, without_none
from preview.logs import Contract, LogLine, LogSlice
from preview.runtime import Usage
from preview.storage.tables import PreviewRecord
from preview.supervisor import Confinement
from preview.supervisor.preview.crashes import Crash

T = TypeVar("T")

EndpointSource = Annotated[
    Literal["static", "openapi", "application"],
    Field(description="Best evidence: the source files, the OpenAPI document or the application's own route table."),
]
Complete = Annotated[bool, Field(description="False if there may be more endpoints: a part could not be read.")]
Unread = Annotated[
    list[str],
    Field(
        description="A sentence for each part that could not be read, with file and line if known.",
        examples=[["app/main.py:12: the path of a route is not known from the source"]],
    ),
]
HealthWord = Literal["unknown", "healthy", "unhealthy"]
Steps = Annotated[list[T], Field(description="Steps of the launch, in order; empty for old previews.")]
Known = Annotated[T | None, Field(description="Null if no longer known, for example after a restart of the service.")]
Reached = Annotated[list[T], Field(description="Limits that have restricted or ended the preview so far.")]


@dataclass(frozen=True, slots=True)
class Facts:
    """A preview's record, and further facts about the preview.

    Attributes:
        record: The preview's database row.
        usage: Resources that its processes use, or None.
        uptime_s: Seconds since its launch; 0 for an ended preview.
        endpoints: The generation's endpoints.
        confinement: Isolation and limits; None if they are not known.
        checks: Sentence about the last run of the generation's checks; None if there is none.
        queue: Its place in the queue of a cluster; None if it does not wait.
        crash: The newest crash after which its process is started again; None without one.
    """

    record: PreviewRecord
    usage: Usage | None = None
    uptime_s: float = 0.0
    endpoints: Sequence[Endpoint] = ()
    confinement: Confinement | None = None
    checks: str | None = None
    queue: Place | None = None
    crash: Crash | None = None


class CrashShape(Answer):
    """The newest crash after which the process is started again."""

    count: int = Field(description="Number of such crashes since the launch.")
    reason: str = Field(examples=["The application exited with code 1"])
    at: Time
    is_restarting: bool = Field(description="Whether no process serves yet.")


class PlanCrash(CrashShape, PlanAnswer):
    """The newest crash after which the process is started again."""


class QueuePlace(Answer):
    """Place of a launch in the queue of a cluster."""

    place: int = Field(description="1 for the next launch.", examples=[2])
    waiting: int = Field(description="Number of launches in the queue.", examples=[5])


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
    started_at: str | None = Field(description="Null while the step waits.")
    elapsed_ms: int | None = Field(description="Null until the step has ended.")
    detail: str | None = Field(description="Short note for people.", examples=["cached, Python 3.12.1"])
    reused: bool = Field(description="Whether the step used a result of an earlier launch.")
    answer: FirstAnswerShape | None = Field(default=None, description="Only present in the step `answers`.")


class PlanLaunchStep(LaunchStepShape, PlanAnswer):
    """A step of the launch."""


class Isolation(Answer):
    """Isolation of a preview."""

    runtime: str = Field(examples=["sandbox", "plain"])
    network: Literal["none", "loopback-only", "host"] = Field(description="What the preview can reach.")
    holds: list[str] = Field(validation_alias="described", description="Isolation in effect, as `name: description`.")


class PlanIsolation(Isolation, PlanAnswer):
    """Isolation of a preview."""


class LimitsShape(Answer):
    """Limits of a preview; a limit that is null is not enforced on this machine."""

    memory_mb: int = Field(description="Memory of the whole process tree, in MiB.")
    cpu_cores: float | None = Field(description="Processor seconds per second; 1.0 is one full core.")
    processes: int | None = Field(description="Number of processes and threads.")
    open_files: int = Field(description="Number of open files of each process.")
    disk_mb: int = Field(description="Disk space in the preview's own folders, in MiB.")
    file_bytes: int = Field(description="Size of one file, in bytes.")
    temp_bytes: int | None = Field(description="Size of `/tmp`, which is in memory, in bytes.")
    output_bytes_per_s: int = Field(description="Bytes of output per second, averaged over some seconds.")


class PlanLimits(LimitsShape, PlanAnswer):
    """Limits of a preview; a limit that is null is not enforced on this machine."""


class ReachedLimit(Answer):
    """A limit that a preview has reached."""

    limit: Literal["memory", "cpu", "processes", "disk", "output"]
    message: str = Field(examples=["limited to 256 processes: further ones were refused"])


class PlanReachedLimit(ReachedLimit, PlanAnswer):
    """A limit that a preview has reached."""


class LogRange(Answer):
    """First and last number of the log lines published during the request, including unrelated lines."""

    first_seq: int
    last_seq: int

    @classmethod
    def of(cls, lines: range) -> Self | None:
        """Return the first and last number; None if there were no lines."""
        return cls(first_seq=lines[0], last_seq=lines[-1]) if lines else None


class PlanLogRange(LogRange, PlanAnswer):
    """First and last number of the log lines published during the request, including unrelated lines."""


class Ticket(Answer):
    """A stream ticket, for one user and one preview."""

    ticket: str
    expires_in: Seconds = Field(description="Lifetime in seconds.")


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
    fields["crash"] = facts.crash
    if facts.queue is not None:
        fields["queue"] = QueuePlace(place=facts.queue.place, waiting=facts.queue.waiting)
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
    stream: Literal["stderr"] | None = Field(
        default=None, description="`stderr` if the program is known to have written the line to standard error."
    )
    request_id: str | None = Field(default=None, description="Id of the request that caused the line, if known.")

    @classmethod
    def of(cls, line: LogLine, *, colours: bool) -> Self:
        """Return the line in the contract's words; its message as plain text or with colours."""
        return cls(
            seq=line.seq,
            timestamp=rfc3339_ms(line.timestamp_ms),
            level=line.level.word(cls.contract),
            source=line.source.word(cls.contract),
            message=line.message if colours else without_escapes(line.message),
            **without_none(stream="stderr" if line.is_stderr else None, request_id=line.request_id),
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
    """A range of lines that cannot be read, both numbers included."""

    first: int
    last: int
    reason: Literal["retention", "lost"]


class _LogPage(Answer):
    line: ClassVar[type[_Line]] = Line

    lines: Sequence[_Line]
    gaps: list[MissingLines] = Field(description="Missing lines in the searched range.")
    first_kept: int = Field(description="Number of the oldest line that is kept; 0 if there is none.")
    next: str | None = Field(description="Address of the lines after these; null if there will be none.")
    prev: str | None = Field(description="Address of the lines before these; null if there are none.")

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
    """A page of past lines, oldest first."""

    lines: list[Line]


class PlanLogPage(_LogPage, PlanAnswer):
    """A page of past lines, oldest first."""

    line = PlanLine

    lines: list[PlanLine]
