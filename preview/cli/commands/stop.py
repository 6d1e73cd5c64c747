"""``preview stop``: stop a preview and wait until its resources are released."""

from __future__ import annotations

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.exits import ApiRefused
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, progress, show
from preview.errors import NoActivePreview

app = typer.Typer(add_completion=False)


@app.command()
def stop(
    generation: GenerationArgument, url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False
) -> None:
    """Stop a generation's preview.

    Returns when its processes have ended, its port is free and its working copy of the files is removed. The
    generation stays.

    Example: preview stop GEN
    """
    with open_api(url, ca) as api, progress("stopping…"):
        try:
            api.call("DELETE", generation_path(generation, "/preview"))
        except ApiRefused as error:
            # It has ended already: stopping twice gives the same answer.
            if error.problem != NoActivePreview.code:
                raise
    if as_json:
        print_json({"generation_id": generation, "status": "stopped"})
    else:
        show(f"{generation} stopped; `preview launch {generation}` starts it again")
