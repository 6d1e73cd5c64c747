"""The service of ``preview serve``, with its imports: the command loads this module once it is in its range of ids."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from preview.cli.exits import ExitCode
from preview.cli.local.hosting import Host, configure_logging, open_host
from preview.cli.local.own_range import Outside
from preview.cli.local.run_async import run_async
from preview.cli.local.running import hurried_by_signals
from preview.cli.options import settings_line
from preview.cli.terminal import paint, print_json, say, wants_colour
from preview.errors import ConfigurationError
from preview.http.protocol.inherited import take_inherited_sockets
from preview.settings import Settings


@dataclass(frozen=True, slots=True)
class Serving:
    """Options of the command.

    Attributes:
        bind: ``HOST:PORT``; None means the configuration file's, then the settings'.
        config: A ``hypercorn.toml``; None means the one in the working folder.
        opens_browser: Whether to open the page.
        as_json: Whether to announce the addresses as JSON.
        inherited: Listening sockets that the service manager has opened; they go before ``bind``.
    """

    bind: str | None
    config: Path | None
    opens_browser: bool
    as_json: bool
    inherited: tuple[str, ...] = ()


def run_service(settings: Settings, options: Serving, outside: Outside) -> ExitCode:
    """Serve until a signal; ``INTERRUPTED`` if a second one cut the shutdown short.

    Raises:
        ConfigurationError: Sockets were passed that cannot be used, or ``--bind`` names another address.
    """
    configure_logging(settings.service_log_level, settings.service_log_format)
    inherited = tuple(f"fd://{one}" for one in take_inherited_sockets(os.environ))
    if inherited and options.bind is not None:
        raise ConfigurationError("The service got its sockets from the service manager; omit --bind.")
    options = replace(options, inherited=inherited)
    return run_async(partial(_serve, settings, options, outside))


async def _serve(settings: Settings, options: Serving, outside: Outside) -> ExitCode:
    """Serve, see ``run_service``. Cancellation: as ``open_host``."""
    end = trio.Event()
    # From here on signals are handled; one that arrives during startup ends the service right after.
    async with hurried_by_signals(end.set):
        async with open_host(settings, bind=options.inherited or options.bind, config_file=options.config) as host:
            _announce(host, options, outside)
            await end.wait()
            say("stopping…")
        return ExitCode.OK
    return ExitCode.INTERRUPTED


def _announce(host: Host, options: Serving, outside: Outside) -> None:
    link, settings_from = host.login_link(), settings_line(outside.file)
    if options.as_json:
        print_json({"url": host.url, "login": link} | ({"settings": settings_from} if settings_from else {}))
    else:
        bold = partial(paint, style="1") if wants_colour(sys.stdout) else str
        rows = [("Service", bold(host.url)), ("Page", f"{bold(link)}  (one-time link)"), ("Stop", "Ctrl-C")]
        rows += [("Settings", f"from {settings_from}")] if settings_from else []
        print("\n".join(["", *(f"  {name:<8} {value}" for name, value in rows), ""]), flush=True)
    if options.opens_browser:
        outside.open_link(link)
