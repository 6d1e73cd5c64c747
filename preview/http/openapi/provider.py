"""Builds the OpenAPI document from the routes and the table of operations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from quart_schema.openapi import OpenAPIProvider
from werkzeug.routing.rules import Rule

from preview import errors
from preview.errors import PreviewError
from preview.http.backend import RecordNumber
from preview.http.contracts import plan, v1
from preview.http.core.answers import EarlyProblem
from preview.http.core.errors import HTTP_CODES, problem_of
from preview.http.openapi.model import Operation, Reply
from preview.http.openapi.operations import BY_TAG
from preview.logs import Contract
from preview.together.variables import NAME as VARIABLE_NAME

_OPERATIONS = {route: (tag, operation) for tag, routes in BY_TAG.items() for route, operation in routes.items()}
_PATH = re.compile("<(?:[^:<>]*:)?([^<>]+)>")
_REF = "#/components/schemas/{model}"
# Alternative ways to authenticate.
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"session": []}]
_TICKET: list[dict[str, list[str]]] = [{"ticket": []}]
# Routes that also accept an archive.
_UPLOADS = frozenset({"generations.create_generation", "files.replace_files"})
_NAMES_VARIABLE = "saved.set_variable"
_OF_AGENTS = "agents.serve"
_OF_EVENTS = frozenset({"text/event-stream", "application/x-ndjson"})
_TEXTS = frozenset({"application/x-ndjson", "image/svg+xml"})
# The field of an error that holds its code.
_CODES = (("Problem", "code"), ("PlanError", "error"), ("PlanProxyError", "error"))
# Possible errors of reading a body: too slow, too long, or of another media type.
_FORM_NOTE = (
    "With a bearer token, JSON declared as `application/x-www-form-urlencoded` (as by `curl -d`) is read as JSON."
)
_OF_BODIES = (408, 413, 415)
# Possible errors of every API route: missing or insufficient credentials, no database, or a shutdown.
_OF_API = (errors.Unauthenticated, errors.Forbidden, errors.DatabaseUnavailable, errors.ServiceStopping)
# Possible errors of every address: a contradictory request, another host, or a shortage of resources.
_EVERYWHERE = (errors.InvalidRequest, errors.HostNotAllowed, errors.ServiceShort)


class Provider(OpenAPIProvider):
    """OpenAPI 3.1 of every route of the app."""

    def generate_rules(self) -> Iterable[Rule]:
        """Return every HTTP route but the one of agents, whose protocol describes itself."""
        return [rule for rule in self._app.url_map.iter_rules() if not rule.websocket and rule.endpoint != _OF_AGENTS]

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the path with its operation, and the schemas that it uses."""
        tag, operation = _OPERATIONS[rule.endpoint]
        view = self._app.view_functions[rule.endpoint]
        summary, _, description = (inspect.getdoc(view) or "").partition("\n")
        schemas: dict[str, Any] = {}
        built: dict[str, Any] = {
            "tags": [tag, *_contract_tag(rule)],
            "summary": summary.rstrip(".") or operation.reply.about.rstrip("."),
            "description": description.strip(),
            "parameters": _parameters(rule, operation, schemas),
            "responses": _responses(rule, operation, schemas),
            "security": _security(rule, operation),
        }
        body = _request_body(rule, operation, schemas)
        if body is not None:
            built["requestBody"] = body
        for name, field in _CODES:
            if name in schemas:
                schemas[name]["properties"][field]["enum"] = _error_codes()
        path = _PATH.sub(r"{\1}", rule.rule)
        methods = sorted(self.generate_methods(rule))
        return {path: {method.lower(): built | {"operationId": rule.endpoint} for method in methods}}, schemas


def _contract_tag(rule: Rule) -> list[str]:
    """Return the contract's tag of an API route, so that clients can be generated for one contract."""
    if not rule.rule.startswith("/api/"):
        return []
    return [Contract.PLAN.value if rule.rule.startswith("/api/generations/") else Contract.V1.value]


@cache
def _error_codes() -> list[str]:
    """Return every code that an error can have."""
    kinds, found = [PreviewError], set(HTTP_CODES.values())
    while kinds:
        kind = kinds.pop()
        found.add(kind.code)
        kinds += kind.__subclasses__()
    return sorted(found)


def _security(rule: Rule, operation: Operation) -> list[dict[str, list[str]]]:
    if operation.is_open:
        return []
    return _SECURITY + _TICKET if rule.endpoint.endswith(("_logs.stream", "_log_sockets.socket")) else list(_SECURITY)


def _schema(model: type[BaseModel], mode: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a reference to the model's schema, and add it to ``schemas``."""
    made = model.model_json_schema(ref_template=_REF, mode="serialization" if mode == "out" else "validation")
    for name, schema in {**made.pop("$defs", {}), model.__name__: made}.items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"Two shapes are called {name}: rename one.")
    return {"$ref": _REF.format(model=model.__name__)}


def _parameters(rule: Rule, operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(rule, name)}
        for name in sorted(rule.arguments)
    ]
    if operation.query is not None:
        made = operation.query.model_json_schema(ref_template=_REF)
        schemas.update(made.get("$defs", {}))
        for name, schema in made["properties"].items():
            about = schema.pop("description", None)
            found.append({"name": name, "in": "query", "schema": schema} | ({"description": about} if about else {}))
    for name, about in operation.headers.items():
        found.append({"name": name, "in": "header", "description": about, "schema": {"type": "string"}})
    return found


def _path_schema(rule: Rule, name: str) -> dict[str, Any]:
    if isinstance(rule._converters[name], RecordNumber):  # noqa: SLF001  as in Quart-Schema: there is no public way
        return {"type": "integer", "minimum": 1, "maximum": RecordNumber.MOST}
    if rule.endpoint == _NAMES_VARIABLE and name == "name":
        return {"type": "string", "pattern": f"^{VARIABLE_NAME}$"}
    return {"type": "string"}


def _request_body(rule: Rule, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any] | None:
    if operation.body is None:
        return None
    content: dict[str, Any] = {"application/json": {"schema": _schema(operation.body, "in", schemas)}}
    if rule.endpoint in _UPLOADS:
        content["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "required": ["archive"],
                "properties": {
                    "archive": {"type": "string", "format": "binary", "description": "A zip or tar.gz archive."},
                    "project_id": {"type": "string"},
                    "name": {"type": "string"},
                },
            }
        }
    return {
        "description": _FORM_NOTE,
        "content": content,
        "required": any(one.is_required() for one in operation.body.model_fields.values()),
    }


def _responses(rule: Rule, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    replies = {operation.status: operation.reply, **operation.others}
    found = {str(status): _reply(reply, schemas) for status, reply in replies.items()}
    contract = Contract.PLAN if rule.rule.startswith("/api/generations/") else Contract.V1
    by_status: dict[int, list[str]] = {}
    usual = () if operation.is_open else _OF_API
    of_id = (errors.GenerationNotFound,) if "generation_id" in rule.arguments else ()
    for kind in dict.fromkeys((*usual, *of_id, *operation.errors, *_EVERYWHERE)):
        problem = problem_of(kind(""))
        code = problem.code
        if contract is Contract.PLAN and problem.is_launch:
            code = f"launch_failed ({code})" if code != "launch_failed" else code
        by_status.setdefault(problem.status_in(contract), []).append(code)
    if rule.rule.startswith("/api/"):
        by_status.setdefault(500, []).append(PreviewError.code)
    for framework_status in (_OF_BODIES if operation.body is not None else ()) + (404,) * operation.is_missing:
        codes = by_status.setdefault(framework_status, [])
        codes += [HTTP_CODES[framework_status]] if HTTP_CODES[framework_status] not in codes else []
    for status, codes in sorted(by_status.items()):
        if str(status) not in found:
            found[str(status)] = _error(contract, rule, status, codes, schemas)
    found["431"] = {
        "description": "Request Header Fields Too Large: `head_too_large`. Sent before the address is checked.",
        "content": {"application/problem+json": {"schema": _schema(EarlyProblem, "out", schemas)}},
    }
    return found


def _reply(reply: Reply, schemas: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"description": reply.about}
    if reply.kind is not None:
        made["content"] = {
            kind: {"schema": _content(kind, reply, schemas)} for kind in (reply.kind, *reply.further_kinds)
        }
    if reply.links:
        made["links"] = dict(reply.links)
    if reply.headers:
        made["headers"] = {
            name: {"description": about, "schema": {"type": "string"}} for name, about in reply.headers.items()
        }
    return made


def _content(kind: str, reply: Reply, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a body of this media type; of a stream, its events are described in `x-event`."""
    if kind in _OF_EVENTS and reply.event is not None:
        # A schema describes the whole body, and OpenAPI 3.1 has no word for its parts.
        return {"x-event": _schema(reply.event, "out", schemas)}
    if kind == reply.kind and reply.model is not None:
        return _schema(reply.model, "out", schemas)
    if kind == "text/event-stream":
        # Readers of the document take a schema for that of each event, and an event is no text.
        return {}
    if kind.startswith("text/") or kind in _TEXTS:
        return {"type": "string"}
    if kind.endswith("+json"):
        return {"type": "object"}
    # OpenAPI 3.1: a body that is no text has no type.
    return {"contentMediaType": kind} if kind == "application/octet-stream" else {}


def _error(contract: Contract, rule: Rule, status: int, codes: list[str], schemas: dict[str, Any]) -> dict[str, Any]:
    model: type[BaseModel]
    if contract is Contract.V1:
        kind, model = "application/problem+json", v1.Problem
    else:
        kind = "application/json"
        model = plan.PlanProxyError if rule.endpoint == "plan_proxy.request_" else plan.PlanError
    made: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}.",
        "content": {kind: {"schema": _schema(model, "out", schemas)}},
    }
    if status == HTTPStatus.UNAUTHORIZED:
        made["headers"] = {"WWW-Authenticate": {"description": "Challenge (RFC 6750).", "schema": {"type": "string"}}}
    return made
