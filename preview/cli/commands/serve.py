"""``preview serve``: run the service in this process."""

from __future__ import annotations

import sys
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from preview.cli.data_folder import hold_data_folder
from preview.cli.exits import ExitCode
from preview.cli.local.hosting import Host, configure_logging, open_host
from preview.cli.local.run_async import run_async
from preview.cli.local.running import hurried_by_signals
from preview.cli.local.scope import enter_scope
from preview.cli.options import JsonOption, NoScopeOption, settings_line, warn_of_skipped
from preview.cli.terminal import paint, print_json, say, wants_colour
from preview.cli.tokens import IsolationOption, LoopbackPortOption, NetworkOption, confinement
from preview.core.env_file import find_env_file
from preview.core.isolation import Isolation
from preview.settings import Settings, load_settings

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    bind: Annotated[str | None, typer.Option("--bind", metavar="HOST:PORT", help="Where to listen.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A hypercorn.toml. Default: the one in this folder.")
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", help="Serve HTTPS: the certificate with its chain, PEM."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key, PEM.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    network: NetworkOption = None,
    loopback_port: LoopbackPortOption = None,
    isolation: IsolationOption = None,
    no_scope: NoScopeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    The first signal ends streams, stops previews, and exits with 0; a second signal forces a faster exit.
    """
    given = {name: file for name, file in (("tls_cert", tls_cert), ("tls_key", tls_key)) if file is not None}
    file = find_env_file()
    warn_of_skipped(file)
    settings = load_settings(file, **confinement(network, loopback_port, isolation), **given)
    configure_logging(settings.service_log_level, settings.service_log_format)
    if not no_scope and settings.isolation is not Isolation.PLAIN:
        enter_scope()
    with hold_data_folder(settings.data_dir):
        code = run_async(partial(_serve, settings, bind, config, open_browser, as_json, settings_line(file)))
    raise typer.Exit(code)


async def _serve(
    settings: Settings,
    bind: str | None,
    config_file: Path | None,
    open_browser: bool,
    as_json: bool,
    settings_from: str | None,
) -> ExitCode:
    """Serve until a signal; ``INTERRUPTED`` if a second one cut the shutdown short. Cancellation: as ``open_host``."""
    end = trio.Event()
    # From here on signals are handled; one that arrives during startup ends the service right after.
    async with hurried_by_signals(end.set):
        async with open_host(settings, bind=bind, config_file=config_file) as host:
            _announce(host, open_browser=open_browser, as_json=as_json, settings_from=settings_from)
            await end.wait()
            say("stopping…")
        return ExitCode.OK
    return ExitCode.INTERRUPTED


def _announce(host: Host, *, open_browser: bool, as_json: bool, settings_from: str | None) -> None:
    link = host.login_link()
    if as_json:
        print_json({"url": host.url, "login": link} | ({"settings": settings_from} if settings_from else {}))
    else:
        bold = partial(paint, style="1") if wants_colour(sys.stdout) else str
        rows = [("Service", bold(host.url)), ("Page", f"{bold(link)}  (one-time link)"), ("Stop", "Ctrl-C")]
        rows += [("Settings", f"from {settings_from}")] if settings_from else []
        print("\n".join(["", *(f"  {name:<8} {value}" for name, value in rows), ""]), flush=True)
    if open_browser:
        webbrowser.open(link)
