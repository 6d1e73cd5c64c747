"""The events of a log stream, each described once: what the encoder writes by hand is held to these."""

from __future__ import annotations

from typing import Literal

from preview.http.contracts import shared, v1
from preview.http.core.answers import Answer, PlanAnswer
from preview.logs import Contract

PlanWord = Literal["launching", "running", "stopping", "stopped", "failed"]
Cause = Literal["user", "expired", "inactive", "shutdown"]


class LineEvent(shared.Line):
    type: Literal["line"]


class PlanLineEvent(shared.PlanLine):
    type: Literal["line"]


class StatusEvent(Answer):
    type: Literal["status"]
    id: str
    status: v1.Word
    health: shared.HealthWord
    reason: str | None
    timestamp: str
    steps: list[shared.LaunchStepShape]
    restarts: int
    crashes: int


class PlanStatusEvent(PlanAnswer):
    type: Literal["status"]
    preview_instance_id: str
    status: PlanWord
    health_status: shared.HealthWord
    reason: str | None
    timestamp: str
    steps: list[shared.PlanLaunchStep]
    restarts: int
    crashes: int


class EndEvent(Answer):
    type: Literal["end"]
    id: str
    status: v1.Word
    reason: str | None
    exit_code: int | None
    exit_signal: int | None
    cause: Cause | None
    timestamp: str
    steps: list[shared.LaunchStepShape]


class PlanEndEvent(PlanAnswer):
    type: Literal["end"]
    preview_instance_id: str
    status: PlanWord
    reason: str | None
    exit_code: int | None
    exit_signal: int | None
    cause: Cause | None
    timestamp: str
    steps: list[shared.PlanLaunchStep]


class GapEvent(shared.MissingLines):
    type: Literal["gap"]


class ProgressEvent(Answer):
    type: Literal["progress"]
    seq: int


class ExpiredEvent(Answer):
    type: Literal["expired"]


_OF_BOTH: dict[str, type[Answer]] = {"gap": GapEvent, "progress": ProgressEvent, "expired": ExpiredEvent}

EVENTS: dict[Contract, dict[str, type[Answer]]] = {
    Contract.V1: {"line": LineEvent, "status": StatusEvent, "end": EndEvent, **_OF_BOTH},
    Contract.PLAN: {"line": PlanLineEvent, "status": PlanStatusEvent, "end": PlanEndEvent, **_OF_BOTH},
}
"""The events of each contract by their type, as NDJSON has them."""
