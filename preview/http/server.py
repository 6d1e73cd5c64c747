"""The service's own server: Hypercorn's trio worker in this process, with its own limits and shutdown order."""

from __future__ import annotations

import socket
import ssl
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from hypercorn.utils import repr_socket_addr, wrap_app

from preview.errors import ConfigurationError
from preview.http.app import PreviewApp
from preview.http.browser import ClusterRouter
from preview.http.core.guard import AccessLogger, host_names
from preview.http.internal import InternalListener, bind_internal
from preview.http.protocol.listening import (
    ConnectionLimiter,
    PatientListener,
    check_certificate,
    connection_limit,
    reject,
)
from preview.http.protocol.strict_ws import Sends
from preview.http.protocol.takeover import TakenConnection
from preview.http.protocol.tcp import BoundedTCPServer
from preview.http.relay import Relay, open_relay
from preview.http.relay.responses import telling
from preview.proxy.forwarded import FROM_NODE, TrustedProxies
from preview.runtime import refuse_fenced
from preview.service import Service
from preview.settings import Settings

log = structlog.get_logger(__name__)

CONFIG_FILE = "hypercorn.toml"

# For bursts of launches, and of reconnecting streams after a restart; the kernel's limit is net.core.somaxconn.
_BACKLOG = 2048
# A page polls for hours on one connection; closing it would only cost another handshake.
_KEEP_ALIVE_MAX_REQUESTS = 1_000_000
# For responses in progress (a stop takes up to its time budget); streams end at once.
_GRACEFUL_TIMEOUT_S = 3.0

_DEFAULT_PORT = 8000
# Detects a vanished peer (no FIN, for example after a power loss). A connection ends if data is unacknowledged for a
# minute; a quiet one is probed after a minute.
_VANISHED_S = 60
_PROBE_S = 20
_PROBES = 3

# A client that has just connected sends its request within this time. Without it, the connection is closed unanswered.
_FIRST_REQUEST_S = 0.25

Listener = trio.SSLListener[trio.SocketStream] | trio.SocketListener


def load_config(settings: Settings, *, bind: str | Sequence[str] | None = None, file: Path | None = None) -> Config:
    """Return Hypercorn's configuration: its defaults, the operator's file, then the values that this service requires.

    Args:
        settings: Its ``bind`` is used if neither the argument nor the file gives one.
        bind: ``HOST:PORT``, ``unix:PATH`` or ``fd://NUMBER``, or several of them; has priority.
        file: A ``hypercorn.toml``; None means the one in the working folder, if it exists.

    Raises:
        ConfigurationError: The file is unreadable or not TOML, or a certificate or its key is unusable.
    """
    path = file or Path(CONFIG_FILE)
    values: dict[str, object] = {}
    if file is not None or path.is_file():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path} cannot be used as Hypercorn's configuration: {error}.") from error
    unknown = sorted(name for name in values if not hasattr(Config, name))
    if unknown:
        raise ConfigurationError(f"{path} has names that Hypercorn does not know: {', '.join(unknown)}; remove them.")
    config = Config.from_mapping(values)
    if bind is not None or "bind" not in values:
        given = bind or settings.bind
        config.bind = [given] if isinstance(given, str) else list(given)
    if settings.tls_cert is not None and settings.tls_key is not None:
        config.certfile, config.keyfile = str(settings.tls_cert), str(settings.tls_key)
    if config.certfile is not None and config.keyfile is not None:
        check_certificate(Path(config.certfile), Path(config.keyfile), config.keyfile_password)
    if "backlog" not in values:
        config.backlog = _BACKLOG
    if "websocket_max_message_size" not in values:
        config.websocket_max_message_size = settings.websocket_message_bytes
    if "keep_alive_max_requests" not in values:
        config.keep_alive_max_requests = _KEEP_ALIVE_MAX_REQUESTS
    # Not configurable: the guarantees about streams and shutdown time depend on these values.
    config.read_timeout = None
    config.logger_class = AccessLogger
    config.graceful_timeout = min(config.graceful_timeout, _GRACEFUL_TIMEOUT_S)
    config.shutdown_timeout = settings.shutdown_timeout_s
    config.max_requests = None
    config.include_server_header = False
    return config


async def serve(
    settings: Settings,
    *,
    service: Service,
    app: PreviewApp,
    bind: str | Sequence[str] | None = None,
    config_file: Path | None = None,
    shutdown_trigger: Callable[[], Awaitable[object]] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a running service over HTTP until ``shutdown_trigger`` returns; reports its addresses to ``task_status``.

    The service outlives the server: open it around this call. On shutdown, ``service.draining`` is set and every stream
    ends; then the listeners close; then open responses have the graceful timeout.

    Args:
        settings: The settings with which the service was opened.
        service: An open service; it stays open.
        app: Made by ``create_app``.
        bind: Overrides the file and the settings.
        config_file: A ``hypercorn.toml``; see ``load_config``.
        shutdown_trigger: Returns when the server must stop; None means that only cancellation stops it.
        task_status: Receives the URLs of the listeners.

    Raises:
        ConfigurationError: The configuration is unusable, or the address is taken.

    Cancellation: connections are closed at once; the service is not affected.
    """
    config = load_config(settings, bind=bind, file=config_file)
    app.allow_hosts(host_names(settings, (*config.bind, *config.insecure_bind)) | set(config.server_names))
    crowd = _crowd(settings)
    async with app.attached(service), _opened_relay(settings, app, config) as relay:
        internal = _bound_for_nodes(app.router)

        async def drain() -> None:
            await (shutdown_trigger or trio.sleep_forever)()
            service.draining.set()

        await serve_app(
            app, config, shutdown_trigger=drain, crowd=crowd, relay=relay, internal=internal, task_status=task_status
        )


def _bound_for_nodes(router: ClusterRouter | None) -> InternalListener | None:
    return None if router is None else bind_internal(router.address, router.key, router.node)


@asynccontextmanager
async def _opened_relay(settings: Settings, app: PreviewApp, config: Config) -> AsyncIterator[Relay | None]:
    if not settings.relay:
        yield None
        return
    async with open_relay(
        app.access_gate,
        settings,
        keep_alive_s=config.keep_alive_timeout,
        told=telling(app.count_answer, config),
        carried=app.carried,
        router=app.router,
    ) as relay:
        yield relay


def _crowd(settings: Settings) -> ConnectionLimiter:
    proxies = TrustedProxies(settings)
    return ConnectionLimiter(
        connection_limit(settings),
        settings.max_connections_per_address,
        exempt=lambda address: address is None or _is_loopback(address) or proxies.trusts(address),
    )


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.removeprefix("::ffff:").startswith("127.")


async def serve_app(
    app: object,
    config: Config,
    *,
    shutdown_trigger: Callable[[], Awaitable[object]],
    sends: Sends | None = None,
    crowd: ConnectionLimiter | None = None,
    relay: Relay | None = None,
    internal: InternalListener | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run Hypercorn's ``worker_serve`` with ``BoundedTCPServer``: lifespan around connections around listeners.

    Raises:
        ConfigurationError: An address cannot be bound.

    Cancellation: connections are closed at once.
    """
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]  # any ASGI application
    sends = sends or Sends()
    state: LifespanState = {}
    lifespan = Lifespan(wrapped, config, state)
    context = WorkerContext(None)
    listeners, addresses = _open_listeners(config)
    arrivals = _Arrivals()
    async with trio.open_nursery() as lifespan_nursery:
        await lifespan_nursery.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as connections:
            make_connection = partial(
                BoundedTCPServer, sends, wrapped, config, context, ConnectionState(state.copy()), relay=relay
            )
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(
                        trio.serve_listeners,
                        _until_over(make_connection, crowd, arrivals),
                        [PatientListener(one) for one in listeners],
                        handler_nursery=connections,
                    )
                )
                if internal is not None:
                    marked = ConnectionState({**state, FROM_NODE: True})
                    of_nodes = partial(
                        BoundedTCPServer, sends, wrapped, config, context, marked, relay=relay, is_from_node=True
                    )
                    accepting.start_soon(internal.run, _until_over(of_nodes, None, arrivals), connections)
                task_status.started(addresses)
                await shutdown_trigger()
                accepting.cancel_scope.cancel()
            if any(bind.startswith("fd://") for bind in config.bind):
                # The socket stays open for the next process, so what was accepted here must not be turned away.
                await arrivals.settle()
            await context.terminated.set()
            sends.hurry()
            if relay is not None:
                relay.drain()
            connections.cancel_scope.deadline = trio.current_time() + config.graceful_timeout
        await lifespan.wait_for_shutdown()
        lifespan_nursery.cancel_scope.cancel()


@dataclass(slots=True)
class _Arrivals:
    """The time of the last accepted connection."""

    last: float = float("-inf")

    def note(self) -> None:
        """Note that a connection was accepted now."""
        self.last = trio.current_time()

    async def settle(self) -> None:
        """Wait until the last connection has had the time to send its request."""
        await trio.sleep_until(max(trio.current_time(), self.last + _FIRST_REQUEST_S))


def _until_over(
    make_connection: Callable[..., BoundedTCPServer], crowd: ConnectionLimiter | None, arrivals: _Arrivals
) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """Return a handler that serves one connection in a task; a failure is logged and affects no other connection."""

    async def run(stream: trio.abc.Stream) -> None:
        arrivals.note()
        try:
            if crowd is None:
                await _serve_connection(make_connection, stream)
                return
            address = _peer_address(stream)
            if not crowd.has_room_for(address):
                await reject(stream, crowd)
                return
            with crowd.counted(address):
                await _serve_connection(make_connection, stream)
        except* Exception as group:  # contains one connection's failure; Cancelled passes
            log.exception("connection failed", exc_info=group)

    return run


async def _serve_connection(make_connection: Callable[..., BoundedTCPServer], stream: trio.abc.Stream) -> None:
    following = await _served(make_connection(stream))
    if following is not None and isinstance(stream, trio.SocketStream):
        await following.run(stream)


async def _served(connection: BoundedTCPServer) -> TakenConnection | None:
    """Run Hypercorn's part in its own frame, so that its objects are freed before a takeover of hours."""
    with ExitStack() as failing:
        failing.callback(connection.abandon)
        await connection
        failing.pop_all()
    return connection.following


def _peer_address(stream: trio.abc.Stream) -> str | None:
    """Return the peer's address; None on a unix socket, or after the peer has gone."""
    plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    if not isinstance(plain, trio.SocketStream):
        return None
    try:
        peer = plain.socket.getpeername()
    except OSError:
        return None
    return str(peer[0]) if isinstance(peer, tuple) and peer else None


def _open_listeners(config: Config) -> tuple[list[Listener], list[str]]:
    """Open listeners for each address of the configuration; return their URLs too."""
    context = config.create_ssl_context()
    listeners: list[Listener] = []
    addresses: list[str] = []

    def take(sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        listeners.append(listener if tls is None else trio.SSLListener(listener, tls, https_compatible=True))
        scheme = "http" if tls is None else "https"
        addresses.append(f"{scheme}://{repr_socket_addr(sock.family, sock.getsockname())}")

    with ExitStack() as opened:
        for bind in config.bind:
            take(opened.enter_context(_bound(config, bind)), context)
        for bind in config.insecure_bind if context is not None else ():
            take(opened.enter_context(_bound(config, bind)), None)
        # All are open, so the listeners own the sockets now.
        opened.pop_all()
    return listeners, addresses


def _bound(config: Config, bind: str) -> socket.socket:
    """Return a listening socket that children do not inherit (STACK.md, pitfall 14).

    Raises:
        ConfigurationError: The address is taken or invalid.
    """
    try:
        if bind.startswith(("unix:", "fd://")):
            sock = config._create_sockets([bind])[0]  # noqa: SLF001  Hypercorn sets file modes and owners
            sock.set_inheritable(False)
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                _set_options(sock)
        else:
            sock = _bound_to_host(bind)
        refuse_fenced(sock)
        sock.listen(config.backlog)
    except (OSError, ValueError, OverflowError) as error:  # for example, a port number out of range
        raise ConfigurationError(
            f"Cannot listen on {bind}: {getattr(error, 'strerror', None) or error}; "
            "choose another address with --bind or PREVIEW_BIND."
        ) from error
    return sock


def _bound_to_host(bind: str) -> socket.socket:
    host, colon, port = bind.rpartition(":")
    host, number = (host, int(port)) if colon else (bind, _DEFAULT_PORT)
    host = host.strip("[]")
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _set_options(sock)
        sock.setblocking(False)
        sock.bind((host, number))
    except (OSError, OverflowError):
        sock.close()
        raise
    return sock


def _set_options(sock: socket.socket) -> None:
    # Each chunk of a stream should be sent at once; connections inherit this from the listener.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _notice_vanished_peers(sock)


def _notice_vanished_peers(sock: socket.socket) -> None:
    """Set keep-alive options of tcp(7), inherited by connections; options that the kernel lacks (macOS) are skipped."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = {
        "TCP_KEEPIDLE": _VANISHED_S,
        "TCP_KEEPINTVL": _PROBE_S,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": _VANISHED_S * 1000,
    }
    for name, value in values.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
