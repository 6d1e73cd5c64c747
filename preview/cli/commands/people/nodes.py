"""``preview nodes``: the nodes of a cluster; for operators."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.commands.data.showing import ask
from preview.cli.options import CaOption, JsonOption, UrlOption, YesOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(
    help="List, drain and resume the nodes of a cluster; for operators.", no_args_is_help=True, add_completion=False
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The node's name, as `preview nodes ls` shows it.")]


@app.command(name="ls")
def list_nodes(url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List the nodes, by name.

    Example: preview nodes ls
    """
    with open_api(url, ca) as api:
        found = api.get_json("/operator/nodes")
    if as_json:
        print_json(found)
        return
    if all(one["address"] is None for one in found["items"]):
        say("This service is not a node of a cluster; `preview serve --cluster` starts one.")
    table = listing("NODE", "STATE", "PREVIEWS", "ADDRESS", "VERSION")
    for one in found["items"]:
        state = "lost" if not one["is_live"] else "draining" if one["is_draining"] else "live"
        previews = f"{one['live_previews']} of {one['max_previews']}"
        cells = (one["name"], state, previews, one["address"] or "-", one["version"] or "-")
        table.add_row(*(Text(visible(cell)) for cell in cells))
    table_console().print(table)


@app.command()
def drain(name: NameArgument, yes: YesOption = False, url: UrlOption = None, ca: CaOption = None) -> None:
    """Stop placing previews on a node, and move its own to other nodes, where they are restarted.

    Example: preview nodes drain two --yes
    """
    ask(f"Drain the node {visible(name)}? Its previews are restarted on other nodes.", is_agreed=yes)
    with open_api(url, ca) as api:
        api.call("POST", f"/operator/nodes/{quote(name, safe='')}/drain")
    show(f"the node {visible(name)} is draining; `preview nodes ls` shows when it is empty")


@app.command()
def resume(name: NameArgument, url: UrlOption = None, ca: CaOption = None) -> None:
    """Resume a drained node: it accepts previews again.

    Example: preview nodes resume two
    """
    with open_api(url, ca) as api:
        api.call("DELETE", f"/operator/nodes/{quote(name, safe='')}/drain")
    show(f"the node {visible(name)} accepts previews again")
