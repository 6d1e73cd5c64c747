"""What the OpenAPI document says beside the routes themselves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from preview.http import create_app
from preview.settings import load_settings


@pytest.fixture
async def operations() -> dict[str, dict[str, Any]]:
    """Operations by their id, each with its path."""
    answer = await create_app(load_settings()).test_client().get("/openapi.json")
    paths = json.loads(await answer.get_data())["paths"]
    return {
        operation["operationId"]: operation | {"path": path}
        for path, methods in paths.items()
        for operation in methods.values()
    }


async def test_each_link_gives_a_parameter_of_an_operation_that_is_there(operations: dict[str, dict[str, Any]]) -> None:
    links = [
        link
        for operation in operations.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    for link in links:
        assert set(link["parameters"]) <= set(re.findall(r"{([^}]+)}", operations[link["operationId"]]["path"]))


async def test_each_body_may_be_late_too_large_or_of_another_kind(operations: dict[str, dict[str, Any]]) -> None:
    for operation in operations.values():
        if "requestBody" in operation:
            assert {"408", "413", "415"} <= set(operation["responses"]), operation["path"]


async def test_any_address_may_refuse_a_request_by_its_head(operations: dict[str, dict[str, Any]]) -> None:
    for operation in operations.values():
        assert {"400", "421", "431", "503"} <= set(operation["responses"]), operation["path"]


async def test_what_may_not_be_there_says_so(operations: dict[str, dict[str, Any]]) -> None:
    for name in ("page.asset", "session.login", "session.exchange", "generations.create_generation"):
        assert "404" in operations[name]["responses"]


async def test_a_request_for_the_preview_names_its_methods(operations: dict[str, dict[str, Any]]) -> None:
    answer = await create_app(load_settings()).test_client().get("/openapi.json")
    envelope = json.loads(await answer.get_data())["components"]["schemas"]["EnvelopeBody"]["properties"]
    assert {"GET", "POST", "DELETE"} <= set(envelope["method"]["enum"])
    assert operations["v1_proxy.request_"]["requestBody"]["required"]
