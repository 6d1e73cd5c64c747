"""``preview probe``: find requests that a backend answers wrongly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import CommandFailed, ExitCode
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import counted, listing, print_json, progress, say, show, table_console
from preview.client.errors import Unreachable
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)

# Pauses before the stream is opened again, after each failure in a row.
_PAUSES_S = (0.2, 1.0, 3.0, 5.0)
_MOST_LINES = 4


@app.command()
def probe(
    generation: GenerationArgument,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", min=1, help="Time for the whole probe.")] = 30,
    endpoint: Annotated[
        list[str] | None,
        typer.Option("--endpoint", metavar="'METHOD PATH'", help="Probe only this endpoint; may be repeated."),
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="Show the last probe without starting one.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find requests that a backend handles wrongly, on a trial preview with a copy of the data.

    Exits with 1 if a finding is certainly a bug. Example: preview probe GEN --endpoint 'GET /books/{id}'
    """
    path = generation_path(generation, "/preview/probe")
    with open_api(url, ca) as api, progress("probing…") as update:
        body = {"seconds": seconds, "endpoints": endpoint or []}
        found = api.get_json(path) if last else _run(api, path, body, update)
    if as_json:
        print_json(found)
    else:
        print_probe(found)
    if found["state"] == "failed":
        raise CommandFailed(f"The probe failed: {found['error']}")
    if any(not one["is_doubtful"] for one in found["findings"]):
        raise typer.Exit(ExitCode.FAILED)


def _run(api: Api, path: str, body: dict[str, object], update: Callable[[str], None]) -> dict[str, Any]:
    """Start a probe and wait for its end; with Ctrl-C it ends early."""
    found: dict[str, Any] = api.call("POST", path, body=body).json()
    failures = 0
    try:
        while found["state"] in ("starting", "running"):
            try:
                found, failures = _follow(api, path, update), 0
            except Unreachable as error:
                if failures >= len(_PAUSES_S):
                    raise api.as_failure(error) from error
            # Also after a stream without an end: the service may close each one at once.
            if found["state"] in ("starting", "running"):
                time.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                failures += 1
    except KeyboardInterrupt:
        api.call("DELETE", path)
        raise
    return found


def _follow(api: Api, path: str, update: Callable[[str], None]) -> dict[str, Any]:
    """Follow the running probe; return its newest state."""
    found: dict[str, Any] = {}
    with api.stream(path, {}, {"Accept": "text/event-stream"}) as events:
        for event in events:
            if event.event == "probe":
                data: Any = event.json()
                found = data
                requests, findings = counted(found["requests"], "request"), counted(len(found["findings"]), "finding")
                update(f"{found['phase']}: {requests}, {findings}")
    return found or api.get_json(path)


def print_probe(found: dict[str, Any], *, is_kept: bool = True) -> None:
    """Print a probe for people; without the commands that show failures if the service keeps none."""
    for number, one in enumerate(found["findings"]):
        if number:
            show("")
        doubt = " (may be intended)" if one["is_doubtful"] else ""
        show(f"{one['number']}. {one['method']} {one['path']}: {one['sentence']}{doubt}")
        if one["frame"]:
            show(f"   at {one['frame']}")
        if one["failure"] and is_kept:
            show(f"   preview failures {found['generation_id']} {one['failure']}")
        for step in one["steps"]:
            show(f"   {step['curl']}")
        for line in [] if one["frame"] else one["lines"][-_MOST_LINES:]:
            show(f"   | {line['message']}")
    if found["findings"]:
        show("")
    _print_rows(found["rows"])
    for note in found["notes"]:
        say(note)
    count = len(found["findings"])
    findings = "nothing found" if count == 0 else counted(count, "finding")
    say(f"{findings}; {counted(found['requests'], 'request')} in {found['elapsed_s']:.1f} s")


def _print_rows(rows: list[dict[str, Any]]) -> None:
    if not rows:
        say("No endpoints were found.")
        return
    shown = listing("ENDPOINT", "OK", "4XX", "5XX", "NO RESPONSE", "MISMATCH", "")
    for row in rows:
        counts = (row["ok"], row["client_errors"], row["server_errors"], row["no_answers"], row["mismatches"])
        shown.add_row(
            Text(visible(f"{row['method']} {row['path']}")),
            *(Text(str(count) if count else "·", "" if count else "dim") for count in counts),
            Text("" if row["is_reached"] else "never reached", "yellow"),
        )
    table_console().print(shown)
