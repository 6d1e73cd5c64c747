"""What happens around every route: errors written down, headers that protect, answers counted."""

from __future__ import annotations

import json
from typing import Any

import trio
from quart import Quart, Response, g, request

from preview.errors import ServiceStopping
from preview.http.backend import backend
from preview.http.contracts import VIEWS
from preview.http.errors import problem_of
from preview.logs import Contract

__all__ = ["PAGE_POLICY", "contract_of_request", "install_handlers"]

PLAN_PREFIX = "/api/generations/"

# Our own page: its own files and its own API, nothing else, and nobody may frame it.
PAGE_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
    "img-src 'self' data:"
)
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
    app.after_request(_finish)
    app.register_error_handler(Exception, _answer_error)


def contract_of_request() -> Contract:
    """The contract of the current request, by its path: errors for unknown addresses have one too."""
    return Contract.PLAN if request.path.startswith(PLAN_PREFIX) else Contract.V1


async def _begin() -> None:
    g.begun_at = trio.current_time()


async def _finish(response: Response) -> Response:
    for name, value in _HEADERS.items():
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
    contract = contract_of_request()
    problem = problem_of(error)
    route = (request.endpoint or "").rpartition(".")[2].rstrip("_")
    instance = f"{request.root_path.rstrip('/')}{request.path}"
    shown: dict[str, Any] = VIEWS[contract].problem(problem, instance=instance, route=route)
    kind = "application/problem+json" if contract is Contract.V1 else "application/json"
    response = Response(json.dumps(shown, default=str), problem.status_in(contract), content_type=kind)
    response.headers.update(problem.headers)
    return response
