"""``preview run``: the main job in one command."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from preview.cli.data_folder import hold_first_free_slot
from preview.cli.exits import CommandFailed
from preview.cli.hosting import configure_logging, run_async
from preview.cli.options import DirectoryArgument, JsonOption, existing_folder
from preview.cli.ports import can_bind
from preview.cli.running import run_folder
from preview.cli.story import JsonStory, Story, TextStory
from preview.cli.terminal import wants_colour
from preview.settings import Settings, load_settings

__all__ = ["app"]

app = typer.Typer()

_FIRST_PORT = 8000
_PORTS = 100
# Whoever watches decides when it ends; this bound is for a terminal that was forgotten.
_LIFE_S = 8 * 3600.0


@app.command()
def run(
    directory: DirectoryArgument,
    port: Annotated[
        int | None, typer.Option("--port", metavar="PORT", min=1, max=65535, help="The page's port; else 8000 or next.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Launch a folder's backend and watch it until Ctrl-C.

    Needs no running service. Ctrl-C tears everything down; the exit code is 1 if the preview failed.
    """
    folder = existing_folder(directory)
    # What the service has to say to an operator would only disturb the preview's own output.
    configure_logging("ERROR", "console")
    bind = f"127.0.0.1:{_free_port(port)}"
    with hold_first_free_slot(load_settings().data_dir / "run") as slot:
        code = run_async(partial(run_folder, _own_settings(slot), folder, bind=bind, story=_story(as_json)))
    raise typer.Exit(code)


def _own_settings(slot: Path) -> Settings:
    """The operator's settings, on a data folder of its own: SQLite, a secret of its own, one user."""
    life_s = {} if "PREVIEW_MAX_UPTIME" in os.environ else {"max_uptime_s": _LIFE_S}
    inactive_s = {} if "PREVIEW_INACTIVE_TIMEOUT" in os.environ else {"inactive_timeout_s": _LIFE_S}
    return load_settings(
        data_dir=slot,
        database_url=None,
        jwt_secret=None,
        jwt_algorithm="HS256",
        jwt_issuer=None,
        public_url=None,
        **life_s,
        **inactive_s,
    )


def _free_port(wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS):
        if can_bind("127.0.0.1", port):
            return port
    raise CommandFailed(f"Each port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} is taken; name one with --port.")


def _story(as_json: bool) -> Story:
    return JsonStory(sys.stdout) if as_json else TextStory(sys.stdout, colour=wants_colour(sys.stdout))
