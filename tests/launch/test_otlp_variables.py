"""Variables of OpenTelemetry: the service's, unless the project sets its own. A placeholder is nobody's value."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest

from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.supervisor.launch.command import server_variables
from preview.supervisor.launch.variables import tell_variables

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
OURS = {
    ENDPOINT: "http://127.0.0.1:4318",
    PROTOCOL: "http/protobuf",
    "OTEL_SERVICE_NAME": "preview",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_METRIC_EXPORT_INTERVAL": "10000",
}


def plan_with(variables: Mapping[str, str], origin: Origin = Origin.PROJECT) -> StartPlan:
    found = {name: Variable(name, value, origin) for name, value in variables.items()}
    return StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None, variables=found, trace=True, exports_spans=True)


def telemetry(plan: StartPlan, *, exports: bool = True) -> dict[str, str]:
    with socket.socket() as listener, socket.socket() as control:
        given = {name: one.value for name, one in plan.variables.items()}
        found = server_variables(plan, listener, control, given, exports=exports)
    return {name: value for name, value in found.items() if name.startswith("OTEL_")}


@pytest.mark.parametrize("own", [{ENDPOINT: "http://a:1"}, {TRACES: "http://a:1"}, {"OTEL_SDK_DISABLED": "true"}])
def test_a_project_that_sets_an_endpoint_keeps_all_of_its_values(own: dict[str, str]) -> None:
    assert telemetry(plan_with(own)) == own


def test_other_values_of_the_project_stay_and_the_rest_is_the_services() -> None:
    own = {PROTOCOL: "http/json", "OTEL_SERVICE_NAME": "shop"}
    assert telemetry(plan_with(own)) == OURS | own
    assert telemetry(plan_with({})) == OURS


def test_placeholders_are_replaced_and_not_logged() -> None:
    plan = plan_with({ENDPOINT: "http://localhost", TRACES: "http://localhost", PROTOCOL: "x"}, Origin.MADE_UP)
    assert telemetry(plan) == OURS | {TRACES: "http://127.0.0.1:4318/v1/traces"}
    assert tell_variables(plan) == []


def test_without_a_sandbox_there_is_no_receiver_to_lead_to() -> None:
    assert telemetry(plan_with({}), exports=False) == {}
    assert telemetry(plan_with({ENDPOINT: "http://localhost"}, Origin.MADE_UP), exports=False)
