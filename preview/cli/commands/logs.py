"""``preview logs``: show a preview's past and live output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer
from httpx2 import ServerSentEvent

from preview.cli.client import open_api
from preview.cli.exits import ExitCode
from preview.cli.local.lines import LinePrinter, columns_of
from preview.cli.local.stream import LogReader, shown_line
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, wants_colour
from preview.cli.tracebacks import TracebackFolder
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)


@app.command()
def logs(
    generation: GenerationArgument,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Keep running until the preview ends.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", metavar="N", min=0, help="Only the last N lines.")] = None,
    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "WARN", "ERROR"] | None,
        typer.Option(
            "--level",
            metavar="LEVEL",
            case_sensitive=False,
            help="Only lines at least this severe: debug, info, warning or error.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="SOURCES",
            help="Only lines from these sources, separated by commas: subprocess (the preview) or system (the "
            "service); or, more specifically, startup, request, preview.",
        ),
    ] = None,
    grep: Annotated[str | None, typer.Option("--grep", metavar="TEXT", help="Only lines with this text.")] = None,
    request: Annotated[
        str | None, typer.Option("--request", metavar="ID", help="Only lines printed for the request with this id.")
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option("--filter", metavar="TERMS", help="Only lines that match, such as 'error OR path:/pay'."),
    ] = None,
    stream: Annotated[
        Literal["stdout", "stderr"] | None,
        typer.Option(
            "--stream", metavar="STREAM", help="Only lines known to come from stderr, or all others (stdout)."
        ),
    ] = None,
    launch: Annotated[
        str | None,
        typer.Option("--launch", metavar="ID", help="The log of an earlier launch; see `preview launches GEN`."),
    ] = None,
    checks: Annotated[
        bool, typer.Option("--checks", help="Also lines that are printed for the service's health checks.")
    ] = False,
    fold: Annotated[
        bool,
        typer.Option(
            "--fold/--no-fold",
            help="Fold tracebacks to the project's own frames. Only on a terminal; piped output is never folded.",
        ),
    ] = True,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a generation's preview printed.

    Each line arrives once and in order, even after a reconnect. With --json each event is one JSON object on its
    line.

    Example: preview logs gen_abc --filter 'error -path:/health since:5m'
    """
    printer = LinePrinter(wants_colour(sys.stdout), columns_of(sys.stdout))
    show = _show_json if as_json else _shower(printer, TracebackFolder(fold and sys.stdout.isatty()))
    if stream is not None:
        filter_ = f"({filter_}) stream:{stream}" if filter_ else f"stream:{stream}"
    words = {"level": level, "source": source, "q": grep, "request_id": request, "filter": filter_}
    words["preview_id"] = launch
    words["checks"] = "show" if checks or request is not None else "hide"
    chosen = {name: word for name, word in words.items() if word is not None}
    with open_api(url, ca) as api:
        try:
            for event in LogReader(api, generation, tail=tail, follow=follow, chosen=chosen):
                show(event)
        except KeyboardInterrupt:
            # Ctrl-C is the normal way to stop following.
            raise typer.Exit(ExitCode.OK if follow else ExitCode.INTERRUPTED) from None


def _show_json(event: ServerSentEvent) -> None:
    data: Any = event.json()
    if event.event == "message":
        print_json({"event": "log", "seq": int(event.id or 0), **data})
    else:
        print_json({"event": event.event, **data})


def _shower(printer: LinePrinter, folder: TracebackFolder) -> Callable[[ServerSentEvent], None]:
    def show(event: ServerSentEvent) -> None:
        if event.event == "message":
            for line in folder.take(shown_line(event)):
                print(printer.text(line), flush=True)
        elif event.event == "gap":
            data: Any = event.json()
            print(printer.note(f"… lines {data['first']} to {data['last']} are missing ({visible(data['reason'])}) …"))

    return show
