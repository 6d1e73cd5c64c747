"""``preview events``: previews, projects, people and comments, as they change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from httpx2 import ServerSentEvent

from preview.cli.client import Api, generation_path, open_api, unreachable
from preview.cli.exits import ExitCode
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import print_json, say, show
from preview.client.errors import Unreachable
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)

# About a minute in total, as for a log.
_PAUSES_S = (0.2, 0.5, 1, 2, 4, 8, 15, 30)


@app.command()
def events(
    generation: Annotated[str | None, typer.Argument(metavar="[GEN]", help="Only those of this generation.")] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch for changes until Ctrl-C: in previews, projects, people and comments.

    With --json each event is one line: {"event": …, "data": …}.

    Example: preview events --json
    """
    path = "/events" if generation is None else generation_path(generation, "/events")
    with open_api(url, ca) as api:
        try:
            for event in _follow(api, path):
                if as_json:
                    print_json({"event": event.event, "data": event.json()})
                else:
                    _print(event.event, event.json())
        except KeyboardInterrupt:
            # Ctrl-C is the normal way to stop following.
            raise typer.Exit(ExitCode.OK) from None


def _follow(api: Api, path: str) -> Iterator[ServerSentEvent]:
    """Yield events, over broken connections; ``start`` says with ``resumed`` whether some were missed.

    Raises:
        ApiRefused: The service refused the stream.
        NoService: The service became unreachable and did not come back.
    """
    failures, last_id = 0, ""
    while True:
        headers = {"Accept": "text/event-stream"}
        headers |= {"Last-Event-ID": last_id} if last_id else {}
        try:
            with api.stream(path, {}, headers) as received:
                for event in received:
                    if not event.data:
                        continue
                    failures, last_id = 0, event.id or last_id
                    if event.event == "expired":
                        api.client.address.renew()
                        break
                    yield event
                    if event.event == "end":
                        return
        except Unreachable as error:
            if failures >= len(_PAUSES_S):
                raise unreachable(api.target, error) from error
        # Also after a stream without an end: the service may close each one at once.
        time.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
        failures += 1


def _print(name: str, data: Any) -> None:
    if name == "start":
        # People who are there already; what the lists have is not repeated.
        for one in data["items"]:
            _print("viewers", one)
        say("Watching; press Ctrl-C to stop.")
        return
    words = _words(name, data)
    show(f"{datetime.now().astimezone():%H:%M:%S}  {name:<18}  {visible(words)}".rstrip())


def _words(name: str, data: dict[str, Any]) -> str:
    """Return an event in words: the generation first."""
    match name:
        case "preview":
            reason = data.get("reason") or data.get("error_message")
            return f"{data['generation_id']}  {data['id']}  {data['status']}" + (f": {reason}" if reason else "")
        case "generation":
            return f"{data['id']}  {data['name']}, version {data['version']}"
        case "viewers":
            people = ", ".join(f"{one['name']} ({one['role']})" for one in data["viewers"]) or "nobody"
            return f"{data['generation_id']}  {data['preview_id']}  {people}"
        case "comment":
            one = data["comment"]
            text = str(one["text"]).replace("\n", " ")
            return f"{data['generation_id']}  {one['author']} on {one['target']['kind']} {one['target']['id']}: {text}"
        case _:
            return "  ".join(str(data[key]) for key in ("generation_id", "id") if key in data)
