"""Services for the routes while the app is running."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from quart import Blueprint

from preview.auth import AccessBook, Identity, LoginCodes, TicketBox, issue_token
from preview.http.edits import FileEdits
from preview.http.endpoint_book import EndpointBook
from preview.http.metrics import Metrics
from preview.http.streams.direct import DirectStreams
from preview.http.streams.log_streams import StreamSlots, Waits
from preview.proxy import PreviewClient
from preview.service import Service
from preview.settings import Settings
from preview.supervisor import PreviewManager
from preview.user import User

Authenticate = Callable[[Mapping[str, Any]], Awaitable[Identity | None]]
"""Who sent the request with this ASGI scope; None where it carries nothing to tell. Raises ``Unauthenticated`` or
``Forbidden`` where it does, and is not good enough."""

# A working day: long enough not to lose the page at lunch, short enough for a browser left behind.
SESSION_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class Backend:
    """Everything the routes need, made once when the app starts.

    Attributes:
        service: The service.
        client: Talks to previews.
        authenticate: Who is asking.
        secret: Signs browser sessions; None where tokens come from elsewhere, and then there is no login here.
        session_cookie: Name of the cookie that holds a browser session.
        tickets: For ``EventSource``, which cannot send headers.
        login_codes: One-time links to the page.
        access: Who may look at which preview in a browser.
        slots: Open streams by user.
        waits: Streams to wake when the service goes down.
        direct: Streams that have left Hypercorn.
        endpoints: Endpoints by generation.
        metrics: Counters.
        edits: Saves changes of files; None where a host keeps the generations.
    """

    service: Service
    client: PreviewClient
    authenticate: Authenticate
    secret: str | None
    session_cookie: str
    tickets: TicketBox
    login_codes: LoginCodes
    access: AccessBook
    slots: StreamSlots
    waits: Waits
    direct: DirectStreams
    endpoints: EndpointBook
    metrics: Metrics
    edits: FileEdits | None

    @property
    def settings(self) -> Settings:
        """Settings that the service was opened with."""
        return self.service.settings

    @property
    def previews(self) -> PreviewManager:
        """The manager."""
        return self.service.previews

    def new_session(self, user: User, ttl_s: float = SESSION_S) -> str | None:
        """Return a session token for a browser, or None if this service signs none."""
        if self.secret is None:
            return None
        return issue_token(self.settings, self.secret, user.id, tier=user.tier, ttl_s=ttl_s)


Running = Callable[[], Backend]
"""Returns the running app's backend. Raises ``ServiceStopping`` where the app is not running (yet, or any more)."""


class BackendRoutes(Blueprint):
    """A blueprint whose views take the running app's backend as their first argument.

    Args:
        name: As Quart's.
        running: Called once for each request.
    """

    def __init__(self, name: str, running: Running) -> None:
        super().__init__(name, __name__)
        self._running = running

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Callable[..., Any] | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        """Register a view, see ``Blueprint.add_url_rule``, by which all of Quart's decorators come."""
        view = None if view_func is None else _with_backend(view_func, self._running)
        super().add_url_rule(rule, endpoint, view, provide_automatic_options, **options)


def _with_backend(view: Callable[..., Any], running: Running) -> Callable[..., Any]:
    @wraps(view)
    async def bound(**arguments: Any) -> Any:
        return await view(running(), **arguments)

    return bound
