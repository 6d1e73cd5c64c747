"""The service and its server in this process, for ``serve`` and ``run``."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
import trio

from preview.auth import OpenLink
from preview.cli.client import LOCAL_USER
from preview.cli.data_folder import ServiceNote, publish_note
from preview.core.quoting import visible
from preview.generations import GenerationSource
from preview.http import create_app, serve
from preview.http.app import PreviewApp
from preview.http.browser.entry import open_path
from preview.http.metrics import RECENT_LOG
from preview.service import Service, open_service
from preview.settings import Settings
from preview.storage.tables import PreviewRecord
from preview.supervisor import User
from preview.worker import ProjectReader

_SWITCH_S = 0.0005
# About the syntax trees of several projects of 1,000 lines; 48 MiB if all of them were garbage.
_COLLECT_OBJECTS = 300_000


@dataclass(frozen=True, slots=True)
class Host:
    """A service that responds over HTTP.

    Attributes:
        url: An address that works on this machine, without a trailing slash.
    """

    service: Service
    app: PreviewApp
    url: str

    def login_link(self, tier: str | None = None) -> str:
        """Return a one-time link that logs a browser in as the user at this machine."""
        code = self.app.login_codes.issue(User(LOCAL_USER, tier))
        return f"{self.service.settings.public_url or self.url}/login/{code}"

    def open_link(self, record: PreviewRecord) -> str:
        """Return a one-time link that opens the preview in a browser."""
        own = urlsplit(self.url)
        address = self.app.access_gate.places.address(record.id, own.scheme, own.netloc)
        return f"{address}{open_path(self.app.backend.access.new_link(record.user_id, OpenLink(record.id, '/')))}"


@asynccontextmanager
async def open_host(
    settings: Settings,
    *,
    bind: str | Sequence[str] | None = None,
    config_file: Path | None = None,
    generations: GenerationSource | None = None,
    reader: ProjectReader | None = None,
) -> AsyncIterator[Host]:
    """Run the service and its server, and publish the note for the client commands, during the body.

    At the end, streams are closed properly and listeners close before the service stops its previews.

    Raises:
        ConfigurationError: The address is in use, or a setting or the database is unusable.

    Cancellation: connections are cut, and previews stop within their budget.
    """
    async with (
        open_service(settings, generations=generations, reader=reader) as service,
        trio.open_nursery() as nursery,
    ):
        app = create_app(settings, service=service)
        over = trio.Event()
        serving = partial(
            serve, settings, service=service, app=app, bind=bind, config_file=config_file, shutdown_trigger=over.wait
        )
        addresses: list[str] = await nursery.start(serving)
        settle_interpreter()
        url = reachable(addresses[0])
        with publish_note(settings.data_dir, ServiceNote.of_this_process(url)):
            yield Host(service, app, url)
        over.set()


def settle_interpreter() -> None:
    """Tune the interpreter for a service. Call after all imports, in a process that only runs the service."""
    # Modules are never garbage. A full collection would visit their 150,000 objects, and stop all streams and launches
    # for some 70 ms. Importing leaves no garbage of its own.
    gc.freeze()
    # With a collection after each 700 objects, the collector visits a project's syntax trees while its launch waits.
    gc.set_threshold(_COLLECT_OBJECTS)
    # The event loop releases the GIL at each write to a socket. A thread that runs Python then has the GIL for a whole
    # switch interval, 5 ms by default. Two such writes would take as long as a line may take to reach its readers.
    sys.setswitchinterval(_SWITCH_S)


def reachable(address: str) -> str:
    """Return the address for a client on this machine: wildcards become the loopback address."""
    return (
        address.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:").replace("://:::", "://[::1]:")
    )


def _without_controls(_logger: object, _method: str, text: Any) -> str:
    """Escape control characters, because names and messages from outside must not affect the operator's terminal."""
    return visible(text, colours=True)


def configure_logging(level: str, log_format: str) -> None:
    """Send the service's own log to stderr; stdout belongs to the command."""
    # Each call reports its own failure; the driver warns once more about a connection that it closes then.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    as_json = log_format == "json"
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        # Plain tracebacks: if rich is installed, the default prints each frame's variables, including secrets.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
            RECENT_LOG,
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
            *([] if as_json else [_without_controls]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
