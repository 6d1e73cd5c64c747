"""``preview fork``: a new generation with the same files, whose previews begin with data."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, progress, say, show

app = typer.Typer(add_completion=False)

_TIMEOUT_S = 660.0


@app.command()
def fork(
    generation: GenerationArgument,
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", metavar="ID", help="Data to start from. Default: what the running preview has now."),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the new generation.")] = "",
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a new generation with the same files, whose previews start from this one's data.

    Example: preview fork GEN --name experiment
    """
    body: dict[str, object] = {"name": name, "snapshot": snapshot}
    with open_api(url, ca) as api, progress("copying…"):
        made: dict[str, Any] = api.call(
            "POST", generation_path(generation, "/fork"), body=body, timeout_s=_TIMEOUT_S
        ).json()
    if as_json:
        print_json(made)
        return
    show(made["id"])
    say(f"start it: preview launch {made['id']}")
