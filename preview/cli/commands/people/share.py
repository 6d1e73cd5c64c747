"""``preview share``: manage links to a preview, and who has access."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import typer

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, say, show
from preview.core.clock import utc_now

app = typer.Typer(add_completion=False)


class _Role(StrEnum):
    OPEN = "open"
    WATCH = "watch"
    USE = "use"


# For the request's round trip and clock differences.
_SLACK_S = 60


@app.command()
def share(
    generation: GenerationArgument,
    expires: Annotated[
        float | None, typer.Option("--expires", metavar="SECONDS", min=1, help="Link lifetime in seconds.")
    ] = None,
    role: Annotated[
        _Role,
        typer.Option(
            "--role",
            help="What the link allows. `open`: open the preview; `watch`: view its page, read-only; `use`: also send "
            "requests and comment.",
        ),
    ] = _Role.OPEN,
    listed: Annotated[bool, typer.Option("--list", help="List the links, and who has access.")] = False,
    revoke: Annotated[
        str | None, typer.Option("--revoke", metavar="ID", help="Revoke a link, or `all` access.")
    ] = None,
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="Make the preview public, or private.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Share a generation's preview: create a link that opens it for anyone who has the link.

    A link expires when its preview ends, at the latest.

    Example: preview share GEN --expires 3600
    """
    if sum((expires is not None, listed, revoke is not None, public is not None)) > 1:
        raise UsageMistake("Use one of --expires, --list, --revoke, --public and --private at a time.")
    with open_api(url, ca) as api:
        if revoke is not None:
            _revoke(api, generation, revoke)
            return
        if listed or public is not None:
            shown = _access(api, generation, public)
            print_json(shown) if as_json else _print_access(shown)
            return
        body: dict[str, Any] = {"role": role.value} | ({} if expires is None else {"expires_in": expires})
        made: dict[str, Any] = api.call("POST", generation_path(generation, "/preview/share"), body=body).json()
    if as_json:
        print_json(made)
    else:
        until = f"valid until {made['expires_at']} or until the preview ends"
        show(f"{made['url']}\n{made['id']}, role {made['role']}, {until}")
        if expires is not None and _is_shorter(made["expires_at"], expires):
            say("the service limits the lifetime of links")
        _say_where(made["url"])


def _is_shorter(expires_at: str, wanted_s: float) -> bool:
    left_s = (datetime.fromisoformat(expires_at) - utc_now()).total_seconds()
    return left_s < wanted_s - _SLACK_S


def _say_where(address: str) -> None:
    """Print a note for localhost names, which each machine resolves to itself (RFC 6761, section 6.3)."""
    if (urlsplit(address).hostname or "").endswith("localhost"):
        say("this link works only on this machine; set PREVIEW_DOMAIN to share with others")


def _revoke(api: Api, generation: str, share_id: str) -> None:
    rest = "/preview/access" if share_id == "all" else f"/preview/share/{quote(share_id, safe='')}"
    api.call("DELETE", generation_path(generation, rest))
    show("all access is revoked" if share_id == "all" else f"{share_id} is revoked")


def _access(api: Api, generation: str, public: bool | None) -> dict[str, Any]:
    path = generation_path(generation, "/preview/access")
    if public is None:
        return api.get_json(path)
    shown: dict[str, Any] = api.call("PUT", path, body={"public": public}).json()
    return shown


def _print_access(shown: dict[str, Any]) -> None:
    who = "anybody who knows the address" if shown["public"] else "its owner, and the holders of a link"
    show(f"{shown['address']} is open to {who}")
    _say_where(shown["address"])
    for one in shown["shares"]:
        closed = "  (closed to new guests)" if one["closed"] else ""
        show(f"{one['id']}  {one['role']}  until {one['expires_at']}  {one['url']}{closed}")
