"""``preview restart``: starts a generation's preview again, in place where it runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.exits import ApiRefused
from preview.cli.local.lines import say_last_lines
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, progress, show
from preview.cli.tokens import TokenFile

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
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    with open_api(url, ca) as api, progress("restarting…"):
        try:
            response = api.call(
                "POST", generation_path(generation, "/preview/restart"), headers=headers, timeout_s=_TIMEOUT_S
            )
        except ApiRefused as error:
            say_last_lines(error)
            raise
        instance: dict[str, Any] = response.json()
        TokenFile(api.target.settings.data_dir).keep(api.target.url, generation, instance["session_token"])
    if as_json:
        print_json(instance)
    else:
        show(f"{instance['id']} {instance['status']} at {instance['base_url']}")
