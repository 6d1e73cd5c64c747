"""The responses that both contracts have, in each contract's form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from preview.http.contracts import plan, v1
from preview.http.contracts.shared import LogPage, PlanLogPage
from preview.logs import Contract


@dataclass(frozen=True, slots=True)
class Answers:
    """One contract's response models, and the status of a launch. Without ``stopped``, a stop returns 204."""

    launch_status: int
    launched: type[v1.Launched | plan.PlanLaunched]
    status: type[v1.Status | plan.PlanStatus]
    stopped: type[plan.PlanStopped] | None
    endpoints: type[v1.Endpoints | plan.PlanEndpoints]
    config: type[v1.Config | plan.PlanConfig]
    proxied: type[v1.Proxied | plan.PlanProxied]
    log_page: type[LogPage | PlanLogPage]


ANSWERS: Mapping[Contract, Answers] = MappingProxyType(
    {
        Contract.V1: Answers(201, v1.Launched, v1.Status, None, v1.Endpoints, v1.Config, v1.Proxied, LogPage),
        Contract.PLAN: Answers(
            200,
            plan.PlanLaunched,
            plan.PlanStatus,
            plan.PlanStopped,
            plan.PlanEndpoints,
            plan.PlanConfig,
            plan.PlanProxied,
            PlanLogPage,
        ),
    }
)
