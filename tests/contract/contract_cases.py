"""Requests by the OpenAPI document: which ones are made up, how they are sent, how many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import schemathesis
from contract_checks import CHECKS
from contract_world import World, token
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode, Response
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from preview.http import create_app
from preview.settings import load_settings

__all__ = ["LABELS", "Sender", "bounded", "cases", "corner_cases", "load", "operation_of"]

# How many examples each test has: few and always the same in an ordinary run, else as many as asked for, and new ones.
_ASKED = int(os.environ.get("PREVIEW_TEST_EXAMPLES", "0"))
_EXAMPLES = 10
_TIMEOUT_S = 30
# The running preview says something ten times a second.
_STREAM_EVENTS = 3
_STREAM_S = 1

# The document cannot say all that makes these good: a cursor that we gave, the project of a generation, a path
# without "..", a file's name, a life that may be longer, requests that were recorded, the syntax of an expectation.
_RULES_BEYOND = (
    "GET /api/v1/generations",
    "GET /api/v1/previews",
    "/launches",
    "POST /api/v1/generations",
    # A name without control characters.
    "PATCH /api/v1/generations",
    "preview/extend",
    "preview/launch",
    "preview/restart",
    "/files",
    "/plan",
    "preview/request",
    "/replay",
    # Addresses of a repository.
    "/import",
    "/imports",
    "preview/compare",
    "requests/import",
    "preview/checks",
    "checks/run",
    "/check",
    # A filter, a webhook's address, a project of one's own, a condition that goes with lines.
    "POST /api/v1/alerts",
    "preview/firings/trial",
    "PUT /api/v1/alerts/{alert_id}",
    "preview/failures",
    "preview/logs",
    # A name that has something to show.
    "preview/saved",
    # A name of letters, a value without NUL.
    "preview/variables",
    # A cursor, a line that there is, a text that can be shown.
    "preview/comments",
    "GET /api/v1/operator/users",
    "/audit",
)
_CHANGES = (
    "preview/launch",
    "preview/restart",
    "}/preview",
    "/generations/{generation_id}",
    "/files",
    "/replay",
    # Addresses of a repository.
    "/import",
    "/imports",
    "/compare",
    "/checks",
    "/run",
    "/check",
)


def bounded(examples: int = _EXAMPLES) -> settings:
    """Hypothesis' settings: so many examples in an ordinary run, at least as many as asked for in a long one."""
    return settings(
        max_examples=max(examples, _ASKED),
        deadline=None,
        derandomize=not _ASKED,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def _labels() -> list[str]:
    rules = create_app(load_settings()).url_map.iter_rules()
    found = [
        f"{method} {rule.rule.replace('<path:', '{').replace('<record:', '{').replace('<', '{').replace('>', '}')}"
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]
    # The document itself is what all others are read from.
    return sorted(set(found) - {"GET /openapi.json"})


LABELS = _labels()


def load(world: World) -> BaseSchema:
    """The document as the service gives it."""
    schema = schemathesis.openapi.from_url(f"{world.url}/openapi.json")
    schema.config.generation.with_security_parameters = False
    schema.config.max_stream_events = _STREAM_EVENTS
    return schema


def operation_of(schema: BaseSchema, label: str) -> APIOperation[Any, Any, Any, Any]:
    """The operation, which the document must have."""
    found = schema.find_operation_by_label(label)
    assert found is not None, label
    return found


def cases(world: World, operation: APIOperation[Any, Any, Any, Any]) -> st.SearchStrategy[Case[Any]]:
    """Valid and invalid requests, to addresses that are there and to made-up ones."""
    headers = _headers(world, operation)
    return st.one_of(
        [
            operation.as_strategy(mode, path_parameters=path or None, headers=headers)
            for mode in GenerationMode
            for path in _places(world, operation)
        ]
    )


def corner_cases(world: World, operation: APIOperation[Any, Any, Any, Any]) -> Iterator[Case[Any]]:
    """The ends of each range, each type in place of another, each field left out; to what is there where it can be."""
    schema, place = operation.schema, _places(world, operation)[-1]
    for case in schema.iter_coverage_cases(
        operation, generation_modes=list(GenerationMode), generation_config=schema.config.generation
    ):
        if _is_about_its_path(case):
            yield case
            continue
        case.path_parameters = {**(case.path_parameters or {}), **place}
        case.headers.update(_headers(world, operation) or {})
        yield case


def _is_about_its_path(case: Case[Any]) -> bool:
    place = case.meta.phase.data if case.meta is not None else None
    return getattr(getattr(place, "parameter_location", None), "value", "") == "path"


def _headers(world: World, operation: APIOperation[Any, Any, Any, Any]) -> dict[str, str] | None:
    return {"X-Preview-Token": world.preview_token} if operation.path.endswith("preview/request") else None


def _places(world: World, operation: APIOperation[Any, Any, Any, Any]) -> list[dict[str, str]]:
    """Path parameters that stand for something; the best last."""
    names = {parameter.name for parameter in operation.path_parameters}
    if {"preview_id", "generation_id"} <= names:
        return [{}, {"generation_id": world.live, "preview_id": world.preview_id}]
    if "preview_id" in names:
        return [{}, {"preview_id": world.preview_id}]
    if "generation_id" not in names:
        return [{}]
    changes = operation.method.upper() != "GET" and operation.path.endswith(_CHANGES)
    own = (world.broken, world.spare) if changes else (world.idle, world.live)
    return [{}, *({"generation_id": one} for one in (world.foreign, *own))]


class Sender:
    """Sends requests, and holds each answer to the document."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        # Each request for itself: a session that one of them opened must not let others in.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(self, case: Case[Any], authorization: str | None) -> Response:
        """The answer, which is as documented."""
        is_stream = case.operation.path.endswith("logs/stream")
        headers = {} if authorization is None else {"Authorization": authorization}
        keywords: dict[str, Any] = {"session": self._session, "timeout": _STREAM_S if is_stream else _TIMEOUT_S}
        answer = case.call(headers=headers, **keywords)
        left_out: list[CheckFunction] = [not_a_server_error]  # ours knows the exceptions that the contract makes
        # A version of files that is not the current one (412) is a rule beyond the schema, too.
        if case.operation.label.endswith(_RULES_BEYOND) or answer.status_code in {412, 413, 431}:
            left_out += [positive_data_acceptance]
        if answer.status_code in {413, 431}:  # refused by the size of its body or head, whatever is in it
            left_out += [negative_data_rejection]
        case.validate_response(
            answer,
            headers=headers,
            additional_checks=CHECKS,
            excluded_checks=left_out,
            transport_kwargs=keywords,
        )
        return answer

    def send_as_ann(self, case: Case[Any]) -> Response:
        """Who owns the generations."""
        return self.send(case, f"Bearer {token('ann')}")
