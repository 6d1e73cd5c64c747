"""Sandboxes of a user: what E2B's API answers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

import trio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from quart import Request, Response

from preview.http.audited import remember_detail
from preview.http.e2b.box import Box
from preview.http.e2b.boxes import Boxes
from preview.http.e2b.connect import read_body
from preview.http.e2b.errors import E2bError, not_covered

M = TypeVar("M", bound=BaseModel)

# A version of E2B's daemon whose requests this service answers: uploads are forms, and there is one user.
_ENVD_VERSION = "0.5.2"
_BODY_BYTES = 256 * 1024
_TEMPLATES = frozenset({"base", ""})
_ALL = frozenset({"/sandboxes", "/v2/sandboxes"})
_LOGS = re.compile(r"/(?:v2/)?sandboxes/([^/]+)/logs")
_ONE = re.compile(r"/(?:v2/)?sandboxes/([^/]+)(?:/(timeout|connect|refreshes))?")


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _New(_Body):
    templateID: str = "base"  # noqa: N815  as the SDKs say
    timeout: float = Field(300, ge=1, le=10**9)
    metadata: dict[str, str] = Field(default_factory=dict, max_length=100)
    envVars: dict[str, str] = Field(default_factory=dict, max_length=100)  # noqa: N815  as the SDKs say
    autoPause: bool | None = None  # noqa: N815  as the SDKs say
    mcp: Any = None
    iam: Any = None
    network: dict[str, Any] | None = None
    volumeMounts: list[Any] | None = None  # noqa: N815  as the SDKs say


class _Timeout(_Body):
    timeout: float = Field(300, ge=0, le=10**9)


async def answer(boxes: Boxes, user_id: str, request: Request, path: str, *, domain: str | None) -> Response:
    """Answer a request of a user.

    Args:
        boxes: All sandboxes.
        user_id: Who is asking.
        request: The request.
        path: Path without the prefix.
        domain: Domain of the ports' host names, for the SDK's ``getHost``; None if there is none.

    Raises:
        E2bError: It was refused, or is not covered.

    Cancellation: a sandbox that was asked for may remain.
    """
    if path in _ALL and request.method == "POST":
        return await _create(boxes, user_id, request, domain)
    if path in _ALL and request.method == "GET":
        return _list(boxes, user_id, request)
    if (found := _LOGS.fullmatch(path)) and request.method == "GET":
        lines = list(boxes.own(user_id, found[1]).lines)
        short = [{"timestamp": one["timestamp"], "line": one["message"]} for one in lines]
        return _json({"logs": lines} if path.startswith("/v2/") else {"logs": short, "logEntries": lines})
    if found := _ONE.fullmatch(path):
        return await _one(boxes, boxes.own(user_id, found[1]), request, found[2] or "", domain)
    raise not_covered(f"{request.method} {path[:100]}")


async def _create(boxes: Boxes, user_id: str, request: Request, domain: str | None) -> Response:
    asked = await _read(request, _New)
    if asked.templateID not in _TEMPLATES:
        raise not_covered("Another template than `base`")
    for given, feature in (
        (asked.mcp, "An MCP gateway in a sandbox"), (asked.iam, "A workload identity"), (asked.autoPause, "Pausing"),
        (asked.volumeMounts, "A volume"),
        (set(asked.network or {}) - {"allowPublicTraffic"}, "A network of its own choice"),
    ):  # fmt: skip
        if given:
            raise not_covered(feature)
    if "\0" in "".join((*asked.envVars, *asked.envVars.values())) or any(
        "=" in one or not one for one in asked.envVars
    ):
        raise E2bError("invalid_argument", "A variable has a NUL character, an equals sign in its name, or no name.")
    box = await boxes.create(
        user_id, asked.templateID or "base", asked.timeout, asked.metadata, asked.envVars,
        is_public=(asked.network or {}).get("allowPublicTraffic") is not False,
    )  # fmt: skip
    remember_detail(request.scope, box.id)
    return _json(_short(box, domain), 201)


def _list(boxes: Boxes, user_id: str, request: Request) -> Response:
    # The SDKs encode names and values, and then all of it.
    pairs = parse_qsl(request.args.get("metadata", "")[:_BODY_BYTES], keep_blank_values=True)
    wanted = {unquote(name): unquote(value) for name, value in pairs}
    states = {state for one in request.args.getlist("state") for state in one.split(",")}
    found = [
        _detail(box)
        for box in boxes.of(user_id)
        if wanted.items() <= dict(box.metadata).items() and (not states or "running" in states)
    ]
    return _json(found)


async def _one(boxes: Boxes, box: Box, request: Request, action: str, domain: str | None) -> Response:
    if action == "" and request.method == "GET":
        return _json(_detail(box))
    if action == "" and request.method == "DELETE":
        await boxes.kill(box)
        return Response(b"", status=204)
    if request.method != "POST" or not action:
        raise not_covered(f"{request.method} of a sandbox")
    asked = (await _read(request, _Timeout)).timeout if action != "refreshes" else 0.0
    born = (datetime.now(UTC) - box.started_at).total_seconds()
    ends = trio.current_time() + max(0.0, min(asked, boxes.longest_s - born))
    # Connecting never shortens the life of a sandbox that somebody else uses.
    if action == "timeout":
        box.scope.deadline = ends
        return Response(b"", status=204)
    box.scope.deadline = max(box.scope.deadline, ends)
    return _json(_short(box, domain)) if action == "connect" else Response(b"", status=204)


async def _read(request: Request, model: type[M]) -> M:
    body = await read_body(request, _BODY_BYTES)
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise E2bError("invalid_argument", f"The field {where} is not valid: {first['msg']}.") from error


def _short(box: Box, domain: str | None) -> dict[str, Any]:
    return {
        "templateID": box.template,
        "sandboxID": box.id,
        "clientID": "preview",
        "envdVersion": _ENVD_VERSION,
        "envdAccessToken": box.token,
        "trafficAccessToken": box.traffic_token,
        "domain": domain,
    }


def _detail(box: Box) -> dict[str, Any]:
    settings = box.settings
    return {
        "templateID": box.template,
        "alias": box.template,
        "sandboxID": box.id,
        "clientID": "preview",
        "envdVersion": _ENVD_VERSION,
        "startedAt": box.started_at.isoformat().replace("+00:00", "Z"),
        "endAt": box.ends_at.isoformat().replace("+00:00", "Z"),
        "cpuCount": max(1, round(settings.cpu_limit)),
        "memoryMB": settings.memory_limit_mb,
        "diskSizeMB": settings.disk_limit_mb,
        "metadata": dict(box.metadata),
        "state": "running",
    }


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/json")
