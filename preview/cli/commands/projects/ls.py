"""``preview ls``: the user's previews, and projects that were never launched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from preview.cli.client import Api, open_api
from preview.cli.exits import ApiRefused
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, table_console
from preview.core.quoting import visible

app = typer.Typer(add_completion=False)

_STYLES = {"running": "green", "starting": "cyan", "stopping": "cyan", "failed": "red", "stopped": "dim"}
_WAITING = {"queued": "waits for a node", "lost": "node lost"}
_PAGE = 100


@app.command("ls")
def list_previews(
    everyone: Annotated[
        bool, typer.Option("--all", help="Live previews of all users and nodes, oldest first; for operators.")
    ] = False,
    status: Annotated[
        Literal["starting", "running", "stopping", "stopped", "failed"] | None,
        typer.Option("--status", help="Only previews in this state."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="Maximum number.")] = 20,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your previews, newest first.

    Projects that were never launched come last.

    Example: preview ls --status running
    """
    if everyone and status is not None:
        raise typer.BadParameter("--all lists live previews; leave --status out.", param_hint="--status")
    with open_api(url, ca) as api:
        if everyone:
            _print_all(collect(api, "/operator/previews", "items", limit), as_json=as_json)
            return
        previews = collect(api, "/previews", "previews", limit, {"status": status} if status else {})
        stored = generations_of(api)
        new = [] if status else _never_launched(api, stored, previews, limit - len(previews))
    names = {one["id"]: one["name"] for one in stored}
    if as_json:
        named = [{**one, "name": names.get(one["generation_id"])} for one in previews]
        print_json({"previews": named, "not_launched": new})
    elif previews or new:
        table_console().print(_table(previews, new, names))
    else:
        say("No previews yet; `preview push DIR` and `preview launch GEN` make one.")


def generations_of(api: Api) -> list[dict[str, Any]]:
    """Return the newest 1,000 generations, newest first; none if a host application stores them."""
    try:
        return collect(api, "/generations", "generations", 1000)
    except ApiRefused as error:
        if error.status != 404:
            raise
        return []


def collect(
    api: Api, path: str, key: str, limit: int, params: Mapping[str, str | int] | None = None
) -> list[dict[str, Any]]:
    """Fetch pages of a list until there are ``limit`` items or no more."""
    found: list[dict[str, Any]] = []
    asked: dict[str, str | int] = {"limit": min(limit, _PAGE), **(params or {})}
    while len(found) < limit:
        page = api.get_json(path, params=asked)
        found += page[key]
        following = page.get("next_cursor") or page.get("next")
        if not following:
            break
        asked["cursor"] = following
    return found[:limit]


def _never_launched(
    api: Api, stored: list[dict[str, Any]], shown: list[dict[str, Any]], most: int
) -> list[dict[str, Any]]:
    """Return at most so many generations without any preview."""
    if most <= 0:
        return []
    launched = {one["generation_id"] for one in shown}
    rest = [one for one in stored if one["id"] not in launched]
    if len(shown) and rest:
        launched |= {one["generation_id"] for one in collect(api, "/previews", "previews", 1000)}
    return [one for one in rest if one["id"] not in launched][:most]


def _table(previews: list[dict[str, Any]], new: list[dict[str, Any]], names: Mapping[str, str]) -> Table:
    table = listing("GENERATION", "NAME", "STATUS", "ADDRESS", "AGE", "REASON")
    for preview in previews:
        state = preview["status"]
        table.add_row(
            Text(preview["generation_id"]),
            Text(visible(names.get(preview["generation_id"]) or "")),
            Text(state, style=_STYLES.get(state, "")),
            Text((preview.get("base_url") or "") if state in {"starting", "running"} else ""),
            Text(age(preview["created_at"])),
            Text(visible(preview.get("reason") or "")),
        )
    for one in new:
        table.add_row(Text(one["id"]), Text(visible(one["name"])), Text("not launched", style="dim"))
    return table


def _print_all(previews: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"items": previews})
        return
    if not previews:
        say("No live previews.")
        return
    table = listing("PREVIEW", "USER", "NODE", "STATUS", "AGE", "MEMORY")
    for one in previews:
        state = _WAITING.get(one["placement"], one["status"])
        memory = "-" if one["memory_bytes"] is None else f"{one['memory_bytes'] / 2**20:.0f} MB"
        cells = (one["id"], one["user_id"], one["node"] or "-", state, age(one["created_at"]), memory)
        table.add_row(*(Text(visible(cell)) for cell in cells))
    table_console().print(table)


def age(since: str) -> str:
    """Return the time since an RFC 3339 time, such as ``3 min``."""
    return age_of((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())


def age_of(seconds: float) -> str:
    """Return seconds as one number with a unit."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
