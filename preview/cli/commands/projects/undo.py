"""``preview undo``: restore a removed generation, or list those that can be restored."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def undo(
    generation: Annotated[
        str | None,
        typer.Argument(metavar="[GEN]", help="Generation to restore. Default: list those that can be restored."),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a generation that `preview rm` has removed; without GEN, list those that can be restored.

    Example: preview undo GEN
    """
    with open_api(url, ca) as api:
        if generation is not None:
            made = api.call("POST", f"/removed/{quote(generation, safe='')}/restore").json()
        else:
            found = api.get_json("/removed")
    if generation is not None:
        if as_json:
            print_json(made)
        else:
            show(f"{made['id']} is restored; `preview launch {made['id']}` launches it")
    elif as_json:
        print_json(found)
    elif not found["items"]:
        say("Nothing can be restored.")
    else:
        table = listing("GENERATION", "NAME", "REMOVED", "RESTORABLE UNTIL")
        for one in found["items"]:
            values = (one["id"], one["name"], one["removed_at"][:16], one["expires_at"][:16])
            table.add_row(*(Text(visible(value)) for value in values))
        table_console().print(table)
