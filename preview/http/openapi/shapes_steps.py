"""The steps of a launch as schemas, in both contracts; tests hold the views to them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

StepWord = Literal["waiting", "running", "done", "failed", "stopped"]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


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
