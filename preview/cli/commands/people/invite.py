"""``preview invite``: links that admit people to the service; for operators."""

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

app = typer.Typer(
    help="Create, list and revoke invitation links; for operators.", no_args_is_help=True, add_completion=False
)

_DAY_S = 24 * 3600
_MOST_DAYS = 90
_MOST_USES = 500


class _Role(StrEnum):
    READ = "read"
    USE = "use"
    LAUNCH = "launch"
    ADMIN = "admin"


class _Tier(StrEnum):
    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"


@app.command()
def create(
    note: Annotated[str, typer.Argument(metavar="[NOTE]", help="Who it is for; shown to operators.")] = "",
    uses: Annotated[
        int, typer.Option("--uses", metavar="N", min=1, max=_MOST_USES, help="Number of people who may join with it.")
    ] = 1,
    days: Annotated[int, typer.Option("--days", metavar="DAYS", min=1, max=_MOST_DAYS, help="Validity.")] = 7,
    tier: Annotated[_Tier, typer.Option("--tier", help="Tier of these people.")] = _Tier.FREE,
    role: Annotated[
        _Role, typer.Option("--role", help="What these people may do: a role, as for API tokens.")
    ] = _Role.ADMIN,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create an invitation and print its link; it cannot be shown again.

    Example: preview invite create "May workshop" --uses 30 --days 14
    """
    body = {
        "note": note,
        "uses": uses,
        "expires_in": float(days * _DAY_S),
        "tier": tier.value,
        "role": role.value,
    }
    with open_api(url, ca) as api:
        made: dict[str, Any] = api.call("POST", "/operator/invitations", body=body).json()
    if as_json:
        print_json(made)
        return
    show(made["url"])
    people = "one person" if uses == 1 else f"{uses} people"
    say(f"{made['id']} admits {people} until {made['expires_at']}; it is not shown again")


@app.command(name="ls")
def list_invitations(url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List the invitations, newest first, and the people whom they have admitted.

    Example: preview invite ls
    """
    with open_api(url, ca) as api:
        found = api.get_json("/operator/invitations")
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("No invitations yet; `preview invite create` creates one.")
        return
    table = listing("INVITATION", "NOTE", "STATE", "USED", "TIER", "ROLE", "EXPIRES")
    for one in found["items"]:
        used = f"{one['uses']} of {one['most_uses']}"
        cells = (one["id"], one["note"] or "-", one["state"], used, one["tier"], one["role"], one["expires_at"][:16])
        table.add_row(*(Text(visible(cell)) for cell in cells))
    table_console().print(table)
    people = [one for invitation in found["items"] for one in invitation["people"]]
    if not people:
        return
    table = listing("PERSON", "NAME", "ROLE", "SINCE", "STATE")
    for one in people:
        state = "active" if one["removed_at"] is None else "removed"
        shown = (one["user_id"], one["name"] or "-", one["role"], one["created_at"][:16], state)
        table.add_row(*(Text(visible(cell)) for cell in shown))
    table_console().print(table)


@app.command()
def revoke(
    invitation: Annotated[
        str, typer.Argument(metavar="INVITATION", help="The invitation's id, as `preview invite ls` shows it.")
    ],
    people: Annotated[bool, typer.Option("--people", help="Also remove the people who joined with it.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Revoke an invitation: nobody else can join with it.

    Example: preview invite revoke invitation_m3xq7d9k2vwhz4tc
    """
    with open_api(url, ca) as api:
        api.call("DELETE", f"/operator/invitations/{quote(invitation, safe='')}?people={str(people).lower()}")
    show(f"{visible(invitation)} is revoked" + (", and its people are removed" if people else ""))


@app.command()
def remove(
    user: Annotated[str, typer.Argument(metavar="USER", help="The person's id, as `preview invite ls` shows it.")],
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Remove a person whom an invitation has admitted: sessions, tokens and open streams end. Projects stay.

    Example: preview invite remove invited:anna-m3xq7d9k2vwhz4tc
    """
    with open_api(url, ca) as api:
        api.call("DELETE", f"/operator/members/{quote(user, safe='')}")
    show(f"{visible(user)} is removed")
