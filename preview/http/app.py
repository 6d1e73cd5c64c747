"""The ASGI application: alone, behind any trio ASGI server, or mounted in a host's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from quart_trio import QuartTrio

from preview.auth import JwtAuthenticator, LoginCodes, TicketBox, load_or_create_secret
from preview.errors import ServiceStopping
from preview.generations import GenerationSource
from preview.http.backend import Authenticate, Backend
from preview.http.connection import RequestConnection
from preview.http.endpoint_book import EndpointBook
from preview.http.handlers import install_handlers
from preview.http.identity import TokenAuthenticate, session_cookie_name
from preview.http.lifespan import ServiceLifespan
from preview.http.metrics import Metrics
from preview.http.openapi import install_openapi
from preview.http.routes import install_routes
from preview.http.streams import StreamSlots, Waits
from preview.proxy import PreviewClient, open_preview_client
from preview.service import Service, open_service
from preview.settings import Settings, load_settings

__all__ = ["PreviewApp", "create_app"]

# What a request body may hold in memory at a time; each route has a limit of its own below it.
_SLACK_BYTES = 64 * 1024
# JSON may write a byte of text with six (``\\u00ff``).
_JSON_GROWTH = 6


class PreviewApp(QuartTrio):
    """The HTTP application. Made by ``create_app``.

    It answers while ``running()`` or ``attached()`` is open; a plain ASGI server opens it through the lifespan.
    """

    asgi_http_class = RequestConnection
    asgi_lifespan_class = ServiceLifespan

    def __init__(
        self,
        settings: Settings,
        *,
        service: Service | None,
        authenticate: Authenticate | None,
        generations: GenerationSource | None,
    ) -> None:
        super().__init__("preview.http", static_folder=None)
        self.settings = settings
        self._given_service = service
        self._authenticate = authenticate
        self._generations = generations
        self._backend: Backend | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope; typed so that any host's ``mount`` takes it. Cancellation: the request is cut."""
        await super().__call__(scope, receive, send)

    @property
    def is_running(self) -> bool:
        """Whether requests are answered."""
        return self._backend is not None

    @property
    def backend(self) -> Backend:
        """What the routes work with.

        Raises:
            ServiceStopping: The app is not running.
        """
        if self._backend is None:
            raise ServiceStopping("The service is not running; try again in a moment.")
        return self._backend

    @property
    def login_codes(self) -> LoginCodes:
        """One-time codes for ``/login/CODE``."""
        return self.backend.login_codes

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        """Open the service, unless one was given, and answer requests meanwhile; a host enters this in its lifespan.

        On leaving, streams say goodbye first, then previews stop within their budget.

        Raises:
            ConfigurationError, DatabaseUnavailable: The service cannot be opened.

        Cancellation: previews are stopped within their budget.
        """
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
        """Answer requests with this service, which stays open. Does nothing where the app is running already.

        Cancellation: requests that come now are refused.
        """
        if self._backend is not None:
            yield
            return
        async with open_preview_client(self.settings) as client, trio.open_nursery() as nursery:
            made = self._backend = self._make_backend(service, client)
            nursery.start_soon(_wake_streams, service.draining, made.waits)
            try:
                yield
            finally:
                # Requests that still run keep the backend they have looked up; new ones are refused.
                self._backend = None
                made.waits.wake_all()
                nursery.cancel_scope.cancel()

    def _make_backend(self, service: Service, client: PreviewClient) -> Backend:
        settings = service.settings
        secret = load_or_create_secret(settings) if settings.jwt_algorithm == "HS256" else None
        cookie = session_cookie_name(secret)
        authenticate = self._authenticate
        if authenticate is None:
            authenticate = TokenAuthenticate(JwtAuthenticator(settings, secret), cookie)
        slots = StreamSlots(settings.max_streams_per_user)
        return Backend(
            service=service,
            client=client,
            authenticate=authenticate,
            secret=secret if self._authenticate is None else None,
            session_cookie=cookie,
            tickets=TicketBox(settings.ticket_ttl_s),
            login_codes=LoginCodes(),
            slots=slots,
            waits=Waits(),
            endpoints=EndpointBook(service.generations, client),
            metrics=Metrics(streams=lambda: slots.total, previews=lambda: len(service.previews.all_active)),
        )


async def _wake_streams(draining: trio.Event, waits: Waits) -> None:
    await draining.wait()
    waits.wake_all()


def create_app(
    settings: Settings | None = None,
    *,
    service: Service | None = None,
    authenticate: Authenticate | None = None,
    generations: GenerationSource | None = None,
) -> PreviewApp:
    """The HTTP application.

    Three uses: with our own server (``serve(settings, service=service, app=app)``); behind any ASGI server that runs
    trio (``hypercorn -k trio preview.asgi:app``), where the lifespan opens the service; or mounted in a host's
    application, where the host enters ``async with app.running()`` in its own lifespan.

    Args:
        settings: None reads them from the environment; ignored where a service is given.
        service: An open service to answer with; None opens one.
        authenticate: The host's own way to tell who is asking; None checks JWTs and browser sessions.
        generations: The host's own generations; None keeps them in the service's database.

    Raises:
        ConfigurationError: The environment holds a wrong setting.
    """
    if service is not None:
        settings = service.settings
    elif settings is None:
        settings = load_settings()
    app = PreviewApp(settings, service=service, authenticate=authenticate, generations=generations)
    app.config.update(_config(settings))
    install_handlers(app)
    install_routes(app)
    install_openapi(app)
    return app


def _config(settings: Settings) -> Mapping[str, Any]:
    largest = max(settings.upload_bytes, settings.proxy_body_bytes * _JSON_GROWTH)
    return {
        "MAX_CONTENT_LENGTH": largest + _SLACK_BYTES,
        # Keys in the order in which the contract writes them.
        "JSON_SORT_KEYS": False,
        "PROVIDE_AUTOMATIC_OPTIONS": True,
    }
