"""``preview run``: launch a folder's backend without a running service."""

from __future__ import annotations

import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from preview.cli.commands.understand.results import JunitOption
from preview.cli.commands.understand.run_check import CheckOptions, check_project
from preview.cli.data_folder import RUNS, hold_first_free_slot
from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.local.hosting import configure_logging
from preview.cli.local.own_settings import operators_data_folder, own_settings
from preview.cli.local.run_async import run_async
from preview.cli.local.running import run_folder
from preview.cli.local.scope import enter_scope
from preview.cli.local.story import JsonStory, TextStory
from preview.cli.options import (
    AppOption,
    CommandOption,
    EnvOption,
    JsonOption,
    NoScopeOption,
    existing_folder,
    settings_line,
    warn_of_skipped,
)
from preview.cli.overrides import overrides_from_options
from preview.cli.terminal import say, wants_colour
from preview.cli.tokens import IsolationOption, LoopbackPortOption, NetworkOption, confinement, wanted_network
from preview.core.env_file import find_env_file_beside
from preview.core.isolation import Isolation

app = typer.Typer(add_completion=False)

_PORTS = range(8000, 8100)
_BUDGET_S = 30.0


@app.command()
def run(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The backend's folder. With --check, by default this one.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=1, max=65535, help="The page's port. Default: 8000 or the next free one."
        ),
    ] = None,
    chosen_app: AppOption = None,
    command: CommandOption = None,
    env: EnvOption = None,
    network: NetworkOption = None,
    loopback_port: LoopbackPortOption = None,
    isolation: IsolationOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Reload when a file is saved; launch again after a failure.")
    ] = False,
    is_checked: Annotated[
        bool, typer.Option("--check", help="Probe it, run its checks, and exit; exit code 1 if something broke.")
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="SECONDS", min=1, help="Time for the probe. Default: 30."),
    ] = None,
    junit: JunitOption = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", metavar="FILE", help="Also append the results to FILE as Markdown.")
    ] = None,
    no_scope: NoScopeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Launch a folder's backend and watch it until Ctrl-C.

    Needs no running service. Ctrl-C stops everything and removes temporary files; the exit code is 1 if the
    preview failed.

    A project that is neither Python nor Node is built with Docker from its compose file, Dockerfile or
    devcontainer.json (see PREVIEW_CONTAINER_ENGINE).

    Example: preview run examples/bookshop --watch

    In CI: preview run --check --junit report.xml
    """
    if is_checked and (watch or port is not None):
        raise UsageMistake("--watch and --port cannot be combined with --check, which exits by itself and has no page.")
    if not is_checked and (budget is not None or junit or summary):
        raise UsageMistake("--budget, --junit and --summary need --check.")
    if directory is None and not is_checked:
        raise UsageMistake("Missing argument 'DIR' (see `preview run --help`)")
    folder = existing_folder(directory or Path())
    held = confinement(network, loopback_port, isolation)
    # Options take precedence over the project's preview.toml.
    overrides = overrides_from_options(chosen_app, command, env, wanted_network(network, loopback_port))
    # Most of the service's own log would only disturb the preview's output.
    configure_logging("ERROR", "console")
    file = find_env_file_beside(folder)
    warn_of_skipped(file)
    with hold_first_free_slot(operators_data_folder(file) / RUNS) as slot:
        settings = own_settings(slot, held, file, is_watched=watch)
        if not no_scope and settings.isolation is not Isolation.PLAIN:
            enter_scope()
        if (settings_from := settings_line(file)) is not None:
            say(f"preview: settings from {settings_from}")
        if is_checked:
            options = CheckOptions(_BUDGET_S if budget is None else budget, junit, summary, as_json)
            raise typer.Exit(check_project(settings, folder, overrides, options))
        # The server owns the descriptor from here on.
        bind = f"fd://{_listen(port).detach()}"
        story = JsonStory(sys.stdout) if as_json else TextStory(sys.stdout, colour=wants_colour(sys.stdout))
        code = run_async(
            partial(run_folder, settings, folder, bind=bind, story=story, overrides=overrides, is_watched=watch)
        )
    raise typer.Exit(code)


def _listen(wanted: int | None) -> socket.socket:
    """Return a bound socket for the page, so that two concurrent runs cannot choose the same port.

    Raises:
        CommandFailed: No port is free.
    """
    why = ""
    for port in _PORTS if wanted is None else (wanted,):
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError as error:
            # Python appends the address to the error of a failed bind; the message already contains it.
            why = os.strerror(error.errno) if error.errno else str(error)
    if wanted is not None:
        raise CommandFailed(f"The port {wanted} cannot be used ({why}); choose another one with --port.")
    raise CommandFailed(
        f"All ports from {_PORTS.start} to {_PORTS.stop - 1} are in use; choose another one with --port."
    )
