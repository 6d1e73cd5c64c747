"""``preview failures``: the failures of a preview, or one of them with source and stack."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import counted, listing, print_json, say, show, table_console
from preview.core.quoting import clipped, visible

app = typer.Typer(add_completion=False)

_MESSAGE = 80


@app.command()
def failures(
    generation: GenerationArgument,
    failure: Annotated[
        str | None, typer.Argument(metavar="FAILURE", help="Show this one, with source, stack and lines.")
    ] = None,
    chosen: Annotated[
        str | None, typer.Option("--filter", metavar="FILTER", help="Only failures that match, such as `KeyError`.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the failures of requests to a preview: one record for each cause, newest first.

    A failure is a traceback of Python or Node in the log. The preview may have ended.

    Example: preview failures gen_9xg7kd3hh2c4m5tq
    """
    path = generation_path(generation, "/preview/failures")
    with open_api(url, ca) as api:
        if failure is None:
            found = api.get_json(path, params={} if chosen is None else {"filter": chosen})
        else:
            # As one segment of the path, whatever was typed.
            one = f"{path}/{_segment(failure)}"
            if not as_json:
                show(visible(api.call("GET", one, params={"format": "text"}).text).rstrip("\n"))
                return
            found = api.get_json(one)
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("No failure was found in its log.")
    else:
        print_failures(found["items"])
    if found["further"]:
        further = counted(found["further"], "failure of another cause was", "failures of other causes were")
        say(f"{further} not recorded: there are too many causes.")
    if found["unread_lines"]:
        say(f"{counted(found['unread_lines'], 'line was', 'lines were')} not searched: too many came at once.")


def print_failures(items: list[dict[str, Any]]) -> None:
    """Print a table of failures."""
    table = listing("FAILURE", "COUNT", "SINCE", "PLACE", "ERROR")
    for one in items:
        since = f"reload {one['first']['reload']}" if one["first"]["reload"] else "launch"
        message = one["message"].split("\n")[0]
        error = f"{one['type']}: {message}" if message else one["type"]
        table.add_row(
            Text(one["id"]),
            Text(str(one["count"])),
            Text(since),
            Text(visible(place(one["frame"]))),
            Text(visible(clipped(error, _MESSAGE))),
        )
    table_console().print(table)


def place(frame: dict[str, Any] | None) -> str:
    """Return file and line of a frame; empty without one."""
    return "" if frame is None else f"{frame['path']}:{frame['line']}"


def _segment(failure: str) -> str:
    return "".join(one for one in failure if one.isalnum())[:64] or "none"
