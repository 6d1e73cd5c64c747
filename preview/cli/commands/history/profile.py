"""``preview profile``: which functions of a running preview the time goes to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import CommandFailed
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, progress, say, show, table_console
from preview.core.quoting import clipped, visible

app = typer.Typer(add_completion=False)

_LOOK_S = 0.25
_MOST_ROWS = 40
# Functions with less of the time are hidden.
_LEAST_SHARE = 0.01
_BAR = 20


@app.command()
def profile(
    generation: GenerationArgument,
    seconds: Annotated[int, typer.Option("--seconds", metavar="SECONDS", min=1, max=60, help="Time to measure.")] = 10,
    last: Annotated[bool, typer.Option("--last", help="Show the last measurement; measure nothing.")] = False,
    functions: Annotated[
        bool, typer.Option("--functions", help="List functions by their own time, not as a tree.")
    ] = False,
    whole: Annotated[bool, typer.Option("--all", help="Show every function, including those under 1 %.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure which functions of a running preview take the most time.

    Send requests to it during the measurement. Example: preview profile gen_abc --seconds 10
    """
    path = generation_path(generation, "/preview/profile")
    with open_api(url, ca) as api:
        found = api.get_json(path) if last else _measure(api, generation, path, seconds)
    if as_json:
        print_json(found)
        return
    if found["state"] == "running":
        say(f"The measurement is still running; look again with: preview profile {generation} --last")
        return
    if found["state"] == "failed":
        raise CommandFailed(f"The last measurement failed; measure again with: preview profile {generation}")
    _print(found, by_function=functions, whole=whole)


def _measure(api: Api, generation: str, path: str, seconds: int) -> Mapping[str, Any]:
    """Start a measurement and return its result.

    Raises:
        CommandFailed: The process gave none.
    """
    found: Mapping[str, Any] = api.call("POST", path, body={"seconds": seconds}).json()
    with progress(f"measuring for {found['seconds']} s; send requests to the preview meanwhile…"):
        while found["state"] == "running":
            time.sleep(_LOOK_S)
            found = api.get_json(path)
    if found["state"] == "failed":
        raise CommandFailed(
            "The process returned no profile: it has ended, was replaced, or does not respond. Measure again; "
            f"`preview logs {generation}` shows why a process ended."
        )
    return found


def _print(found: Mapping[str, Any], *, by_function: bool, whole: bool) -> None:
    nodes = found["functions"] if by_function else found["nodes"]
    if not nodes:
        say("None of the project's functions ran; send requests to the preview while it is measured.")
        return
    top = sum(node["total_ms"] for node in found["nodes"] if node["depth"] == 0)
    shown = [node for node in nodes if whole or _cost(node, by_function=by_function) >= top * _LEAST_SHARE]
    show(f"{top:.0f} ms in the project's functions, of {found['elapsed_ms'] / 1000:.1f} s; {found['samples']} samples")
    table = listing("TOTAL MS", "OWN MS", "CALLS", "", "FUNCTION")
    for node in shown if whole else shown[:_MOST_ROWS]:
        share = _cost(node, by_function=by_function) / top if top else 0
        table.add_row(
            Text(f"{node['total_ms']:.0f}"),
            Text(f"{node['own_ms']:.0f}"),
            Text("-" if node["calls"] is None else str(node["calls"])),
            Text("#" * max(1, round(share * _BAR)), style="yellow"),
            Text("  " * node.get("depth", 0) + _name(node), style="" if node["place"] else "dim"),
        )
    table_console().print(table)
    hidden = len(nodes) - (len(shown) if whole else min(len(shown), _MOST_ROWS))
    if hidden:
        say(f"{hidden} more that took little time (--all)")
    if found["left_out"]:
        say("Some functions were not recorded; their time is added to that of their callers.")
    if all(node["calls"] is None for node in found["nodes"]):
        say("Calls are counted from Python 3.12 on; this preview's interpreter does not count them.")


def _cost(node: Mapping[str, Any], *, by_function: bool) -> float:
    cost: float = node["own_ms" if by_function else "total_ms"]
    return cost


def _name(node: Mapping[str, Any]) -> str:
    place = f" ({node['place']})" if node["place"] else ""
    return visible(clipped(node["name"], 80) + clipped(place, 80))
