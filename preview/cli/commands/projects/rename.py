"""``preview rename``: give a generation another name, or put it in a group."""

from __future__ import annotations

from typing import Annotated

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.exits import UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, show
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def rename(
    generation: GenerationArgument,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="New display name.")] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help='Put it in this group of your list; "" takes it out.')
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a generation another name, or put it in a group.

    Its id and its addresses stay.

    Example: preview rename GEN "Bookshop, second try"
    """
    if name is None and group is None:
        raise UsageMistake("Give a NAME, or --group GROUP.")
    body = {key: value for key, value in (("name", name), ("group", group)) if value is not None}
    with open_api(url, ca) as api:
        made = api.call("PATCH", generation_path(generation), body=body).json()
    if as_json:
        print_json(made)
        return
    if name is not None:
        show(f"{generation} is now “{visible(made['name'])}”")
    if group is not None:
        show(
            f"{generation} is in the group “{visible(made['group'])}”"
            if made["group"]
            else f"{generation} is in no group"
        )
