"""Conditions of alerts, as users write them in JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field

LONGEST_WINDOW_S = 24 * 3600
"""Longest window, silence and cool-down: a day."""

MOST_FILTER_CHARACTERS = 1000


def _whole(value: object) -> object:
    """Return a number like 5.0 as the integer that it is in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Window = Annotated[float, Field(ge=1, le=LONGEST_WINDOW_S)]
FilterText = Annotated[str, Field(max_length=MOST_FILTER_CHARACTERS, examples=["error -path:/health"])]


class Subject(StrEnum):
    """Things that a filter selects: lines of the log, or recorded requests."""

    LINES = "lines"
    REQUESTS = "requests"


class PreviewEvent(StrEnum):
    """Events in a preview's life."""

    ENDED = "ended"  # for any reason
    FAILED = "failed"  # not stopped by a user or the service
    EXITED = "exited"  # its process ended
    CRASHED = "crashed"  # its process ended by itself with an error, whether it is started again or not
    UNHEALTHY = "unhealthy"
    RESTARTED = "restarted"  # another process has taken over


class _Condition(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Matches(_Condition):
    """Some matches within some time."""

    kind: Literal["matches"]
    filter: FilterText
    on: Annotated[Subject, Field(strict=False)] = Subject.LINES
    count: Annotated[Whole, Field(ge=1, le=10_000, description="Number of matches.")] = 1
    within_s: Annotated[Window, Field(description="Seconds in which they happen.")] = 60.0


class Absent(_Condition):
    """No match for some time, while the preview runs."""

    kind: Literal["absent"]
    filter: FilterText
    on: Annotated[Subject, Field(strict=False)] = Subject.LINES
    for_s: Annotated[Window, Field(description="Seconds without a match.")] = 60.0


class Happened(_Condition):
    """An event in the preview's life."""

    kind: Literal["event"]
    event: Annotated[PreviewEvent, Field(strict=False)]
    exit_code: Annotated[Whole, Field(ge=0, le=255)] | None = Field(
        default=None, description="Only with `exited`: only this exit code."
    )


class ErrorRate(_Condition):
    """A share of the requests is answered with 5xx, or not at all."""

    kind: Literal["error_rate"]
    share: Annotated[float, Field(gt=0, le=1, description="Share of the requests.")] = 0.5
    within_s: Annotated[Window, Field(description="Seconds in which requests count.")] = 60.0
    at_least: Annotated[Whole, Field(ge=1, le=10_000, description="Fewer requests are too few to tell.")] = 10


class Memory(_Condition):
    """The preview's processes use a share of its memory limit."""

    kind: Literal["memory"]
    share: Annotated[float, Field(gt=0, le=1, description="Share of the limit.")] = 0.9


Condition = Annotated[
    Matches | Absent | Happened | ErrorRate | Memory,
    # The message of pydantic repeats the given value.
    Discriminator(
        "kind",
        custom_error_type="condition_kind",
        custom_error_message='"kind" must be one of matches, absent, event, error_rate, memory',
    ),
]


def needs_requests(condition: Condition) -> bool:
    """Return True if the condition looks at recorded requests."""
    if isinstance(condition, Matches | Absent):
        return condition.on is Subject.REQUESTS
    return isinstance(condition, ErrorRate)


def needs_lines(condition: Condition) -> bool:
    """Return True if the condition looks at lines."""
    return isinstance(condition, Matches | Absent) and condition.on is Subject.LINES


def in_words(condition: Condition) -> str:
    """Return the condition as a short phrase."""
    match condition:
        case Matches(count=1):
            return f"a {_one(condition.on)} matches {condition.filter!r}"
        case Matches():
            return f"{condition.count} {condition.on} in {condition.within_s:g} s match {condition.filter!r}"
        case Absent():
            return f"no {_one(condition.on)} matches {condition.filter!r} for {condition.for_s:g} s"
        case Happened(exit_code=None):
            return _EVENTS[condition.event]
        case Happened():
            return f"{_EVENTS[condition.event]} with code {condition.exit_code}"
        case ErrorRate():
            return f"{condition.share:.0%} of {condition.at_least} or more requests in {condition.within_s:g} s fail"
        case Memory():
            return f"the preview uses {condition.share:.0%} of its memory limit"


_EVENTS = {
    PreviewEvent.ENDED: "the preview has ended",
    PreviewEvent.FAILED: "the preview has failed",
    PreviewEvent.EXITED: "the preview's process has exited",
    PreviewEvent.CRASHED: "the preview's process has crashed",
    PreviewEvent.UNHEALTHY: "the preview is unhealthy",
    PreviewEvent.RESTARTED: "another process of the preview has taken over",
}


def _one(subject: Subject) -> str:
    return "line" if subject is Subject.LINES else "request"
