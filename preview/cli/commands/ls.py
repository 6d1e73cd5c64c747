"""``preview ls``: the user's previews."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from preview.cli.client import Api, open_api
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)

_STYLES = {"running": "green", "starting": "cyan", "stopping": "cyan", "failed": "red", "stopped": "dim"}


@app.command("ls")
def list_previews(
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATE", help="Only: starting, running, stopping, stopped, failed."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="Maximum number.")] = 20,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your previews, newest first."""
    with open_api(url, ca) as api:
        previews = _collect(api, status, limit)
    if as_json:
        print_json({"previews": previews})
    elif previews:
        table_console().print(_table(previews))
    else:
        say("No previews yet; `preview push DIR` and `preview launch GEN` make one.")


def _collect(api: Api, status: str | None, limit: int) -> list[dict[str, Any]]:
    """Fetch pages until there are ``limit`` previews or no more."""
    found: list[dict[str, Any]] = []
    params: dict[str, str | int] = {"limit": min(limit, 100)} | ({"status": status} if status else {})
    while len(found) < limit:
        page = api.get_json("/previews", params=params)
        found += page["previews"]
        if not page.get("next_cursor"):
            break
        params["cursor"] = page["next_cursor"]
    return found[:limit]


def _table(previews: list[dict[str, Any]]) -> Table:
    table = listing("GENERATION", "STATUS", "ADDRESS", "AGE", "REASON")
    now = datetime.now(UTC)
    for preview in previews:
        state = preview["status"]
        table.add_row(
            Text(preview["generation_id"]),
            Text(state, style=_STYLES.get(state, "")),
            Text((preview.get("base_url") or "") if state in {"starting", "running"} else ""),
            Text(_age((now - datetime.fromisoformat(preview["created_at"])).total_seconds())),
            Text(visible(preview.get("reason") or "")),
        )
    return table


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
