"""``preview why``: why a preview failed, or why requests to it fail."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.commands.understand.failures import print_failures
from preview.cli.exits import CommandFailed
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)

_SEARCHED = 20
_LINES = 15


@app.command()
def why(
    generation: Annotated[
        str | None,
        typer.Argument(
            metavar="GEN", help="The generation. Default: that of your newest preview that failed or has failures."
        ),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain why a preview failed, or why requests to it fail: the cause, and what to do.

    Example: preview why
    """
    with open_api(url, ca) as api:
        chosen = generation or _newest_failed(api)
        found = api.get_json(generation_path(chosen, "/preview/diagnosis"))
    if as_json:
        print_json(found)
    else:
        _print(found)


def _newest_failed(api: Api) -> str:
    """Return the generation of the newest preview that failed or has failures.

    Raises:
        CommandFailed: None of the newest previews has.
    """
    for one in api.get_json("/previews", params={"limit": _SEARCHED})["previews"]:
        path = generation_path(one["generation_id"], "/preview/failures")
        wanted: dict[str, str | int] = {"preview_id": one["id"], "limit": 1}
        if one["status"] == "failed" or api.get_json(path, params=wanted)["items"]:
            return str(one["generation_id"])
    raise CommandFailed(f"None of your {_SEARCHED} newest previews failed or has failures.")


def _print(found: dict[str, Any]) -> None:
    show(visible(f"{found['generation_id']}: {found['status']}"))
    show(visible(found["summary"]))
    for one in found["advice"]:
        show(visible(f"- {one}"))
    if found["exit"] is not None:
        show(visible(f"\n{found['exit']['words']}"))
    for one in found["reached"]:
        show(visible(f"Limit of {one['limit']}: {one['message']}"))
    if found["status"] == "failed":
        _print_phases(found["phases"])
        show("\nLast lines:")
        for line in found["last_lines"][-_LINES:]:
            show(visible(f"  {line['seq']:5} {line['message']}"))
    if found["failures"]:
        show("")
        print_failures(found["failures"])
        say(f"Details of one: preview failures {found['generation_id']} FAILURE")


def _print_phases(phases: list[dict[str, Any]]) -> None:
    table = listing("PHASE", "STATE", "TIME")
    for one in phases:
        elapsed = "" if one["elapsed_ms"] is None else f"{one['elapsed_ms'] / 1000:.1f} s"
        table.add_row(Text(visible(one["name"])), Text(one["state"]), Text(elapsed))
    show("")
    table_console().print(table)
