"""``preview services``: the servers that a preview has of its own."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)

_MIB = 1024 * 1024


@app.command()
def services(
    generation: Annotated[str, typer.Argument(metavar="GEN", help="The generation; its preview must be running.")],
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a preview's backing services.

    The service provides PostgreSQL, MySQL and Redis if the project needs them; `preview doctor` shows which are
    available.

    Example: preview services GEN
    """
    with open_api(url, ca) as api:
        answer = api.get_json(generation_path(generation, "/preview/services"))
    if as_json:
        print_json(answer)
        return
    if not answer["services"]:
        say("The project needs no backing service that this service provides.")
        return
    table = listing("SERVER", "CONNECTIONS", "SIZE")
    for one in answer["services"]:
        size = one["size_bytes"]
        shown = "not used yet" if size is None else f"{size / _MIB:.1f} MB"
        table.add_row(Text(visible(one["version"])), Text(str(one["connections"])), Text(shown))
    table_console().print(table)
