"""The application below ``/e2b``: ``/e2b/api`` for sandboxes, and ``/e2b/sandbox`` for one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, cast

import trio
from quart import Response, g, request
from quart_trio import QuartTrio

from preview.auth import TokenRole
from preview.errors import PreviewError
from preview.http.audited import remember_caller
from preview.http.browser import PreviewAddresses, Receive, Scope, Send, head_of, mount_of
from preview.http.core.errors import problem_of
from preview.http.e2b.box import MAX_FILE_BYTES
from preview.http.e2b.boxes import Boxes
from preview.http.e2b.envd import answer as answer_sandbox
from preview.http.e2b.errors import E2bError
from preview.http.e2b.ports import PortApp, serve_port
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


class _Host(PortApp, Protocol):
    """The parts of ``PreviewApp`` that are needed."""

    def check(self, scope: Mapping[str, Any]) -> None:
        """Check a request before anything else."""

    def count_error(self, code: str) -> None:
        """Count an error response by its code."""

    async def audit(self, response: Response) -> None:
        """Store an entry about a change."""


class E2bApp(QuartTrio):
    """Answers E2B's SDKs, and requests to ports of sandboxes.

    Args:
        host: The whole application.
        addresses: Finds the sandbox of a host name.

    Attributes:
        boxes: All sandboxes while the application runs; None if E2B's API is off.
    """

    def __init__(self, host: _Host, addresses: PreviewAddresses) -> None:
        super().__init__("preview.http.e2b", static_folder=None)
        self._host = host
        self._addresses = addresses
        self.boxes: Boxes | None = None
        self.config.update(MAX_CONTENT_LENGTH=MAX_FILE_BYTES + _SLACK_BYTES, BODY_TIMEOUT=_BODY_S)
        for version in ("", "/v2"):
            # Their names are in the table of audited routes.
            all_of_them, one = f"{_PREFIX}/api{version}/sandboxes", f"{_PREFIX}/api{version}/sandboxes/<name>"
            self.add_url_rule(all_of_them, "e2b.create", self._api, methods=["POST"])
            self.add_url_rule(one, "e2b.kill", self._api, methods=["DELETE"])
            self.add_url_rule(f"{one}/connect", "e2b.connect", self._api, methods=["POST"])
        self.add_url_rule(f"{_PREFIX}/api/<path:path>", "e2b.api", self._api, methods=_METHODS)
        self.add_url_rule(f"{_PREFIX}/sandbox/<path:path>", "e2b.sandbox", self._sandbox, methods=_METHODS)
        self.register_error_handler(E2bError, self._error)
        self.register_error_handler(PreviewError, self._problem)
        self.before_request(self._begin)
        self.after_request(self._finish)

    async def serves(self, scope: Scope, receive: Receive, send: Send, *, peer: object) -> bool:
        """Serve an ASGI scope if it is for a sandbox or for E2B's API; otherwise return False.

        Cancellation: the request is aborted.
        """
        asked = self._addresses.sandbox_port(head_of(scope, peer).host)
        if asked is not None:
            await serve_port(self._host, self._open_boxes, asked, scope, receive, send, peer=peer)
        elif is_for_e2b(scope):
            await self(cast("Any", scope), cast("Any", receive), send)
        else:
            return False
        return True

    async def _begin(self) -> None:
        g.started_at = trio.current_time()
        self._host.check(request.scope)

    async def _finish(self, response: Response) -> Response:
        await self._host.audit(response)
        elapsed_s = trio.current_time() - g.get("started_at", trio.current_time())
        self._host.count_answer(request.endpoint or "none", request.method, response.status_code, elapsed_s)
        return response

    async def _api(self, **_given: str) -> Response:
        backend, boxes = self._host.backend, self._open_boxes()
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
        remember_caller(backend.people.audit, request, identity, backend.live_preview_id)
        domain = self._addresses.sandbox_domain(request.headers.get("Host", "").lower(), mount_of(request.scope))
        path = request.path.partition(f"{_PREFIX}/api")[2]
        return await answer_user(boxes, identity.user.id, request, path, domain=domain)

    async def _sandbox(self, path: str) -> Response:
        boxes = self._open_boxes()
        name, token = request.headers.get("E2b-Sandbox-Id", ""), request.headers.get("X-Access-Token", "")
        return await answer_sandbox(boxes.with_token(name, token), request, f"/{path}")

    def _open_boxes(self) -> Boxes:
        # Raises while the service is stopping.
        _ = self._host.backend
        if self.boxes is None:
            raise E2bError("unimplemented", "E2B's API is off here; the operator can enable it with PREVIEW_E2B=true.")
        return self.boxes

    async def _error(self, error: E2bError) -> Response:
        self._host.count_error(f"e2b_{error.code}")
        return _as_json(error.status, error.message)

    async def _problem(self, error: PreviewError) -> Response:
        problem = problem_of(error)
        self._host.count_error(problem.code)
        return _as_json(problem.status_in(Contract.V1), str(error))


def _as_json(status: int, message: str) -> Response:
    return Response(json.dumps({"code": status, "message": message}), status=status, content_type="application/json")
