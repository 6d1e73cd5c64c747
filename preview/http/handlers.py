"""What happens around every route: errors written down, headers that protect, answers counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import trio
from quart import Quart, Request, Response, Websocket, current_app, g, has_request_context, request, websocket

from preview.errors import ServiceStopping
from preview.http.backend import backend
from preview.http.contracts import plan, v1
from preview.http.core.answers import Answer, no_content
from preview.http.core.errors import problem_of
from preview.http.core.guard import without_secrets
from preview.logs import Contract

if TYPE_CHECKING:
    from preview.http.app import PreviewApp

PLAN_PREFIX = "/api/generations/"

# Everything else is data: should a browser ever show it as a document, it can do nothing.
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"

_HEADERS = {
    "Content-Security-Policy": _DATA_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Answers are somebody's own; what may be kept (the page's files) says so itself.
    "Cache-Control": "no-store",
}


def install_handlers(app: Quart) -> None:
    """Register them."""
    app.before_request(_begin)
    app.before_websocket(_begin_websocket)
    app.after_request(_finish)
    app.register_error_handler(Exception, _answer_error)


async def _begin() -> Response | None:
    g.begun_at = trio.current_time()
    app = cast("PreviewApp", current_app)
    app.check(request.scope)
    asked = request.headers.get("Access-Control-Request-Method")
    allowed = app.cors.preflight(request.method, request.headers.get("Origin"), asked)
    return None if allowed is None else no_content(allowed)


async def _begin_websocket() -> None:
    cast("PreviewApp", current_app).check(websocket.scope)


async def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    for name, value in cast("PreviewApp", current_app).cors.fields(request.headers.get("Origin")).items():
        if name == "Vary":
            response.vary.add(value)
        else:
            response.headers.setdefault(name, value)
    try:
        metrics = backend().metrics
    except ServiceStopping:
        return response
    route = request.endpoint or "none"
    elapsed_s = trio.current_time() - g.get("begun_at", trio.current_time())
    metrics.answered(route, request.method, response.status_code, elapsed_s)
    return response


async def _answer_error(error: Exception) -> Response:
    """Any error as the request's contract writes it."""
    # A handshake that is refused gets an ordinary answer.
    asked: Request | Websocket = request if has_request_context() else websocket
    contract = Contract.PLAN if asked.path.startswith(PLAN_PREFIX) else Contract.V1
    problem = problem_of(error)
    shown: Answer
    if contract is Contract.V1:
        shown = v1.Problem.of(problem, without_secrets(f"{asked.root_path.rstrip('/')}{asked.path}"))
    elif asked.endpoint == "plan_proxy.request_":
        shown = plan.PlanProxyError.of(problem)
    else:
        shown = plan.PlanError.of(problem, is_launch_route=asked.endpoint == "plan.launch")
    kind = "application/problem+json" if contract is Contract.V1 else "application/json"
    response = Response(json.dumps(shown.dumped(), default=str), problem.status_in(contract), content_type=kind)
    response.headers.update(problem.headers)
    if not has_request_context():
        response.headers.update(_HEADERS)
    return response
