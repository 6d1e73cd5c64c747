"""Convert an ASGI scope to a request head, and the service's own responses to ASGI messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import quote

from preview.errors import PreviewError
from preview.http.backend import Backend
from preview.http.browser.access_gate import PreviewAccessGate
from preview.proxy.admission import Admitted, OwnAnswer, RequestHead
from preview.proxy.forwarded import FROM_NODE, VIA
from preview.proxy.http1 import NO_CONTENT
from preview.settings import Settings

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[Any], Awaitable[None]]


class Explains(Protocol):
    """Gives the service's own answer for an exchange that failed."""

    async def explain(self, head: RequestHead, admitted: Admitted, error: PreviewError, /) -> OwnAnswer:
        """See ``preview.proxy.admission.AccessGate``. Cancellation: no state changes."""


class ExchangeApp(Protocol):
    """The parts of an application that an admitted exchange needs."""

    settings: Settings

    @property
    def access_gate(self) -> Explains:
        """Return the gate of these exchanges."""

    @property
    def backend(self) -> Backend:
        """Return the running backend. Raises ``ServiceStopping``."""


class BrowserApp(ExchangeApp, Protocol):
    """The parts of ``PreviewApp`` that requests to previews need."""

    @property
    def access_gate(self) -> PreviewAccessGate:
        """Return the gate of all previews."""

    def count_answer(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count a response."""


# Servers such as Hypercorn report ``ws`` for a WebSocket, but its origin has the scheme of the page.
_SCHEMES = {"ws": "http", "wss": "https"}


def is_for_preview(access_gate: PreviewAccessGate, scope: Scope) -> bool:
    """Return whether the request of this scope is for a preview."""
    return access_gate.places.find(_host(scope), _target(scope), mount_of(scope)) is not None


def head_of(scope: Scope, peer: object) -> RequestHead:
    """Return the request's head.

    Args:
        scope: An ASGI scope with the trusted client and scheme.
        peer: The ASGI client as reported by the server.
    """
    client, scheme = scope.get("client"), str(scope.get("scheme", "http"))
    fields = [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in scope["headers"]]
    if scope["type"] == "websocket" and all(name != b"upgrade" for name, _ in fields):
        # RFC 8441: over HTTP/2 no field shows it. The access check must know, because any page may open a WebSocket.
        fields.append((b"upgrade", b"websocket"))
    return RequestHead(
        method=scope.get("method", "GET"),
        target=_target(scope),
        fields=fields,
        host=_host(scope),
        scheme=_SCHEMES.get(scheme, scheme),
        client=_address(client),
        peer=_address(peer),
        via=scope.get(VIA, ()),
        is_from_node=bool(scope.get(FROM_NODE)),
    )


def mount_of(scope: Scope) -> str:
    """Return the path at which a host application has mounted this one, without a trailing slash."""
    return str(scope.get("root_path") or "").rstrip("/")


async def send_answer(answer: OwnAnswer, head: RequestHead, send: Send) -> None:
    """Send a response that the service itself gives. Cancellation: the response is cut off."""
    fields = list(answer.fields)
    # RFC 9110 section 8.6: a status without content has no length.
    if answer.status not in NO_CONTENT:
        fields.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    body = b"" if head.method == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _host(scope: Scope) -> str:
    return next((bytes(value).decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"), "")


def _target(scope: Scope) -> bytes:
    raw = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=-._~%").encode()
    query = scope.get("query_string") or b""
    path = bytes(raw).partition(b"?")[0]
    return path + b"?" + query if query else path


def _address(client: Any) -> str | None:
    return str(client[0]) if client and client[0] else None
