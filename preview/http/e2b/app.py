"""The application below ``/e2b``: ``/e2b/api`` for sandboxes, and ``/e2b/sandbox`` for one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from quart import Response, request
from quart_trio import QuartTrio

from preview.auth import TokenRole
from preview.errors import PreviewError
from preview.http.backend import Backend
from preview.http.core.errors import problem_of
from preview.http.e2b.box import MAX_FILE_BYTES
from preview.http.e2b.boxes import Boxes
from preview.http.e2b.envd import answer as answer_sandbox
from preview.http.e2b.errors import E2bError
from preview.http.e2b.rest import answer as answer_user
from preview.logs import Contract

_PREFIX = "/e2b"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_SLACK_BYTES = 1024 * 1024
_BODY_S = 60


def is_for_e2b(scope: Mapping[str, Any]) -> bool:
    """Return whether a request is for a path below ``/e2b``."""
    if scope["type"] != "http":
        return False
    # Some hosts leave their own prefix in the path of a mounted application.
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
    return path.startswith(f"{_PREFIX}/")


class E2bApp(QuartTrio):
    """Answers E2B's SDKs.

    Args:
        running: Returns the backend while the application runs.
        check: Checks each request before anything else.

    Attributes:
        boxes: All sandboxes while the application runs; None if E2B's API is off.
    """

    def __init__(self, running: Callable[[], Backend], check: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__("preview.http.e2b", static_folder=None)
        self._running = running
        self._check = check
        self.boxes: Boxes | None = None
        self.config.update(MAX_CONTENT_LENGTH=MAX_FILE_BYTES + _SLACK_BYTES, BODY_TIMEOUT=_BODY_S)
        self.add_url_rule(f"{_PREFIX}/api/<path:path>", "api", self._api, methods=_METHODS)
        self.add_url_rule(f"{_PREFIX}/sandbox/<path:path>", "sandbox", self._sandbox, methods=_METHODS)
        self.register_error_handler(E2bError, _error)
        self.register_error_handler(PreviewError, _problem)

    async def _api(self, path: str) -> Response:
        self._check(request.scope)
        backend, boxes = self._running(), self._open_boxes()
        key = request.headers.get("X-API-Key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not key:
            raise E2bError("unauthenticated", "Send a token of this service as the API key (E2B_API_KEY).")
        # The service's own authentication reads tokens from here.
        headers = [
            (name, value) for name, value in request.scope["headers"] if name not in (b"authorization", b"cookie")
        ]
        scope = {**request.scope, "headers": [*headers, (b"authorization", f"Bearer {key}".encode("utf-8", "replace"))]}
        identity = await backend.authenticate(scope)
        if identity is None:
            raise E2bError("unauthenticated", "The API key is not a token of this service.")
        # Connecting hands out the sandbox's token, so it is no reading.
        needed = TokenRole.READ if request.method == "GET" else TokenRole.LAUNCH
        if identity.guest is not None or not identity.role.contains(needed):
            sentence = f"This API key has the role `{identity.role.value}`; this needs one with `{needed.value}`."
            raise E2bError("permission_denied", sentence)
        return await answer_user(boxes, identity.user.id, request, f"/{path}")

    async def _sandbox(self, path: str) -> Response:
        self._check(request.scope)
        boxes = self._open_boxes()
        name, token = request.headers.get("E2b-Sandbox-Id", ""), request.headers.get("X-Access-Token", "")
        return await answer_sandbox(boxes.with_token(name, token), request, f"/{path}")

    def _open_boxes(self) -> Boxes:
        self._running()
        if self.boxes is None:
            raise E2bError("unimplemented", "E2B's API is off here; the operator sets PREVIEW_E2B=true.")
        return self.boxes


async def _error(error: E2bError) -> Response:
    body = {"code": error.status, "message": error.message}
    return Response(json.dumps(body), status=error.status, content_type="application/json")


async def _problem(error: PreviewError) -> Response:
    problem = problem_of(error)
    status = problem.status_in(Contract.V1)
    return Response(json.dumps({"code": status, "message": str(error)}), status=status, content_type="application/json")
