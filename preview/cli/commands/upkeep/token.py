"""``preview token``: issue a bearer token signed with this machine's secret."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from preview.auth import issue_token, load_or_create_secret
from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.options import JsonOption
from preview.cli.terminal import print_json
from preview.core.env_file import find_env_file
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def token(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id; becomes the token's `sub`.")],
    tier: Annotated[
        Literal["free", "pro", "enterprise"] | None,
        typer.Option("--tier", help="Default: from the users table."),
    ] = None,
    ttl: Annotated[float, typer.Option("--ttl", metavar="SECONDS", min=1, help="Validity in seconds.")] = 3600,
    as_json: JsonOption = False,
) -> None:
    """Issue a token for the API.

    The data folder's secret signs the token, so it is valid for the service that uses that folder.

    Example: preview token ada --tier pro --ttl 86400
    """
    settings = load_settings(find_env_file())
    if not is_valid_id(user):
        raise UsageMistake(f"{quoted(user)} cannot be a user's id; use letters, digits, '.', '_', ':' and '-'.")
    if settings.jwt_algorithm != "HS256":
        raise CommandFailed(
            f"PREVIEW_JWT_ALGORITHM is {settings.jwt_algorithm}: tokens come from your identity provider, not here."
        )
    issued = issue_token(settings, load_or_create_secret(settings), user, tier=tier, ttl_s=ttl)
    if as_json:
        print_json({"token": issued, "user": user, "tier": tier, "expires_in": ttl})
    else:
        print(issued)
