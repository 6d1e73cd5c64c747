"""The objects that routes use while the app is running."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import trio
from quart import Blueprint, has_request_context, request
from werkzeug.routing import BaseConverter

from preview.auth import AccessBook, Identity, LoginCodes, TicketBox, issue_token
from preview.http.audited import audit
from preview.http.edits import FileEdits
from preview.http.endpoint_book import EndpointBook
from preview.http.metrics import Metrics
from preview.http.people import People
from preview.http.streams.agent_calls import AgentCalls
from preview.http.streams.direct import DirectStreams
from preview.http.streams.log_streams import StreamSlots, Waits
from preview.http.streams.shared_logs import SharedLogs
from preview.logs.bus import LogBus
from preview.proxy import PreviewClient
from preview.replay.checks.book import CheckBook
from preview.replay.probe import Prober
from preview.replay.turns import UserTurns
from preview.service import Service
from preview.settings import Settings
from preview.supervisor import PreviewManager
from preview.user import User

Authenticate = Callable[[Mapping[str, Any]], Awaitable[Identity | None]]
"""Returns the identity of the sender of an ASGI request; None if the request has no credentials. Raises
``Unauthenticated`` or ``Forbidden`` for insufficient credentials."""

# A working day: the page survives a lunch break, and an abandoned browser is logged out.
SESSION_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class Backend:
    """Everything the routes need, made once when the app starts.

    Attributes:
        service: The service.
        client: Sends requests to previews.
        authenticate: Determines the user of a request.
        secret: Signs browser sessions; None if tokens come from elsewhere, which disables login here.
        session_cookie: Name of the cookie that contains a browser session.
        tickets: Stream tickets, for ``EventSource``, which cannot send headers.
        login_codes: One-time links to the page.
        access: Access of browsers to previews.
        slots: Open streams by user.
        waits: Streams to wake when the service shuts down.
        direct: Streams that write to their sockets directly, without Hypercorn.
        shared_logs: Logs of previews on other nodes.
        endpoints: Endpoints by generation.
        metrics: Counters.
        edits: Saves changes of files; None if a host keeps the generations.
        prober: Probes generations.
        turns: Turns of users for replays, comparisons and runs of checks.
        checks: Checks of generations.
        people: Guests, presence, comments and API tokens.
        agents: Calls of AI agents.
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
    shared_logs: SharedLogs
    endpoints: EndpointBook
    metrics: Metrics
    edits: FileEdits | None
    prober: Prober
    turns: UserTurns
    checks: CheckBook
    people: People
    agents: AgentCalls

    @property
    def settings(self) -> Settings:
        """Settings that the service was opened with."""
        return self.service.settings

    @property
    def bus(self) -> LogBus | None:
        """Has lines of logs that several nodes of the cluster read; None if there is none."""
        return self.shared_logs.bus

    @property
    def previews(self) -> PreviewManager:
        """The preview manager."""
        return self.service.previews

    def live_preview_id(self, arguments: Mapping[str, Any], owner_id: str) -> str:
        """Return the id of the live preview of a route's generation; empty if this owner has none.

        A ``preview_id`` of the route is returned as it was given: who sends it knows it.
        """
        if "preview_id" in arguments:
            return str(arguments["preview_id"])
        live = self.previews.active(str(arguments.get("generation_id", "")))
        return "" if live is None or live.record.user_id != owner_id else live.id

    def new_session(self, user: User, ttl_s: float = SESSION_S) -> str | None:
        """Return a session token for a browser, or None if this service signs none."""
        if self.secret is None:
            return None
        return issue_token(self.settings, self.secret, user.id, tier=user.tier, ttl_s=ttl_s)


Running = Callable[[], Backend]
"""Returns the running app's backend. Raises ``ServiceStopping`` if the app is not running."""


class RecordNumber(BaseConverter):
    """Converter of a path's segment that may be a record's number: ``/requests/import`` is another route."""

    MOST = 10**15 - 1
    regex = r"\d[^/]*"
    # Below literal segments, above other variables.
    weight = 90


class BackendRoutes(Blueprint):
    """A blueprint whose views take the running app's backend as their first argument.

    Args:
        name: Name of the Quart blueprint.
        running: Returns the backend; called once per request.
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
        """Register a view. All of Quart's route decorators call this method (see ``Blueprint.add_url_rule``)."""
        view = None if view_func is None else _with_backend(view_func, self._running)
        super().add_url_rule(rule, endpoint, view, provide_automatic_options, **options)


def _with_backend(view: Callable[..., Any], running: Running) -> Callable[..., Any]:
    @wraps(view)
    async def bound(**arguments: Any) -> Any:
        backend = running()
        try:
            return await view(backend, **arguments)
        except trio.Cancelled:
            # Or a caller could make changes without an entry. Bounded and shielded there.
            if has_request_context():
                await audit(  # noqa: ASYNC102  see above
                    backend.people.audit, request, None, backend.live_preview_id
                )
            raise

    return bound
