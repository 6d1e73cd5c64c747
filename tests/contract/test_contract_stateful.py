"""What one answer gives is used in the next request, by the document's links: keep, launch, watch, stop, delete."""

from __future__ import annotations

from typing import Any

from contract_cases import Sender, bounded, operation_of
from contract_world import FILES, PATIENCE_S
from hypothesis import settings
from schemathesis import BaseSchema, Case, Response

# Each may launch a preview, and stops it no sooner than the service does.
_SCENARIOS = 8
_STEPS = 10
_WAITING = {"Prefer": f"wait={PATIENCE_S}"}
_KEEP = "POST /api/v1/generations"


class Walk:
    """One life of a generation: each answer is held to the document, and so is each link that it has.

    Attributes:
        followed: Operation, status and name of each link that was.
    """

    def __init__(self, schema: BaseSchema, sender: Sender) -> None:
        self._schema = schema
        self._sender = sender
        self._labels = {
            operation["operationId"]: f"{method.upper()} {path}"
            for path, methods in schema.raw_schema["paths"].items()
            for method, operation in methods.items()
        }
        self.followed: set[tuple[str, str, str]] = set()

    def ask(self, label: str, status: int, *, headers: dict[str, str] | None = None, **values: Any) -> Response:
        """The answer, which has this status."""
        if "body" in values:
            values["media_type"] = "application/json"
        case = operation_of(self._schema, label).Case(headers=headers or {}, **values)
        answer = self._sender.send_as_ann(case)
        assert answer.status_code == status, (label, answer.text)
        return answer

    def follow(self, label: str, answer: Response, name: str, status: int, **values: Any) -> Response:
        """What the link of this name of an answer to ``label`` leads to."""
        links = operation_of(self._schema, label).definition.raw["responses"][str(answer.status_code)]["links"]
        said = answer.json()
        place = {key: said[value.removeprefix("$response.body#/")] for key, value in links[name]["parameters"].items()}
        self.followed.add((label, str(answer.status_code), name))
        return self.ask(self._labels[links[name]["operationId"]], status, path_parameters=place, **values)

    def all_links(self) -> set[tuple[str, str, str]]:
        """Those of the document."""
        return {
            (f"{method.upper()} {path}", status, name)
            for path, methods in self._schema.raw_schema["paths"].items()
            for method, operation in methods.items()
            for status, response in operation["responses"].items()
            for name in response.get("links", {})
        }


def test_each_link_leads_on_through_the_life_of_a_generation(schema: BaseSchema, sender: Sender) -> None:
    walk = Walk(schema, sender)
    kept = walk.ask(_KEEP, 201, body={"files": {**FILES}})
    place = {"generation_id": kept.json()["id"]}
    for name in ("get_generation", "plan"):
        walk.follow(_KEEP, kept, name, 200)

    of_preview = "/api/v1/generations/{generation_id}/preview"
    launched = walk.follow(_KEEP, kept, "launch", 201, body={}, headers=_WAITING)
    walk.follow(_KEEP, kept, "endpoints", 200)
    for name in ("status", "ticket", "stream"):
        walk.follow(f"POST {of_preview}/launch", launched, name, 200)
    own = {"X-Preview-Token": launched.json()["session_token"]}
    asked = {"method": "GET", "path": "/books"}
    walk.ask(f"POST {of_preview}/request", 200, path_parameters=place, headers=own, body=asked)
    walk.ask(f"GET {of_preview}/logs", 200, path_parameters=place)
    again = walk.ask(f"POST {of_preview}/restart", 201, path_parameters=place, headers=_WAITING, body={})
    walk.follow(f"POST {of_preview}/restart", again, "get_preview", 200)
    walk.follow(f"POST {of_preview}/launch", launched, "stop", 204)

    as_planned = "POST /api/generations/{generation_id}/preview/launch"
    launched = walk.ask(as_planned, 200, path_parameters=place, headers=_WAITING, body={})
    for name in ("status", "ticket", "stream", "stop"):
        walk.follow(as_planned, launched, name, 200)

    rules = "POST /api/v1/alerts"
    # Other tests may have made as many as a user may have.
    for one in walk.ask("GET /api/v1/alerts", 200).json()["items"]:
        walk.ask("DELETE /api/v1/alerts/{alert_id}", 204, path_parameters={"alert_id": one["id"]})
    rule = {"condition": {"kind": "matches", "filter": "error"}}
    made = walk.ask(rules, 201, body=rule)
    for name in ("get_alert", "test_alert", "list_firings"):
        walk.follow(rules, made, name, 200)
    walk.follow(rules, made, "replace_alert", 200, body=rule)
    walk.follow(rules, made, "delete_alert", 204)

    walk.follow(_KEEP, kept, "delete_generation", 204)

    examples = "POST /api/v1/examples/{name}"
    made = walk.ask(examples, 201, path_parameters={"name": "hello"})
    for name in ("get_generation", "plan", "endpoints"):
        walk.follow(examples, made, name, 200)
    launched = walk.follow(examples, made, "launch", 201, body={}, headers=_WAITING)
    walk.follow(f"POST {of_preview}/launch", launched, "stop", 204)
    walk.follow(examples, made, "delete_generation", 204)
    assert walk.followed == walk.all_links()


def test_answers_stay_as_documented_when_one_request_builds_on_another(schema: BaseSchema, sender: Sender) -> None:
    """Stories made up at random; how far they lead depends on what is answered, which is never twice the same."""
    seen: set[int] = set()
    # Random files in place of those that can be launched would end the story early.
    machine = (
        schema.include(path_regex=r"/generations|/previews")
        .exclude(path_regex="/files|/logs/ws|/preview/socket")
        .as_state_machine()
    )

    class Story(machine):  # type: ignore[misc, valid-type]  # made at run time
        def before_call(self, case: Case[Any]) -> None:
            # Names of files are too rare a find: what is kept here can be launched.
            if case.operation.label == _KEEP and isinstance(case.body, dict) and "files" in case.body:
                case.body = {"files": {**FILES}}

        def call(self, case: Case[Any], **_: Any) -> Response:
            answer = sender.send_as_ann(case)
            seen.add(answer.status_code)
            return answer

        def validate_response(self, response: Response, case: Case[Any], *_: Any, **__: Any) -> None:
            """It was, when it came."""

    Story.run(settings=settings(bounded(_SCENARIOS), stateful_step_count=_STEPS))
    assert min(seen) < 300
