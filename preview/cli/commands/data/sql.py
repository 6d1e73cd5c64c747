"""``preview sql``: execute one statement that only reads."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.commands.data.showing import print_rows
from preview.cli.options import CaOption, DatabaseOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, say

app = typer.Typer(add_completion=False)


@app.command()
def sql(
    generation: GenerationArgument,
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One read-only statement.")],
    database: DatabaseOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="Maximum number of rows.")] = 100,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Execute one SQL statement in a running preview's database; it can only read.

    Example: preview sql GEN 'SELECT count(*) FROM books'
    """
    body: dict[str, object] = {"sql": statement, "limit": limit}
    if database is not None:
        body["database"] = database
    with open_api(url, ca) as api:
        found: dict[str, Any] = api.call("POST", generation_path(generation, "/preview/data/query"), body=body).json()
    if as_json:
        print_json(found)
        return
    print_rows(found)
    count = len(found["rows"])
    more = "; there are more rows, or a long value was truncated" if found["is_cut"] else ""
    say(f"{count} {'row' if count == 1 else 'rows'} in {found['elapsed_ms']:g} ms{more}")
