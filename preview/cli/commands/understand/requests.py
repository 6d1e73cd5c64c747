"""``preview requests``: recorded requests of a preview."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import ExitCode, UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.client.errors import Unreachable
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)

# Pauses before the stream is opened again, after each failure in a row.
_PAUSES_S = (0.2, 1.0, 3.0, 5.0)
_PAGE = 200


@app.command()
def requests(
    generation: GenerationArgument,
    number: Annotated[int | None, typer.Argument(metavar="N", min=1, help="Show this request in full.")] = None,
    chosen: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="FILTER", help="Only requests that match: 'status:>=500 -path:/health ms:>100'."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show new requests until the preview ends.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Maximum number of requests.")
    ] = 50,
    capture: Annotated[
        str | None, typer.Option("--capture", metavar="off|meta|full", help="Set what is recorded from now on.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the requests that a preview received, or one of them in full.

    Example: preview requests gen_abc --filter 'status:>=500 -path:/health'. Headers and bodies are recorded after
    --capture full. With --json each request is one JSON object on its line.
    """
    if number is not None and (follow or chosen is not None):
        raise UsageMistake("A number selects one request; omit --follow and --filter.")
    path = generation_path(generation, "/preview/requests")
    with open_api(url, ca) as api:
        if capture is not None:
            body = {"capture": capture}
            api.call("PUT", generation_path(generation, "/preview/capture"), body=body)
            say(f"recording is now set to: {capture}")
            if number is None and not follow:
                return
        if number is not None:
            one = api.get_json(f"{path}/{number}")
            print_json(one) if as_json else _print_one(one)
            return
        found, lost = _collect(api, path, chosen, limit)
        _print_list(found, as_json=as_json)
        if lost:
            say(f"{lost} requests could not be recorded: too many came at once")
        if follow:
            try:
                _follow(api, path, chosen, found[-1]["number"] if found else 0, as_json=as_json)
            except KeyboardInterrupt:
                # Ctrl-C is the normal way to stop following.
                raise typer.Exit(ExitCode.OK) from None
        elif not found and not as_json:
            say("No requests are recorded; send one to the preview.")


def _collect(api: Api, path: str, chosen: str | None, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return the newest requests, oldest first, and the number of lost ones."""
    found: list[dict[str, Any]] = []
    params: dict[str, str | int] = {"limit": min(limit, _PAGE)} | ({"filter": chosen} if chosen else {})
    while True:
        page = api.get_json(path, params=params)
        found += page["items"]
        if page["next"] is None or len(found) >= limit:
            return found[:limit][::-1], page["lost"]
        params |= {"before": page["next"], "preview_id": page["preview_id"]}


def _follow(api: Api, path: str, chosen: str | None, after: int, *, as_json: bool) -> None:
    failures = 0
    while True:
        params: dict[str, str | int] = {"after": after} | ({"filter": chosen} if chosen else {})
        headers = {"Accept": "text/event-stream"}
        try:
            with api.stream(path, params, headers) as events:
                for event in events:
                    if not event.data:
                        continue
                    failures = 0
                    data: Any = event.json()
                    if event.event == "request":
                        after = data["number"]
                        _print_list([data], as_json=as_json, has_head=False)
                    elif event.event == "lost":
                        say(f"{data['lost']} requests could not be recorded: too many came at once")
                    elif event.event in {"end", "expired"}:
                        return
        except Unreachable as error:
            if failures >= len(_PAUSES_S):
                raise api.as_failure(error) from error
        # Also after a stream without an end: the service may close each one at once.
        time.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
        failures += 1


def _print_list(found: list[dict[str, Any]], *, as_json: bool, has_head: bool = True) -> None:
    if as_json:
        for one in found:
            print_json(one)
    elif found:
        table_console().print(_table(found, has_head=has_head))


def _table(found: list[dict[str, Any]], *, has_head: bool) -> Table:
    table = listing("N", "TIME", "METHOD", "STATUS", "MS", "WHO", "TARGET")
    table.show_header = has_head
    for one in found:
        status = str(one["status"] or one["error"])
        style = "red" if one["error"] or one["status"] >= 500 else "yellow" if one["status"] >= 400 else ""
        table.add_row(
            Text(str(one["number"])),
            Text(one["started_at"][11:19]),
            Text(visible(one["method"])),
            Text(status, style=style),
            Text(f"{one['timing']['ended_ms']:.1f}"),
            Text(one["who"] if one["is_verified"] else f"{one['who']} (reported by the application)"),
            Text(visible(one["target"])),
        )
    return table


def _print_one(one: dict[str, Any]) -> None:
    timing = one["timing"]
    words = [f"{name.removesuffix('_ms')} {ms:.1f}" for name, ms in timing.items() if ms is not None]
    show(f"{one['method']} {one['target']}")
    show(f"status {one['status'] or one['error']}, {one['who']}, by {one['origin']}, reload {one['reload']}")
    show(f"ms: {', '.join(words)}")
    show(f"request id {one['request_id']}, lines {one['first_line']} to {one['last_line']}")
    for title in ("request", "response"):
        message = one[title]
        if message is None:
            continue
        show("")
        for name, value in message["headers"]:
            show(f"{name}: {value}")
        show("")
        if message["body"]:
            show(message["body"] if message["body_encoding"] == "utf-8" else f"({message['size_bytes']} bytes)")
        if message["note"]:
            say(f"{title}: {message['note']} bytes")
    if one["request"] is None:
        say("headers and bodies were not recorded; set --capture full")
