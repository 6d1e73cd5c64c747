"""Pages of a log as schemas, in both contracts; tests hold the views to them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Line(_Shape):
    """A line of a preview's log."""

    seq: int
    timestamp: str
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    source: Literal["subprocess", "system"]
    message: str
    request_id: str | None = Field(default=None, description="Of the request it was printed for, where it is known.")


class MissingLines(_Shape):
    """Lines that are kept no more, both numbers included."""

    first: int
    last: int
    reason: Literal["retention", "lost"]


class LogPage(_Shape):
    """Lines of the past, oldest first."""

    lines: list[Line]
    gaps: list[MissingLines] = Field(description="What is missing of the lines that were looked at.")
    first_kept: int = Field(description="The oldest line that is kept; 0 where there is none.")
    next: str | None = Field(description="Where the lines behind these are; null where there will be none.")
    prev: str | None = Field(description="Where the lines before these are; null where there are none.")


class PlanLine(_Shape):
    """A line of a preview's log."""

    seq: int
    timestamp: str
    level: Literal["DEBUG", "INFO", "WARN", "ERROR"]
    source: Literal["startup", "request", "preview"]
    message: str
    requestId: str | None = Field(  # noqa: N815  like the contract's words
        default=None, description="Of the request it was printed for, where it is known."
    )


class PlanLogPage(_Shape):
    """Lines of the past, oldest first."""

    lines: list[PlanLine]
    gaps: list[MissingLines] = Field(description="What is missing of the lines that were looked at.")
    firstKept: int = Field(  # noqa: N815  the contract's word
        description="The oldest line that is kept; 0 where there is none."
    )
    next: str | None = Field(description="Where the lines behind these are; null where there will be none.")
    prev: str | None = Field(description="Where the lines before these are; null where there are none.")


StepWord = Literal["waiting", "running", "done", "failed", "stopped"]


class FirstAnswerShape(_Shape):
    """The first request to the application, and its answer."""

    path: str = Field(examples=["/health"])
    status: int = Field(examples=[200])


class LaunchStepShape(_Shape):
    """A step of the launch."""

    name: str = Field(
        description="`files`, `environment`, `process`, `answers`, or a step of the plan, such as `migrations`."
    )
    state: StepWord
    started_at: str | None = Field(description="Null while it waits.")
    elapsed_ms: int | None = Field(description="Null until it has ended.")
    detail: str | None = Field(description="A few words for people.", examples=["cached, Python 3.12.1"])
    reused: bool = Field(description="Whether it took over what an earlier launch had made.")
    answer: FirstAnswerShape | None = Field(default=None, description="Of the step `answers` alone.")


class PlanLaunchStep(_Shape):
    """A step of the launch."""

    name: str = Field(
        description="`files`, `environment`, `process`, `answers`, or a step of the plan, such as `migrations`."
    )
    state: StepWord
    startedAt: str | None = Field(description="Null while it waits.")  # noqa: N815  the contract
    elapsedMs: int | None = Field(description="Null until it has ended.")  # noqa: N815  the contract
    detail: str | None = Field(description="A few words for people.", examples=["cached, Python 3.12.1"])
    reused: bool = Field(description="Whether it took over what an earlier launch had made.")
    answer: FirstAnswerShape | None = Field(default=None, description="Of the step `answers` alone.")
