"""``preview audit``: who changed what, and when."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.commands.projects.ls import collect
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def audit(
    everyone: Annotated[bool, typer.Option("--all", help="Changes of all users; for operators.")] = False,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Of this user; for operators.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=20_000, help="Newest entries.")] = 50,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the changes that you have made, newest first; operators can also list those of others.

    Example: preview audit --all --limit 20
    """
    path = "/operator/audit" if everyone or user is not None else "/audit"
    chosen = {} if user is None else {"user_id": user}
    with open_api(url, ca) as api:
        found: list[dict[str, Any]] = collect(api, path, "items", limit, chosen)
    if as_json:
        print_json({"items": found})
        return
    if not found:
        say("No entries yet.")
        return
    table = listing("TIME", "USER", "ACTION", "SUBJECT")
    for one in found:
        values = (one["at"][:19].replace("T", " "), one["user_id"], one["action"], one["subject"])
        table.add_row(*(Text(visible(value)) for value in values))
    table_console().print(table)
