"""``preview metrics``: measurements of a launch, by endpoint."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def metrics(
    generation: GenerationArgument,
    launch: Annotated[
        str | None, typer.Option("--launch", metavar="ID", help="A launch, as `preview launches` lists it.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show calls, errors and latencies of a launch by endpoint, and its bottlenecks.

    Without --launch the newest launch is shown.

    Example: preview metrics gen_abc
    """
    params = {} if launch is None else {"preview_id": launch}
    with open_api(url, ca) as api:
        found = api.call("GET", generation_path(generation, "/preview/metrics"), params=params).json()
    if as_json:
        print_json(found)
        return
    for sentence in found["findings"]:
        say(visible(sentence))
    if not found["endpoints"]:
        say("No requests yet.")
        return
    table = listing("ENDPOINT", "CALLS", "ERRORS", "P50 MS", "P95 MS", "SLOWEST MS")
    for one in found["endpoints"]:
        cells = (one["calls"], one["errors"], one["p50_ms"], one["p95_ms"], one["slowest_ms"])
        table.add_row(Text(visible(one["endpoint"])), *map(str, cells))
    table_console().print(table)
