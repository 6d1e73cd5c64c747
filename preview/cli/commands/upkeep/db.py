"""``preview db``: upgrade or downgrade the service's database."""

from __future__ import annotations

from typing import Annotated

import typer

from preview.cli.data_folder import hold_data_folder
from preview.cli.options import JsonOption
from preview.cli.terminal import print_json, progress
from preview.core.env_file import find_env_file
from preview.settings import load_settings
from preview.storage import migrate

app = typer.Typer(help="Upgrade or downgrade the service's database.", no_args_is_help=True, add_completion=False)


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="Target revision. Default: the newest.")] = "head",
) -> None:
    """Upgrade the database to the newest revision, or to the given one.

    The upgrade is completed, or nothing changes.

    Example: preview db upgrade
    """
    settings = load_settings(find_env_file())
    with hold_data_folder(settings.data_dir), progress("upgrading…"):
        migrate.upgrade(settings.resolved_database_url, revision)
    _print_current(settings.resolved_database_url)


# "-1" is a revision, not an option.
@app.command(context_settings={"ignore_unknown_options": True})
def downgrade(
    revision: Annotated[
        str,
        typer.Argument(metavar="REVISION", help="A revision, -1 for one step back, or base to undo all migrations."),
    ],
) -> None:
    """Downgrade the database to a revision.

    Data that the older schema cannot store is lost. Stop the service first.

    Example: preview db downgrade -1
    """
    settings = load_settings(find_env_file())
    with hold_data_folder(settings.data_dir), progress("downgrading…"):
        migrate.downgrade(settings.resolved_database_url, revision)
    _print_current(settings.resolved_database_url)


@app.command()
def current(as_json: JsonOption = False) -> None:
    """Show the database's revision, and the newest one.

    Example: preview db current
    """
    url = load_settings(find_env_file()).resolved_database_url
    if as_json:
        print_json({"revision": migrate.current(url), "newest": migrate.head()})
    else:
        _print_current(url)


def _print_current(url: str) -> None:
    revision, newest = migrate.current(url), migrate.head()
    print(f"{revision or 'empty'}{' (newest)' if revision == newest else f' (newest: {newest})'}")
