"""``preview projects``: the user's projects, launched or not."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.commands.projects.ls import age, collect, generations_of
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import quoted, visible

app = typer.Typer(add_completion=False)


@app.command()
def projects(
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="GROUP", help='Only projects in this group; "" for those in none.'),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your projects with their generations, newest first.

    Example: preview projects --group Shops
    """
    with open_api(url, ca) as api:
        stored = [one for one in generations_of(api) if group is None or one.get("group", "") == group.strip()]
        previews = collect(api, "/previews", "previews", 1000)
    newest: dict[str, dict[str, Any]] = {}
    for preview in reversed(previews):
        newest[preview["generation_id"]] = preview
    states = {one: preview["status"] for one, preview in newest.items()}
    if as_json:
        print_json({"projects": [{**one, "status": states.get(one["id"])} for one in stored]})
        return
    if not stored and group is not None:
        say(f"No project is in the group {quoted(group)}; `preview rename GEN --group GROUP` puts one there.")
        return
    if not stored:
        say("No projects yet; `preview push DIR` creates one.")
        return
    is_grouped = any(one.get("group") for one in stored)
    table = listing(
        "PROJECT", "NAME", *(["GROUP"] if is_grouped else []), "GENERATION", "FILES", "SIZE", "AGE", "PREVIEW"
    )
    for one in stored:
        table.add_row(
            Text(visible(one["project_id"])),
            Text(visible(one["name"])),
            *([Text(visible(one.get("group", "")))] if is_grouped else []),
            Text(one["id"]),
            Text(str(one["file_count"])),
            Text(f"{one['size_bytes'] / 1024:.0f} KiB"),
            Text(age(one["created_at"])),
            Text(states.get(one["id"], "not launched")),
        )
    table_console().print(table)
