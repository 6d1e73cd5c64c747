from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import nullcontext
from html.parser import HTMLParser
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from openapi_spec_validator import validate

from preview import errors
from preview.detection import overrides_from_request
from preview.detection.overrides.preview_file import _Start, _StepTable
from preview.detection.overrides.start_schema import StartOptions
from preview.http import PreviewApp, create_app
from preview.http.core.answers import Answer
from preview.http.openapi.operations import BY_TAG
from preview.settings import load_settings

HTTP_METHODS = {"get", "post", "put", "patch", "delete"}
# A share link's token is in its body; whoever has none gets 401.
# The protocol of AI agents describes itself: `/mcp` is a single address for all of its tools.
OF_AGENTS = "agents.serve"
OPEN = {("/api/v1/generations/{generation_id}/preview/join", "post"), ("/api/v1/join", "post")}


@pytest.fixture
def app() -> PreviewApp:
    return create_app(load_settings())


async def document(app: PreviewApp) -> dict[str, Any]:
    answer = await app.test_client().get("/openapi.json")
    assert answer.status_code == 200
    loaded: dict[str, Any] = json.loads(await answer.get_data())
    return loaded


def operations(found: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation) for path, methods in found["paths"].items() for method, operation in methods.items()
    ]


async def test_every_route_is_documented(app: PreviewApp) -> None:
    found = await document(app)
    for rule in app.url_map.iter_rules():
        if rule.endpoint == OF_AGENTS:
            continue
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        for method in rule.methods or ():
            if method.lower() in HTTP_METHODS:
                assert method.lower() in found["paths"][path], (method, path)


def test_the_table_of_operations_names_routes_that_exist(app: PreviewApp) -> None:
    listed = [route for routes in BY_TAG.values() for route in routes]
    ours = {rule.endpoint for rule in app.url_map.iter_rules() if not rule.websocket}
    assert sorted(listed) == sorted(ours - {OF_AGENTS})


def test_no_two_models_of_responses_have_one_name() -> None:
    """The document has one schema for each name: the second one would replace the first."""
    todo, models = [Answer], set[type[Answer]]()
    while todo:
        found = todo.pop().__subclasses__()
        todo += found
        models |= set(found)
    names = Counter(one.__name__ for one in models if one.__module__.startswith("preview."))
    assert [name for name, count in names.items() if count > 1] == []


async def test_the_document_is_openapi_3_1_and_names_only_what_it_holds(app: PreviewApp) -> None:
    found = await document(app)
    assert found["openapi"].startswith("3.1")
    assert found["info"]["title"] == "preview"
    schemas, security = found["components"]["schemas"], found["components"]["securitySchemes"]
    for name in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(found)):
        assert name in schemas
    for path, method, operation in operations(found):
        assert method in HTTP_METHODS
        assert {one["name"] for one in operation["parameters"] if one["in"] == "path"} == set(
            re.findall(r"{([^}]+)}", path)
        )
        assert operation["summary"]
        for requirement in operation["security"]:
            assert set(requirement) <= set(security)
        for status, response in operation["responses"].items():
            assert status == "101" or 200 <= int(status) < 600
            assert response["description"]
    ids = [(operation["operationId"], method) for _, method, operation in operations(found)]
    assert len(ids) == len(set(ids))


async def test_the_events_of_every_stream_have_a_schema(app: PreviewApp) -> None:
    found = await document(app)
    streams = {
        (name, kind): content
        for name, _, operation in operations(found)
        for reply in operation["responses"].values()
        for kind, content in reply.get("content", {}).items()
        if kind == "text/event-stream"
    }
    assert len(streams) >= 8
    assert [name for name, content in streams.items() if "x-event" not in content["schema"]] == []


async def test_every_code_of_the_errors_is_in_the_document(app: PreviewApp) -> None:
    found = (await document(app))["components"]["schemas"]
    ours = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PreviewError)
    }
    assert len(ours) > 40
    assert ours <= set(found["Problem"]["properties"]["code"]["enum"])
    assert found["PlanError"]["properties"]["error"]["enum"] == found["Problem"]["properties"]["code"]["enum"]


async def test_every_operation_of_the_api_has_the_tag_of_its_contract(app: PreviewApp) -> None:
    for path, method, operation in operations(await document(app)):
        contracts = {"v1", "plan"} & set(operation["tags"])
        mine = "plan" if path.startswith("/api/generations/") else "v1"
        assert contracts == ({mine} if path.startswith("/api/") else set()), (method, path)


async def test_the_start_options_and_variables_of_a_launch_are_typed(app: PreviewApp) -> None:
    found = (await document(app))["components"]["schemas"]
    for body in ("V1LaunchBody", "SideBody", "EnvironmentBody", "EnvironmentPatch"):
        assert found[body]["properties"]["start"]["anyOf"][0] == {"$ref": "#/components/schemas/StartOptions"}
    plan = found["PlanLaunchBody"]["properties"]["start"]["anyOf"][0]
    assert plan == {"$ref": "#/components/schemas/PlanStartOptions"}
    for body in ("V1LaunchBody", "SideBody", "PlanLaunchBody"):
        values = found[body]["properties"]["env"]["anyOf"][0]["additionalProperties"]
        assert [one["type"] for one in values["anyOf"]] == ["string", "number", "boolean"]
    # The keys are those that are read.
    assert set(found["StartOptions"]["properties"]) == set(_Start.model_fields)
    assert set(found["StepOptions"]["properties"]) == set(_StepTable.model_fields)


GOOD_STARTS: list[dict[str, Any]] = [
    {"framework": "fastapi", "app": "app.main:create()", "factory": True, "directory": "a/b", "network": "none"},
    {"command": "python main.py", "health": "/ok", "trace": False, "skip_steps": True, "server": None},
    {"command": ["python", "main.py"], "isolation": "container", "python_path": ["src"], "manifests": "."},
    {"steps": ["make all", ["make", "it"], {"run": "x", "name": None, "required": False}], "skip_steps": ["seed"]},
]
BAD_STARTS: list[dict[str, Any]] = [
    {"framework": "fastapy"}, {"app": "/etc:app"}, {"factory": "yes"}, {"directory": "/etc"}, {"command": []},
    {"server": "apache"}, {"health": "ok"}, {"health": "//host"}, {"network": "all"}, {"isolation": "vm"},
    {"steps": [{"name": "no run"}]}, {"steps": [{"run": "x", "more": 1}]}, {"python_path": "src"}, {"skip_steps": [1]},
    {"pythonPath": []}, {"command": "a\0b"},
]  # fmt: skip


@pytest.mark.parametrize("start", [*GOOD_STARTS, *BAD_STARTS], ids=str)
def test_the_schema_of_start_options_takes_what_the_service_takes(start: dict[str, Any]) -> None:
    schema = jsonschema.Draft202012Validator(StartOptions.model_json_schema())
    assert schema.is_valid(start) is (start in GOOD_STARTS)
    with nullcontext() if start in GOOD_STARTS else pytest.raises(errors.InvalidRequest):
        overrides_from_request({"start": start})


async def test_an_independent_validator_takes_the_document(app: PreviewApp) -> None:
    validate(await document(app))


async def test_the_security_schemes_are_bearer_session_and_ticket(app: PreviewApp) -> None:
    found = (await document(app))["components"]["securitySchemes"]
    assert found["bearer"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert (found["session"]["in"], found["session"]["name"]) == ("cookie", "preview_session")
    assert (found["ticket"]["in"], found["ticket"]["name"]) == ("query", "ticket")


async def test_all_of_the_api_wants_a_token_and_says_so(app: PreviewApp) -> None:
    for path, method, operation in operations(await document(app)):
        if path.startswith("/api/"):
            assert bool(operation["security"]) is ((path, method) not in OPEN), (method, path)
            assert "401" in operation["responses"]
            assert "500" in operation["responses"]


async def test_v1_errors_are_problems_and_plan_errors_are_its_own(app: PreviewApp) -> None:
    for path, _, operation in operations(await document(app)):
        if not path.startswith("/api/"):
            continue
        kind = "application/json" if path.startswith("/api/generations/") else "application/problem+json"
        assert set(operation["responses"]["401"]["content"]) == {kind}


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/api/generations/{generation_id}/preview/launch", "post", {"200", "400", "403", "404", "409", "500", "504"}),
        (
            "/api/v1/generations/{generation_id}/preview/launch",
            "post",
            {"201", "400", "403", "404", "409", "500", "503", "504"},
        ),
        ("/api/v1/generations/{generation_id}/preview", "delete", {"204", "404"}),
        ("/api/generations/{generation_id}/preview/request", "post", {"200", "400", "403", "413", "503", "504"}),
        ("/api/v1/generations/{generation_id}/preview/logs/stream", "get", {"200", "204", "403", "404", "429"}),
        ("/api/v1/generations", "post", {"201", "400", "413"}),
    ],
)
async def test_the_contract_s_statuses_are_documented(
    app: PreviewApp, path: str, method: str, statuses: set[str]
) -> None:
    assert statuses <= set((await document(app))["paths"][path][method]["responses"])


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value for name, value in attrs if name in {"href", "src"} and value]
        assert not any(name == "style" or name.startswith("on") for name, _ in attrs)


@pytest.mark.parametrize("path", ["/docs", "/"])
async def test_pages_load_nothing_from_another_host_and_run_nothing_inline(app: PreviewApp, path: str) -> None:
    client = app.test_client()
    answer = await client.get(path)
    html = await answer.get_data(as_text=True)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert re.search(r"(script|style|default)-src[^;]*'self'", policy) is None
    assert "unsafe" not in policy
    links = Links()
    links.feed(html)
    assert "style" not in links.tags
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    for link in links.found:
        assert not re.match(r"(?:[a-z]+:)?//", link)
        if not link.startswith(("#", "data:")):
            assert (await client.get("/" + link.lstrip("/"))).status_code in {200, 404 if path == "/" else 200}


async def test_the_readable_page_shows_every_operation(app: PreviewApp) -> None:
    html = await (await app.test_client().get("/docs")).get_data(as_text=True)
    for path, _, operation in operations(await document(app)):
        assert path in html
        assert operation["summary"] in html or "&#39;" in html
