"""``preview rename``: give a generation another name."""

from __future__ import annotations

from typing import Annotated

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, show
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def rename(
    generation: GenerationArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="New display name.")],
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a generation another name.

    Its id and its addresses stay.

    Example: preview rename GEN "Bookshop, second try"
    """
    with open_api(url, ca) as api:
        made = api.call("PATCH", generation_path(generation), body={"name": name}).json()
    if as_json:
        print_json(made)
    else:
        show(f"{generation} is now “{visible(made['name'])}”")
