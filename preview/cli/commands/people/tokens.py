"""``preview tokens``: API tokens, which can be revoked at any time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(help="Create, list and revoke API tokens, for programs.", no_args_is_help=True, add_completion=False)

_DAY_S = 24 * 3600
_MOST_DAYS = 3650


class _Role(StrEnum):
    READ = "read"
    USE = "use"
    LAUNCH = "launch"
    ADMIN = "admin"
    FULL = "full"


@app.command(name="ls")
def list_tokens(url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List your API tokens, newest first.

    Example: preview tokens ls
    """
    with open_api(url, ca) as api:
        found = api.get_json("/tokens")
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say('No tokens yet; `preview tokens create "build server"` creates one.')
        return
    table = listing("TOKEN", "NAME", "ROLE", "EXPIRES", "LAST USED")
    for one in found["items"]:
        values = (one["id"], one["name"], one["role"], one["expires_at"][:16], (one["last_used_at"] or "never")[:16])
        table.add_row(*(Text(visible(value)) for value in values))
    table_console().print(table)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Display name, such as the program's.")],
    role: Annotated[
        _Role,
        typer.Option(
            "--role",
            help="`read` changes nothing, `use` also sends requests, `launch` also launches and changes files, "
            "`admin` (or `full`) may do everything except manage tokens.",
        ),
    ] = _Role.ADMIN,
    days: Annotated[int, typer.Option("--days", metavar="DAYS", min=1, max=_MOST_DAYS, help="Validity.")] = 90,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create an API token and print it; it cannot be shown again.

    Example: preview tokens create "build server" --role read --days 30
    """
    body = {"name": name, "role": role.value, "expires_in": float(days * _DAY_S)}
    with open_api(url, ca) as api:
        made: dict[str, Any] = api.call("POST", "/tokens", body=body).json()
    if as_json:
        print_json(made)
        return
    show(made["token"])
    say(f"{made['id']}, role {made['role']}, valid until {made['expires_at']}; it is not shown again")


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id, as `preview tokens ls` shows it.")],
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Revoke an API token: its open streams end, and it is refused from now on.

    Example: preview tokens revoke token_m3xq7d9k2vwhz4tc
    """
    with open_api(url, ca) as api:
        api.call("DELETE", f"/tokens/{quote(token, safe='')}")
    show(f"{visible(token)} is revoked")
