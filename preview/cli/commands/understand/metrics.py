"""``preview metrics``: measurements of a launch, by endpoint."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import counted, listing, print_json, say, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def metrics(
    generation: GenerationArgument,
    launch: Annotated[
        str | None, typer.Option("--launch", metavar="ID", help="A launch, as `preview launches` lists it.")
    ] = None,
    reported: Annotated[
        bool, typer.Option("--reported", help="Show the metrics that the program reports by OpenTelemetry.")
    ] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show calls, errors and latencies of a launch by endpoint, and its bottlenecks.

    Without --launch the newest launch is shown. With --reported, the program's own metrics are shown.

    Example: preview metrics gen_abc
    """
    params = {} if launch is None else {"preview_id": launch}
    with open_api(url, ca) as api:
        path = generation_path(generation, "/preview/metrics/reported" if reported else "/preview/metrics")
        found = api.call("GET", path, params=params).json()
    if as_json:
        print_json(found)
    elif reported:
        _show_reported(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
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


def _show_reported(found: dict[str, Any]) -> None:
    if found["dropped"]:
        say(f"{counted(found['dropped'], 'value was', 'values were')} dropped: too many, too fast, or not numbers.")
    if not found["items"]:
        say("The program has reported no metrics.")
        return
    table = listing("METRIC", "KIND", "VALUE", "COUNT", "SUM", "MAX", "UNIT")
    for one in found["items"]:
        pairs = ", ".join(f"{key}={value}" for key, value in one["attributes"].items())
        name = f"{one['name']} {{{pairs}}}" if pairs else one["name"]
        numbers = ("-" if one[key] is None else f"{one[key]:g}" for key in ("value", "count", "sum", "max"))
        table.add_row(Text(visible(name)), one["kind"], *numbers, Text(visible(one["unit"])))
    table_console().print(table)
