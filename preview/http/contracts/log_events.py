"""Events of a log stream, as one JSON object each: NDJSON has the object, an SSE event has it without its ``type``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, RootModel

from preview.http.contracts.shared import LaunchStepShape, Line, PlanLaunchStep, PlanLine
from preview.http.core.answers import Answer, PlanAnswer

_CAUSE = (
    "Cause of the stop; `moved` or `node_lost` if another node goes on with the preview; null if the preview failed or "
    "the cause is unknown."
)


class LineEvent(Line):
    """A line. In SSE its number is the event's `id`, and the event has no name."""

    type: Literal["line"]


class GapEvent(Answer):
    """Lines that cannot be read any more, both numbers included."""

    type: Literal["gap"]
    first: int
    last: int
    reason: Literal["retention", "lost"]


class ProgressEvent(Answer):
    """All lines up to this number were searched, and the last ones did not pass the filter. In SSE only an `id`."""

    type: Literal["progress"]
    seq: int


class ExpiredEvent(Answer):
    """The token of the stream has expired, and nothing follows. Connect again with a new one."""

    type: Literal["expired"]


class _Change(Answer):
    id: str = Field(description="The preview.")
    status: Literal["starting", "running", "stopping", "stopped", "failed"]
    reason: str | None
    timestamp: str
    steps: list[LaunchStepShape] = Field(description="Steps of the launch, in order.")


class StatusEvent(_Change):
    """The state, the health or a step of the launch has changed; each field has its current value."""

    type: Literal["status"]
    health: Literal["unknown", "healthy", "unhealthy"]
    restarts: int = Field(description="Number of times that a new process has taken over since the launch.")
    crashes: int = Field(description="Number of crashes after which the process was or is being started again.")


class EndEvent(_Change):
    """The preview is over, and nothing follows."""

    type: Literal["end"]
    exit_code: int | None
    exit_signal: int | None
    cause: str | None = Field(description=_CAUSE)


class LogEvent(
    RootModel[
        Annotated[
            LineEvent | StatusEvent | GapEvent | ProgressEvent | EndEvent | ExpiredEvent, Field(discriminator="type")
        ]
    ]
):
    """One event of a log stream."""


class PlanLineEvent(PlanLine):
    """A line. In SSE its number is the event's `id`, and the event has no name."""

    type: Literal["line"]


class _PlanChange(PlanAnswer):
    preview_instance_id: str
    status: Literal["launching", "running", "stopping", "stopped", "failed"]
    reason: str | None
    timestamp: str
    steps: list[PlanLaunchStep] = Field(description="Steps of the launch, in order.")


class PlanStatusEvent(_PlanChange):
    """The state, the health or a step of the launch has changed; each field has its current value."""

    type: Literal["status"]
    health_status: Literal["unknown", "healthy", "unhealthy"]
    restarts: int = Field(description="Number of times that a new process has taken over since the launch.")
    crashes: int = Field(description="Number of crashes after which the process was or is being started again.")


class PlanEndEvent(_PlanChange):
    """The preview is over, and nothing follows."""

    type: Literal["end"]
    exit_code: int | None
    exit_signal: int | None
    cause: str | None = Field(description=_CAUSE)


class PlanLogEvent(
    RootModel[
        Annotated[
            PlanLineEvent | PlanStatusEvent | GapEvent | ProgressEvent | PlanEndEvent | ExpiredEvent,
            Field(discriminator="type"),
        ]
    ]
):
    """One event of a log stream."""
