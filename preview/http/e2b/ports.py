"""Ports of sandboxes under host names: ``PORT-SANDBOX.DOMAIN``, which E2B's ``getHost`` makes.

A request reaches a server that listens on the loopback interface of the sandbox's own network, and nothing else. Rules
for header fields, bodies, WebSockets and time limits are those of a preview.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from time import monotonic
from typing import Any, Protocol

import trio

from preview.errors import Forbidden, PreviewError, PreviewNotFound, UpstreamFailed
from preview.http.backend import Backend
from preview.http.browser import (
    Receive,
    SandboxPort,
    Scope,
    Send,
    carry_exchange,
    check_exchange,
    error_answer,
    head_of,
    send_answer,
    serve_socket,
)
from preview.http.core.errors import problem_of
from preview.http.e2b.box import Box
from preview.http.e2b.boxes import Boxes
from preview.http.e2b.errors import E2bError
from preview.proxy.admission import Admitted, OwnAnswer, RequestHead
from preview.runtime import InnerAddress
from preview.settings import Settings

TRAFFIC_TOKEN = b"e2b-traffic-access-token"
"""Field with the secret of a sandbox that was made with ``allowPublicTraffic: false``."""
_ROUTE = "e2b.port"


class PortApp(Protocol):
    """The parts of ``PreviewApp`` that are needed."""

    settings: Settings

    @property
    def backend(self) -> Backend:
        """Return the running backend. Raises ``ServiceStopping``."""

    def count_answer(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count a response."""


class _Connector:
    """Opens connections to one port of a sandbox."""

    def __init__(self, box: Box, port: int) -> None:
        self._box = box
        self._port = port

    async def open_connection(self) -> socket.socket:
        """See ``preview.runtime.Connects``."""
        try:
            return await self._box.keeper.connect(self._port)
        except E2bError as error:
            raise ConnectionRefusedError(error.message) from error


class _Gate:
    """Gives the service's own answers; see ``preview.proxy.admission.AccessGate``."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def explain(self, head: RequestHead, _admitted: Admitted, error: PreviewError) -> OwnAnswer:
        """Return the answer for a request that the sandbox has not answered. Cancellation: no state changes."""
        await trio.lowlevel.checkpoint()
        if error.code == "preview_unavailable":
            error = UpstreamFailed(
                f"Nothing listens on port {self._port} of this sandbox; start a server there, then try again."
            )
        return self.refuse(head, error)

    def refuse(self, head: RequestHead, error: Exception) -> OwnAnswer:
        """Return a page or a problem document."""
        return error_answer(problem_of(error), head)


class _View:
    """The application, as the exchange with a sandbox's port needs it."""

    def __init__(self, app: PortApp, gate: _Gate) -> None:
        self._app = app
        self.access_gate = gate
        self.settings = app.settings

    @property
    def backend(self) -> Backend:
        """See ``PortApp``."""
        return self._app.backend

    def count_answer(self, _route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count a response under the name of these routes."""
        self._app.count_answer(_ROUTE, method, status, elapsed_s)


async def serve_port(
    app: PortApp,
    boxes: Callable[[], Boxes],
    asked: SandboxPort,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    peer: object,
) -> None:
    """Serve one HTTP or WebSocket scope whose host names a sandbox's port.

    Args:
        app: The application.
        boxes: Returns all sandboxes.
        asked: Sandbox and port of the host name.
        scope: ASGI.
        receive: ASGI.
        send: ASGI.
        peer: The ASGI client as reported by the server.

    Cancellation: the connection to the sandbox is closed.
    """
    started, arrived_at = trio.current_time(), monotonic()
    gate = _Gate(asked.port)
    view = _View(app, gate)
    head = head_of(scope, peer)

    async def send_counted(message: Any) -> None:
        if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
            status = message.get("status", 101)
            app.count_answer(_ROUTE, head.method, status, trio.current_time() - started)
        await send(message)

    outcome: Admitted | OwnAnswer
    try:
        check_exchange(scope, head)
        head, outcome = _admit(boxes(), asked, head)
    except E2bError as error:
        outcome = gate.refuse(head, PreviewNotFound(error.message))
    except Exception as error:  # noqa: BLE001  unexpected errors are logged, and shown by an id only
        outcome = gate.refuse(head, error)
    if scope["type"] == "websocket":
        await serve_socket(view, scope, head, outcome, receive, send_counted, arrived_at=arrived_at)
    elif isinstance(outcome, OwnAnswer):
        await send_answer(outcome, head, send_counted)
    else:
        await carry_exchange(view, scope, head, outcome, receive, send_counted, arrived_at=arrived_at)


def _admit(boxes: Boxes, asked: SandboxPort, head: RequestHead) -> tuple[RequestHead, Admitted]:
    """Return the request without the service's secret, and its admission.

    Raises:
        PreviewNotFound: There is no such sandbox, or no such port.
        Forbidden: The port is shared with the machine, or the secret is missing.
    """
    box = boxes.find(asked.sandbox_id)
    given = next((value for name, value in head.fields if name == TRAFFIC_TOKEN), b"")
    # The same answer for a sandbox that asks for a secret: a stranger learns nothing about a name.
    if box is None or (box.traffic_token and not hmac.compare_digest(box.traffic_token.encode(), given)):
        raise PreviewNotFound("There is no such sandbox here, or it has ended.")
    if not 0 < asked.port < 65536:
        raise PreviewNotFound("There is no such port: ports range from 1 to 65535.")
    if not box.is_reachable(asked.port):
        raise Forbidden(
            f"Port {asked.port} of this sandbox leads to this machine; make the server use another port.",
            reason="port_not_its_own",
        )
    fields = [field for field in head.fields if field[0] != TRAFFIC_TOKEN]
    # The pool's key for idle connections: no host name has this form.
    address = InnerAddress(f"sandbox {box.id}", asked.port, _Connector(box, asked.port))
    admitted = Admitted(box.id, address, 0, 0, "", partial(nullcontext, None))
    return head._replace(fields=fields), admitted
