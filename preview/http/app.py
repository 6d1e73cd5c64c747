"""The ASGI application: for this service's server, another ASGI server, or mounted in a host's application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, cast

import structlog
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart import Response, request
from quart.routing import QuartRule
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGILifespan

from preview.auth import JwtAuthenticator, LoginCodes, TicketBox, load_or_create_secret
from preview.embedding import AsyncioBridge, in_asyncio
from preview.errors import PreviewError, ServiceStopping
from preview.generations import GenerationSource
from preview.http.audited import audit
from preview.http.backend import Authenticate, Backend, RecordNumber
from preview.http.browser import ClusterRouter, PreviewAccessGate, head_of, is_for_preview, open_routing, serve_ordinary
from preview.http.core.errors import leaves
from preview.http.core.guard import HostCheck, check_request, host_names, origin_form, public_origins
from preview.http.core.page_policy import Cors
from preview.http.e2b import Boxes, E2bApp
from preview.http.edits import FileEdits
from preview.http.endpoint_book import EndpointBook
from preview.http.handlers import install_handlers
from preview.http.host import NoService, in_host_authenticate, in_host_generations
from preview.http.identity import TokenAuthenticate, session_cookie_name
from preview.http.metrics import Carried, Streams, make_metrics
from preview.http.openapi import install_openapi
from preview.http.otlp.exporter import exporting
from preview.http.people import Revocations, make_people
from preview.http.protocol.listening import RequestConnection, SocketConnection
from preview.http.routes.calls import carry_check
from preview.http.routes.generations import run_purge
from preview.http.routes.people import telling_changes
from preview.http.routes.table import MatchedRule, install_routes
from preview.http.streams.agent_calls import AgentCalls
from preview.http.streams.direct import DirectStreams
from preview.http.streams.log_streams import StreamSlots, Waits
from preview.http.streams.node_log import is_node_log, serve_node_log
from preview.http.streams.shared_logs import SharedLogs
from preview.proxy import PreviewClient, open_preview_client
from preview.proxy.forwarded import FROM_NODE, TrustedProxies
from preview.proxy.passing_on import trusted_scope
from preview.replay.checks.book import CheckBook
from preview.replay.probe import Prober
from preview.replay.turns import UserTurns
from preview.service import DataFolderInUse, Service, open_service
from preview.settings import Settings, load_settings

log = structlog.get_logger(__name__)

_SECOND_WORKER = (
    "Another process has the data folder of the preview service, and only that one serves previews: run the host with "
    "one worker process, or run `preview serve` as a process of its own."
)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Memory for a request body beyond the largest content; each route has a smaller limit of its own.
_SLACK_BYTES = 64 * 1024
# JSON may use six bytes for one byte of text (``\\u00ff``).
_JSON_GROWTH = 6


class _ServiceLifespan(TrioASGILifespan):
    """Opens the service before start-up completes, and closes it before shutdown completes.

    It wraps the lifespan instead of using ``while_serving``, where a nursery would be opened on the wrong stack. It
    does nothing if the app already runs (under our own server, or in a host that entered ``app.running()``).
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the lifespan. Cancellation: the service is closed."""
        app = cast("PreviewApp", self.app)
        if app.is_running:
            await super().__call__(receive, send)
            return
        opened, last = False, None

        async def hold_back_last(message: Any) -> None:
            # The server cancels this task upon the last message, so everything is closed first.
            nonlocal last
            if message["type"] == "lifespan.shutdown.complete":
                last = message
            else:
                await send(message)

        try:
            async with app.running():
                opened = True
                await super().__call__(receive, cast("ASGISendCallable", hold_back_last))
        except* PreviewError as group:
            if opened:
                raise
            sentence = "; ".join(str(error) for error in leaves(group))
            log.exception("service start failed", why=sentence)
            await receive()
            await send(cast("Any", {"type": "lifespan.startup.failed", "message": sentence}))
        if last is not None:
            await send(last)


class PreviewApp(QuartTrio):
    """The HTTP application. Made by ``create_app``.

    It handles requests while ``running()`` or ``attached()`` is open; other ASGI servers use the lifespan.
    """

    asgi_http_class = RequestConnection
    asgi_websocket_class = SocketConnection
    asgi_lifespan_class = _ServiceLifespan
    url_rule_class: type[QuartRule] = MatchedRule

    def __init__(
        self,
        settings: Settings,
        *,
        service: Service | None,
        authenticate: Authenticate | None,
        generations: GenerationSource | None,
    ) -> None:
        super().__init__("preview.http", static_folder=None)
        self.url_map.converters["record"] = RecordNumber
        self.settings = settings
        self._given_service = service
        self._bridge = bridge = AsyncioBridge()
        self._authenticate = None if authenticate is None else in_host_authenticate(bridge, authenticate)
        self._generations = None if generations is None else in_host_generations(bridge, generations)
        self._backend: Backend | None = None
        self._proxies = TrustedProxies(settings)
        self._hosts = HostCheck(host_names(settings))
        # A host application that mounts this one validates ``Host`` itself.
        self._checks_hosts = bool(settings.allowed_hosts)
        self.cors = Cors(settings)
        self.access_gate = PreviewAccessGate(settings, lambda: self.backend, self._check_host)
        # None outside a cluster. Set before the server starts.
        self.router: ClusterRouter | None = None
        self.carried = Carried()
        self._e2b = E2bApp(self, self.access_gate.places)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope; typed so that any host's ``mount`` accepts it. Cancellation: the request is aborted."""
        if in_asyncio():
            await self._bridge.serve(self._serve, scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            # Mounting applications do not forward the lifespan, so this application is the outermost.
            self._checks_hosts = True
        else:
            peer, scope = scope.get("client"), origin_form(trusted_scope(scope, self._proxies))
            if is_node_log(scope):
                await serve_node_log(self.backend, scope, receive, send)
                return
            routed = None if self.router is None else await self.router.route(head_of(scope, peer))
            if routed is not None or is_for_preview(self.access_gate, scope):
                await serve_ordinary(self, scope, receive, send, peer=peer, routed=routed)
                return
            if await self._e2b.serves(scope, receive, send, peer=peer):
                return
        await super().__call__(scope, receive, send)

    def allow_hosts(self, names: Iterable[str]) -> None:
        """Check ``Host`` of each request from now on, and also accept these names."""
        self._checks_hosts = True
        self._hosts.allow(names)

    def check(self, scope: Mapping[str, Any]) -> None:
        """Check a request before anything else: see ``guard.check_request``.

        Raises:
            InvalidRequest, HostNotAllowed, RequestHeaderFieldsTooLarge: The request is refused.
        """
        checks_host = self._checks_hosts and not scope.get(FROM_NODE)
        check_request(scope, self._hosts if checks_host else None)

    def _check_host(self, host: str) -> None:
        if self._checks_hosts:
            self._hosts.check(host)

    def count_answer(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count a response: see ``Answers.add``. Nothing is counted while the app is not running."""
        if self._backend is not None:
            self._backend.metrics.add_answer(route, method, status, elapsed_s)

    def count_error(self, code: str) -> None:
        """Count an error response of the service by its code. Nothing is counted while the app is not running."""
        if self._backend is not None:
            self._backend.metrics.answers.add_error(code)

    async def audit(self, response: Response) -> None:
        """Store an entry about a change: see ``audited.audit``. Nothing is stored while the app is not running.

        Cancellation: see ``audited.audit``.
        """
        if self._backend is not None:
            await audit(self._backend.people.audit, request, response, self._backend.live_preview_id)

    @property
    def is_running(self) -> bool:
        """True while requests are handled."""
        return self._backend is not None

    @property
    def backend(self) -> Backend:
        """The backend of the routes.

        Raises:
            ServiceStopping: The app is not running.
        """
        if self._backend is None:
            raise ServiceStopping(self._bridge.why_stopped)
        return self._backend

    @property
    def login_codes(self) -> LoginCodes:
        """One-time codes for ``/login/CODE``."""
        return self.backend.login_codes

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        """Open the service, unless one was given, and handle requests meanwhile. A host enters this in its lifespan.

        The host runs trio or asyncio. From asyncio, call the service's functions with ``call``. If another process has
        the data folder, as the first of a server's several workers, this yields a ``NoService``, and each request gets
        503 with the reason. On exit, streams send their final message first; then previews stop in their time budget.

        Raises:
            ConfigurationError, DatabaseUnavailable: The service cannot be opened.

        Cancellation: previews are stopped within their time budget.
        """
        async with AsyncExitStack() as stack:
            opening = self._bridge.holding(self._running()) if in_asyncio() else self._running()
            try:
                service = await stack.enter_async_context(opening)
            except DataFolderInUse:
                # A server ends all its workers if one of them cannot start.
                self._bridge.why_stopped = _SECOND_WORKER
                log.exception("service not opened", remedy=_SECOND_WORKER)
                service = cast("Service", NoService(_SECOND_WORKER))
            yield service

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """Await a function of the service from the host, whichever library the host runs.

        Raises:
            ServiceStopping: The app is not running.
            Exception: What the function raises.

        Cancellation: the function is cancelled, and this returns when its cleanup is done.
        """
        return await self._bridge.call(function, *arguments)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Service]:
        if self._given_service is not None:
            async with self.attached(self._given_service):
                yield self._given_service
            return
        opening = open_service(self.settings, generations=self._generations)
        async with opening as service, self.attached(service):
            yield service
            service.draining.set()

    @asynccontextmanager
    async def attached(self, service: Service) -> AsyncIterator[None]:
        """Handle requests with this service, which stays open. Does nothing if the app is already running.

        Cancellation: new requests are refused.
        """
        if self._backend is not None:
            yield
            return
        async with open_preview_client(self.settings) as client, trio.open_nursery() as nursery:
            made = self._backend = self._make_backend(service, client, nursery)
            nursery.start_soon(made.waits.wake_when, service.draining)
            await nursery.start(made.people.audit.run)
            if service.cluster is not None:
                nursery.start_soon(Revocations(made.people, service.cluster.notices).run)
            nursery.start_soon(made.checks.run)
            nursery.start_soon(made.prober.clean)
            nursery.start_soon(made.agents.run)
            nursery.start_soon(run_purge, made)
            nursery.start_soon(made.metrics.run)
            if service.settings.e2b:
                self._e2b.boxes = Boxes(service, nursery)
                await self._e2b.boxes.remove_leftovers()
            observing = service.previews.observing
            try:
                with (
                    open_routing(service.cluster, self.settings, self.access_gate, lambda: made) as router,
                    observing(made.checks.watch),
                    observing(made.metrics.launches.observe),
                    exporting(service, made.metrics, made.people.audit, nursery),
                    telling_changes(made, nursery),
                ):
                    self.router = router or self.router
                    made.shared_logs.share_by(router)
                    yield
            finally:
                # Running requests keep the backend that they have looked up; new requests are refused.
                self._backend = self._e2b.boxes = None
                made.waits.wake_all()
                nursery.cancel_scope.cancel()

    def _make_backend(self, service: Service, client: PreviewClient, nursery: trio.Nursery) -> Backend:
        settings = service.settings
        secret = load_or_create_secret(settings) if settings.jwt_algorithm == "HS256" else None
        cookie = session_cookie_name(secret)
        people = make_people(service, secret)
        authenticate = self._authenticate
        if authenticate is None:
            trusted = self.cors.trusted_origins | public_origins(settings)
            jwt = JwtAuthenticator(settings, secret)
            authenticate = TokenAuthenticate(
                jwt, cookie, trusted_origins=trusted, api_tokens=people.api_tokens, members=people.members
            )
        slots = StreamSlots(settings.max_streams_per_user)
        direct = DirectStreams(nursery, keep_alive_s=settings.keep_alive_s, pending_bytes=settings.backlog_bytes)
        streams = Streams(lambda: slots.total, lambda: direct.total)
        logs = SharedLogs(nursery, client.pool, settings, service.log_store, direct)
        endpoints = EndpointBook(service.generations, client, service.reader)
        return Backend(
            service=service,
            client=client,
            authenticate=authenticate,
            secret=secret if self._authenticate is None else None,
            session_cookie=cookie,
            tickets=TicketBox(settings.ticket_ttl_s),
            login_codes=LoginCodes(),
            access=people.access,
            slots=slots,
            waits=Waits(),
            direct=direct,
            shared_logs=logs,
            endpoints=endpoints,
            prober=Prober(nursery, service, client, endpoints.find),
            metrics=make_metrics(service, people.audit, streams, self.carried, logs),
            edits=None if service.library is None else FileEdits(nursery, service.library, service.previews),
            turns=UserTurns(),
            checks=CheckBook(service, partial(carry_check, client)),
            people=people,
            agents=AgentCalls(self._serve, self.cors.trusted_origins | public_origins(settings)),
        )


def create_app(
    settings: Settings | None = None,
    *,
    service: Service | None = None,
    authenticate: Authenticate | None = None,
    generations: GenerationSource | None = None,
) -> PreviewApp:
    """Return the HTTP application.

    Three uses: with this service's server (``serve(settings, service=service, app=app)``); behind any other ASGI server
    (``uvicorn preview.asgi:app``), where the lifespan opens the service; or mounted in a host's application, where the
    host enters ``async with app.running()`` in its own lifespan. Servers and hosts run asyncio or trio.

    Args:
        settings: None reads them from the environment; ignored if a service is given.
        service: An open service to use; None opens one.
        authenticate: The host's own authentication; None checks JWTs and browser sessions.
        generations: The host's own generations; None keeps them in the service's database.

    Raises:
        ConfigurationError: The environment contains an invalid setting.
    """
    if service is not None:
        settings = service.settings
    elif settings is None:
        settings = load_settings()
    app = PreviewApp(settings, service=service, authenticate=authenticate, generations=generations)
    app.config.update(_config(settings))
    install_handlers(app, app.check, app.cors, app.count_answer, app.count_error, app.audit)
    install_routes(app, lambda: app.backend, app.access_gate.places)
    install_openapi(app)
    return app


def _config(settings: Settings) -> Mapping[str, Any]:
    largest = max(settings.upload_bytes, settings.proxy_body_bytes * _JSON_GROWTH)
    return {
        "MAX_CONTENT_LENGTH": largest + _SLACK_BYTES,
        "BODY_TIMEOUT": settings.body_timeout_s,
        # Keep the contract's order of keys.
        "JSON_SORT_KEYS": False,
        "PROVIDE_AUTOMATIC_OPTIONS": True,
    }
