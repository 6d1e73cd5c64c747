"""``preview restart``: restart a generation's preview, in place if it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from preview.cli.client import open_api
from preview.cli.commands.launch import said_of, start_preview
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, progress, show

app = typer.Typer(add_completion=False)

# For the restart itself, in addition to the requested wait.
_TIMEOUT_S = 660.0


@app.command()
def restart(
    generation: GenerationArgument,
    wait: Annotated[
        int | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=1,
            help="Wait up to this many seconds until it is healthy; otherwise exit with an error.",
        ),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a generation's preview again.

    A running preview keeps its address, log and id, and keeps serving: the new process takes over when it is ready. A
    stopped preview is launched.

    Example: preview restart GEN --wait 30
    """
    with open_api(url, ca) as api, progress("restarting…"):
        instance = start_preview(api, generation, "restart", wait_s=wait, timeout_s=_TIMEOUT_S)
        said = "" if as_json else said_of(api, generation, instance)
    if as_json:
        print_json(instance)
    else:
        show(said)
