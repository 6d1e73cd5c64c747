"""``preview endpoints``: list a backend's endpoints, from its source or from its running application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.data_folder import RUNS, hold_first_free_slot
from preview.cli.exits import ExitCode
from preview.cli.options import CaOption, JsonOption, UrlOption, existing_folder, warn_of_skipped
from preview.cli.terminal import listing, print_json, progress, say, table_console
from preview.core.env_file import find_env_file_beside
from preview.core.quoting import visible
from preview.detection import read_endpoints
from preview.endpoints import Endpoint, Extraction

app = typer.Typer(add_completion=False)

_STYLES = {"GET": "green", "POST": "cyan", "PUT": "yellow", "PATCH": "yellow", "DELETE": "red"}


@app.command()
def endpoints(
    place: Annotated[
        Path, typer.Argument(metavar="DIR", help="The backend's folder; with --app also a generation or preview.")
    ],
    ask_app: Annotated[
        bool, typer.Option("--app", help="Query the running application; for a folder, start it first.")
    ] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the endpoints of a folder's backend.

    They are read from its source, and nothing is run, unless --app is given.

    Example: preview endpoints examples/bookshop
    """
    if ask_app and not place.expanduser().exists():
        _show_remote(str(place), url, ca, as_json=as_json)
        return
    folder = existing_folder(place)
    found = read_endpoints(folder)
    if ask_app:
        found = _asked(folder, found)
    if as_json:
        print_json(_described(found))
        return
    sockets = [_socket_row(one.path, one.summary, one.file, one.line) for one in found.sockets]
    if found.endpoints or sockets:
        table_console().print(_table([*(_row(one) for one in found.endpoints), *sockets]))
    else:
        known = "No endpoints found" if found.complete else "No endpoints could be read from the source"
        say(f"{known}; `preview detect DIR` shows what was detected.")
    for file, reason in found.skipped.items():
        say(visible(f"not read: {'the rest of the files' if file == '.' else file}: {reason}"))
    _say_unread(found.unread)


def _asked(folder: Path, static: Extraction) -> Extraction:
    """Return the endpoints of the folder's running application."""
    # A service takes much longer to import than the source to read.
    from preview.cli.local.app_endpoints import ask_application  # noqa: PLC0415
    from preview.cli.local.hosting import configure_logging  # noqa: PLC0415
    from preview.cli.local.own_settings import operators_data_folder, own_settings  # noqa: PLC0415
    from preview.cli.local.run_async import run_async  # noqa: PLC0415

    configure_logging("ERROR", "console")
    file = find_env_file_beside(folder)
    warn_of_skipped(file)
    with hold_first_free_slot(operators_data_folder(file) / RUNS) as slot, progress("starting the application…"):
        settings = own_settings(slot, {}, file, is_watched=False)
        found = run_async(partial(ask_application, settings, folder))
    if found is None:
        raise typer.Exit(ExitCode.INTERRUPTED)
    return replace(static, endpoints=found.endpoints, unread=found.unread)


def _show_remote(name: str, url: str | None, ca: Path | None, *, as_json: bool) -> None:
    """Show the endpoints of a generation or a preview, as the service has them."""
    path = generation_path(name, "/preview/endpoints")
    with open_api(url, ca) as api:
        if name.startswith("preview_"):
            path = generation_path(api.get_json(f"/previews/{name}")["generation_id"], "/preview/endpoints")
        answer = api.get_json(path)
    if as_json:
        print_json(answer)
        return
    known = answer.get("sockets", ())
    sockets = [_socket_row(one["path"], one["summary"], one["file"], one["line"]) for one in known]
    if answer["endpoints"] or sockets:
        table_console().print(_table([*answer["endpoints"], *sockets]))
    else:
        say("No endpoints found.")
    _say_unread(answer.get("unread", ()))


def _socket_row(path: str, summary: str, file: str | None, line: int | None) -> dict[str, str]:
    """Return the row of a WebSocket; `preview ws` talks to it."""
    where = f"{file}:{line}" if file else ""
    return {"method": "WS", "path": path, "summary": summary, "where": where, "source": "static"}


def _say_unread(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        say(visible(f"not read: {sentence}"))
    if sentences:
        say("There may be more endpoints: not everything could be read.")


def _described(found: Extraction) -> dict[str, object]:
    return {
        "endpoints": [_endpoint(one) for one in found.endpoints],
        "sockets": [asdict(one) for one in found.sockets],
        "count": len(found.endpoints),
        "framework": found.target.framework if found.target is not None else None,
        "app": str(found.target) if found.target is not None else None,
        "skipped": dict(found.skipped),
        "unread": list(found.unread),
        "complete": found.complete,
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
        "source": one.source,
    }


def _row(one: Endpoint) -> dict[str, str | None]:
    where = f"{one.file}:{one.line}" if one.file else ""
    return {"method": one.method, "path": one.path, "summary": one.summary, "where": where, "source": one.source}


def _table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the endpoints as a table; their place if it is known, or else their source."""
    table = listing("METHOD", "PATH", "SUMMARY", "WHERE")
    for one in found:
        method = visible(one["method"])
        where = one.get("where") or one.get("source") or ""
        table.add_row(
            Text(method, style=_STYLES.get(method, "")),
            Text(visible(one["path"])),
            Text(visible(one["summary"] or "")),
            Text(visible(where), style="dim"),
        )
    return table
