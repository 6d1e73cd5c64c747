"""Launches of a generation, and the comparison of two."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from preview.core.launch_steps import LaunchStep
from preview.http.contracts import shared
from preview.http.core.answers import Answer, Time
from preview.http.launch_facts import (
    EndpointTimes,
    LaunchFacts,
    launch_ms,
    life_ms,
    settings_of,
    steps_by_name,
)
from preview.logs.failures.model import FailureRecord
from preview.rollout import stored_arms
from preview.storage.launches import Launch


class LaunchShape(Answer):
    """A launch: one preview of the generation, live or ended."""

    preview_id: str
    user_id: str = Field(description="Who launched it.")
    status: Literal["starting", "running", "stopping", "stopped", "failed"]
    cause: Literal["user", "expired", "inactive", "shutdown"] | None = Field(description="Why it was stopped.")
    reason: str | None
    exit_code: int | None
    exit_signal: int | None
    created_at: Time
    started_at: Time | None
    stopped_at: Time | None
    launch_ms: int | None = Field(description="From the launch to the first response; null if it never came.")
    life_ms: int = Field(description="From the launch to the end, or until now.")
    version: int | None = Field(description="Version of the files that runs, or ran last; null if not recorded.")
    reloads: int = Field(description="Number of times that a new process has taken over.")
    lines: int | None = Field(description="Number of lines; null while it runs, or after a crash of the service.")
    requests: int
    failures: int = Field(description="Number of different failures.")
    flags: dict[str, str] = Field(description="Values of the operator's flags; empty if none was set.")

    @classmethod
    def of(cls, launch: Launch) -> Self:
        """Return the launch."""
        return cls(**_fields(launch))


def _fields(launch: Launch) -> dict[str, object]:
    record = launch.record
    kept = ("user_id", "cause", "reason", "exit_code", "exit_signal", "created_at", "started_at", "stopped_at")
    return {name: getattr(record, name) for name in kept} | {
        "preview_id": record.id,
        "status": record.state.value,
        "launch_ms": launch_ms(record),
        "life_ms": life_ms(record),
        "version": record.revision,
        "reloads": len(record.reloads.first_lines) - 1,
        "lines": record.last_seq,
        "requests": launch.requests,
        "failures": launch.failures,
        "flags": stored_arms(record.launch_settings),
    }


class LaunchList(Answer):
    """A page of launches, newest first."""

    items: list[LaunchShape]
    next: str | None = Field(description="Continue with `cursor`; null on the last page.")


class EndpointTimesShape(Answer):
    """Requests to one endpoint during one launch."""

    endpoint: str = Field(examples=["GET /books/{id}"])
    requests: int
    errors: int = Field(description="Number with a status of 500 or more, or without a response.")
    p50_ms: float
    p95_ms: float


class Setting(Answer):
    """A setting of a launch; values of variables are not kept."""

    name: str = Field(examples=["start.app", "env.DEBUG"])
    value: str


class LaunchDetail(LaunchShape):
    """A launch with its steps, settings and endpoints."""

    steps: shared.Steps[shared.LaunchStepShape]
    settings: list[Setting]
    endpoints: list[EndpointTimesShape] = Field(description="Of the last 2,000 requests, the most called first.")

    @classmethod
    def of_facts(cls, facts: LaunchFacts) -> Self:
        """Return the launch in detail."""
        record = facts.launch.record
        return cls.model_validate(
            {
                **_fields(facts.launch),
                "steps": shared.launch_fields(record, None)["steps"],
                "settings": [{"name": name, "value": value} for name, value in settings_of(record).items()],
                "endpoints": list(facts.endpoints.values()),
            }
        )


class StepDifference(Answer):
    """A step in both launches."""

    name: str
    before_ms: int | None
    after_ms: int | None
    before_state: str | None
    after_state: str | None


class SettingDifference(Answer):
    """A setting that differs; null: not set."""

    name: str
    before: str | None
    after: str | None


class FailureName(Answer):
    """A failure by its type and message."""

    id: str
    type: str
    message: str
    count: int


class EndpointDifference(Answer):
    """An endpoint in both launches; null: it got no request."""

    endpoint: str
    before: EndpointTimesShape | None
    after: EndpointTimesShape | None


class LaunchComparison(Answer):
    """Difference between two launches of a generation."""

    before: LaunchShape
    after: LaunchShape
    settings: list[SettingDifference]
    steps: list[StepDifference]
    new_failures: list[FailureName]
    gone_failures: list[FailureName]
    common_failures: int
    endpoints: list[EndpointDifference]

    @classmethod
    def between(cls, one: LaunchFacts, other: LaunchFacts) -> Self:
        """Return the difference."""
        before = {found.id: found for found in one.failures}
        after = {found.id: found for found in other.failures}
        return cls(
            before=LaunchShape.of(one.launch),
            after=LaunchShape.of(other.launch),
            settings=_settings(settings_of(one.launch.record), settings_of(other.launch.record)),
            steps=_steps(steps_by_name(one.launch.record), steps_by_name(other.launch.record)),
            new_failures=[_failure(found) for key, found in after.items() if key not in before],
            gone_failures=[_failure(found) for key, found in before.items() if key not in after],
            common_failures=len(before.keys() & after.keys()),
            endpoints=[
                EndpointDifference(
                    endpoint=name, before=_times(one.endpoints.get(name)), after=_times(other.endpoints.get(name))
                )
                for name in dict.fromkeys([*one.endpoints, *other.endpoints])
            ],
        )


def _settings(before: dict[str, str], after: dict[str, str]) -> list[SettingDifference]:
    return [
        SettingDifference(name=name, before=before.get(name), after=after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _steps(before: dict[str, LaunchStep], after: dict[str, LaunchStep]) -> list[StepDifference]:
    differences = []
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        differences.append(
            StepDifference(
                name=name,
                before_ms=None if one is None else one.elapsed_ms,
                after_ms=None if other is None else other.elapsed_ms,
                before_state=None if one is None else one.state.value,
                after_state=None if other is None else other.state.value,
            )
        )
    return differences


def _failure(found: FailureRecord) -> FailureName:
    return FailureName(id=found.id, type=found.type, message=found.message, count=found.count)


def _times(found: EndpointTimes | None) -> EndpointTimesShape | None:
    return None if found is None else EndpointTimesShape.model_validate(found)
