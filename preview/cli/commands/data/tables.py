"""``preview data``: the databases of a preview, their tables, and rows of a table."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.commands.data.showing import print_rows, size
from preview.cli.options import CaOption, DatabaseOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def data(
    generation: GenerationArgument,
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="Show the rows of this table.")] = None,
    database: DatabaseOption = None,
    offset: Annotated[int, typer.Option("--offset", metavar="N", min=0, help="Rows to skip.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=500, help="Maximum number of rows.")] = 50,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the databases of a running preview (PostgreSQL, MySQL, SQLite files), or the rows of one table.

    Example: preview data GEN books
    """
    with open_api(url, ca) as api:
        if table is None:
            found = api.get_json(generation_path(generation, "/preview/data"))
        else:
            params: dict[str, str | int] = {"table": table, "offset": offset, "limit": limit}
            if database is not None:
                params["database"] = database
            found = api.get_json(generation_path(generation, "/preview/data/rows"), params=params)
    if as_json:
        print_json(found)
    elif table is None:
        _print_databases(found["databases"])
    else:
        print_rows(found)
        if found["has_more"]:
            say(f"there are more rows: --offset {offset + len(found['rows'])}")


def _print_databases(databases: list[dict[str, Any]]) -> None:
    if not databases:
        say("The preview has no database yet.")
        return
    shown = listing("DATABASE", "TABLE", "ROWS", "SIZE")
    for one in databases:
        shown.add_row(
            Text(visible(one["id"])), Text(visible(one["problem"] or "")), Text(""), Text(size(one["size_bytes"]))
        )
        for table in one["tables"]:
            rows = "" if table["rows"] is None else str(table["rows"])
            shown.add_row(Text(""), Text(visible(table["name"])), Text(rows), Text(size(table["size_bytes"])))
    table_console().print(shown)
