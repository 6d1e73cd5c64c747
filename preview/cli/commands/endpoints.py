"""``preview endpoints``: list a backend's endpoints from its source."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from preview.cli.options import DirectoryArgument, JsonOption, existing_folder
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import visible
from preview.detection import read_endpoints
from preview.endpoints import Endpoint, Extraction

app = typer.Typer(add_completion=False)

_STYLES = {"GET": "green", "POST": "cyan", "PUT": "yellow", "PATCH": "yellow", "DELETE": "red"}


@app.command()
def endpoints(directory: DirectoryArgument, as_json: JsonOption = False) -> None:
    """List the endpoints of a folder's backend.

    They are read from its source; nothing is run.
    """
    found = read_endpoints(existing_folder(directory))
    if as_json:
        print_json(_described(found))
        return
    if found.endpoints:
        table_console().print(_table(found.endpoints))
    else:
        say("No endpoints found; `preview detect DIR` shows what was detected.")
    for file, reason in found.skipped.items():
        say(visible(f"not read: {'the rest of the files' if file == '.' else file}: {reason}"))
    for sentence in found.unread:
        say(visible(f"not read: {sentence}"))
    if not found.complete and not found.unread:
        say("The project is too large to read completely: there may be more endpoints.")


def _described(found: Extraction) -> dict[str, object]:
    return {
        "endpoints": [_endpoint(one) for one in found.endpoints],
        "count": len(found.endpoints),
        "framework": found.target.framework if found.target is not None else None,
        "app": str(found.target) if found.target is not None else None,
        "skipped": dict(found.skipped),
        "complete": found.complete,
        "unread": list(found.unread),
    }


def _endpoint(one: Endpoint) -> dict[str, object]:
    path = [{"name": name, "in": "path", "type": kind} for name, kind in one.path_parameters.items()]
    query = [{"name": name, "in": "query", "type": kind} for name, kind in one.query.items()]
    return {
        "method": one.method,
        "path": one.path,
        "summary": one.summary,
        "description": one.description,
        "tags": list(one.tags),
        "parameters": path + query,
        "request_schema": one.request_body,
        "response_schema": one.response_schema,
        "file": one.file,
        "line": one.line,
    }


def _table(found: tuple[Endpoint, ...]) -> Table:
    table = listing("METHOD", "PATH", "SUMMARY", "WHERE")
    for one in found:
        where = f"{one.file}:{one.line}" if one.file else ""
        table.add_row(
            Text(one.method, style=_STYLES.get(one.method, "")),
            Text(visible(one.path)),
            Text(visible(one.summary)),
            Text(visible(where), style="dim"),
        )
    return table
