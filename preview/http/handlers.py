"""Handlers around every route: errors, security headers and counters."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio
from quart import Quart, Request, Response, Websocket, g, has_request_context, request, websocket

from preview.http.contracts import plan, v1
from preview.http.core.answers import Answer, no_content
from preview.http.core.errors import Problem, problem_of
from preview.http.core.guard import without_secrets
from preview.http.core.page_policy import Cors
from preview.http.metrics import Answered
from preview.logs import Contract

PLAN_PREFIX = "/api/generations/"

# For everything except the page: data that a browser displays as a document can do nothing.
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"

_HEADERS = {
    "Content-Security-Policy": _DATA_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Responses are private to a user; those that may be cached (the page's files) set their own value.
    "Cache-Control": "no-store",
}


def install_handlers(
    app: Quart,
    check: Callable[[Mapping[str, Any]], None],
    cors: Cors,
    answered: Answered,
    failed: Callable[[str], None],
    audited: Callable[[Response], Awaitable[None]],
) -> None:
    """Register the handlers.

    Args:
        app: The application that gets the handlers.
        check: Called with each scope; raises if the request is refused.
        cors: Determines what pages of other origins may read.
        answered: Called for each response.
        failed: Called with the code of each error.
        audited: Called with each response, before it is sent.
    """

    async def begin() -> Response | None:
        g.begun_at = trio.current_time()
        check(request.scope)
        asked = request.headers.get("Access-Control-Request-Method")
        allowed = cors.preflight(request.method, request.headers.get("Origin"), asked)
        return None if allowed is None else no_content(allowed)

    async def begin_websocket() -> None:
        check(websocket.scope)

    async def finish(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        for name, value in cors.fields(request.headers.get("Origin")).items():
            if name == "Vary":
                response.vary.add(value)
            else:
                response.headers.setdefault(name, value)
        await audited(response)
        elapsed_s = trio.current_time() - g.get("begun_at", trio.current_time())
        answered(request.endpoint or "none", request.method, response.status_code, elapsed_s)
        return response

    app.before_request(begin)
    app.before_websocket(begin_websocket)
    app.after_request(finish)

    async def answer_error(error: Exception) -> Response:
        problem = problem_of(error)
        failed(problem.code)
        return _error_response(problem)

    app.register_error_handler(Exception, answer_error)


def _error_response(problem: Problem) -> Response:
    """Return the error in the form of the request's contract."""
    # A refused handshake gets an ordinary response.
    asked: Request | Websocket = request if has_request_context() else websocket
    contract = Contract.PLAN if asked.path.startswith(PLAN_PREFIX) else Contract.V1
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
