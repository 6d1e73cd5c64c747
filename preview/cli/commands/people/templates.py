"""``preview templates``: the processes that new Python previews are forked from; for operators."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.commands.data.showing import ask
from preview.cli.commands.projects.ls import age_of
from preview.cli.options import CaOption, JsonOption, UrlOption, YesOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(
    help="List, drop and rebuild templates, which new Python previews are forked from; for operators.",
    no_args_is_help=True,
    add_completion=False,
)

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="The environment's key, as `preview templates ls` shows it.")
]


@app.command(name="ls")
def list_templates(url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List the templates, the last used first.

    Example: preview templates ls
    """
    with open_api(url, ca) as api:
        found = api.get_json("/operator/templates")
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("No templates yet; the first launch of a Python project creates one.")
        return
    table = listing("ENVIRONMENT", "STATE", "STARTS", "AGE")
    for one in found["items"]:
        state = "ready" if one["is_ready"] else one["why_not"]
        age = "-" if one["age_s"] is None else age_of(one["age_s"])
        table.add_row(*(Text(visible(cell)) for cell in (one["key"], state, str(one["forks"]), age)))
    table_console().print(table)


@app.command()
def drop(key: KeyArgument, yes: YesOption = False, url: UrlOption = None, ca: CaOption = None) -> None:
    """End a template and free its memory; running previews keep running, and the next launch creates a new one.

    Example: preview templates drop 1f0c9a42d7 --yes
    """
    ask(f"Drop the template of {visible(key)}? The next launch starts cold and creates a new one.", is_agreed=yes)
    with open_api(url, ca) as api:
        api.call("DELETE", f"/operator/templates/{quote(key, safe='')}")
    show(f"the template of {visible(key)} is dropped")


@app.command()
def rebuild(key: KeyArgument, yes: YesOption = False, url: UrlOption = None, ca: CaOption = None) -> None:
    """Rebuild a template, regardless of past failures; launches use the old one until it is ready.

    Example: preview templates rebuild 1f0c9a42d7 --yes
    """
    ask(f"Rebuild the template of {visible(key)}? It uses a processor for a moment.", is_agreed=yes)
    with open_api(url, ca) as api:
        api.call("POST", f"/operator/templates/{quote(key, safe='')}/rebuild")
    show(f"the template of {visible(key)} is being rebuilt; `preview templates ls` shows when it is ready")
