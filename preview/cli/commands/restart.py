"""``preview restart``: starts a generation's preview again, in place where it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from preview.cli.client import open_api
from preview.cli.commands.launch import start_preview
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, progress, show

app = typer.Typer(add_completion=False)

# Of a start-up, beside the wait that is asked for.
_TIMEOUT_S = 660.0


@app.command()
def restart(
    generation: GenerationArgument,
    wait: Annotated[
        int | None, typer.Option("--wait", metavar="SECONDS", min=1, help="Return when it answers, or fail.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a generation's preview again.

    One that runs keeps its address, its log and its id, and answers all the while: the new process takes over when it
    serves. One that does not run is launched.
    """
    with open_api(url, ca) as api, progress("restarting…"):
        instance = start_preview(api, generation, "restart", wait_s=wait, timeout_s=_TIMEOUT_S)
    if as_json:
        print_json(instance)
    else:
        show(f"{instance['id']} {instance['status']} at {instance['base_url']}")
