"""What the OpenAPI document says of events, errors and media types is what the service sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel

from preview.core.launch_steps import LaunchStep
from preview.http import create_app
from preview.http.contracts.log_events import LogEvent, PlanLogEvent
from preview.http.core.errors import problem_of
from preview.logs import Contract, Encoding, End, Format, Gap, Level, LogLine, Source, StatusChange
from preview.logs.model.encode import encode, encode_found, expired, progress
from preview.people_errors import ApiTokenNotFound
from preview.settings import Settings

MODELS: dict[Contract, type[BaseModel]] = {Contract.V1: LogEvent, Contract.PLAN: PlanLogEvent}
STEPS = (LaunchStep("files"),)


@pytest.fixture
async def document(tmp_path: Path) -> dict[str, Any]:
    app = create_app(Settings(data_dir=tmp_path))
    found: dict[str, Any] = json.loads(await (await app.test_client().get("/openapi.json")).get_data())
    return found


@pytest.mark.parametrize("contract", Contract)
async def test_each_event_of_a_stream_has_the_documented_form(contract: Contract, document: dict[str, Any]) -> None:
    encoding = Encoding(contract, Format.NDJSON)
    sent = encode(
        [
            StatusChange("preview_1", "starting", "unknown", None, 1, STEPS),
            Gap(1, 4, "retention"),
            End("preview_1", "failed", "It ended.", 3, None, 2, steps=STEPS),
        ],
        encoding,
    )
    sent += encode_found([LogLine(5, 1, Level.WARNING, Source.REQUEST, "hello", "req_1")], contract)
    sent += progress(7, Format.NDJSON) + expired(Format.NDJSON)
    schema = {"$ref": f"#/components/schemas/{MODELS[contract].__name__}", "components": document["components"]}
    lines = [json.loads(line) for line in sent.splitlines()]
    assert [one["type"] for one in lines] == ["status", "gap", "end", "line", "progress", "expired"]
    for one in lines:
        Draft202012Validator(schema).validate(one)
        MODELS[contract].model_validate(one)
    # The form is strict: a wrong word is no event.
    assert not Draft202012Validator(schema).is_valid(lines[0] | {"type": "line"})


def contents(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (operation["operationId"], kind, content["schema"])
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for kind, content in response.get("content", {}).items()
    ]


async def test_every_response_has_a_schema(document: dict[str, Any]) -> None:
    without = {name for name, kind, schema in contents(document) if not schema and kind != "text/event-stream"}
    # A file of the page, and this document itself.
    assert without == {"page.asset", "openapi"} & without


async def test_the_codes_of_errors_are_enumerated(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, field in (("Problem", "code"), ("PlanError", "error")):
        codes = schemas[name]["properties"][field]["enum"]
        assert {problem_of(ApiTokenNotFound("")).code, "not_found", "launch_failed", "internal_error"} <= set(codes)


async def test_a_client_can_be_generated_for_one_contract(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if path.startswith("/api/"):
                assert ("plan" if path.startswith("/api/generations/") else "v1") in operation["tags"], path
