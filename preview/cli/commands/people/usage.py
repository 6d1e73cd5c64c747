"""``preview usage``: the user's limits, and how much of them is used."""

from __future__ import annotations

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, table_console

app = typer.Typer(add_completion=False)

_MIB = 1024 * 1024


@app.command()
def usage(url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """Show your limits, and how much of them you use.

    Example: preview usage
    """
    with open_api(url, ca) as api:
        found = api.get_json("/usage")
    if as_json:
        print_json(found)
        return
    table = listing("WHAT", "USED", "LIMIT", "SETTING")
    for one in found["items"]:
        used, limit = (_shown(one[key], one["unit"]) for key in ("used", "limit"))
        table.add_row(*(Text(value) for value in (one["about"], used, limit, one["setting"] or "")))
    table_console().print(table)


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value / _MIB:,.1f} MiB" if unit == "bytes" else f"{value:,g}"
