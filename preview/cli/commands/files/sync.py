"""``preview sync``: update a stored generation from a folder or a repository, and reload its preview."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.commands.files.repositories import sync_repository
from preview.cli.exits import ExitCode, UsageMistake
from preview.cli.local.run_async import run_async
from preview.cli.local.syncing import Mirror, follow_folder
from preview.cli.options import (
    CaOption,
    GenerationArgument,
    JsonOption,
    SourceArgument,
    UrlOption,
    YesOption,
    existing_folder,
    is_address,
)

app = typer.Typer(add_completion=False)


@app.command()
def sync(
    generation: GenerationArgument,
    source: SourceArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Keep running, and send each saved file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a generation's files, and reload its preview.

    The new files come from a folder or a public GitHub repository.

    Only differences are sent. Files that the folder lacks are removed: the command shows them and asks first. For a
    repository, it shows and asks before every change. Without a terminal it needs --yes to remove more than three.
    Files that `preview push` skips are not sent.

    Without --watch, the exit code is 1 if the preview does not start with the change; the change is kept anyway.

    Example: preview sync GEN examples/hello --watch

    Example: preview sync GEN https://github.com/OWNER/NAME
    """
    generation_path(generation)
    if is_address(source):
        if watch:
            raise UsageMistake("--watch follows a folder; leave it out for a repository.")
        with open_api(url, ca) as api:
            is_good = sync_repository(api, generation, source, is_dry=dry_run, is_agreed=yes, as_json=as_json)
        raise typer.Exit(ExitCode.OK if is_good else ExitCode.FAILED)
    folder = existing_folder(Path(source))
    with open_api(url, ca) as api:
        mirror = Mirror(api, generation, folder, as_json=as_json)
        if dry_run:
            mirror.show_change()
            return
        mirror.agree(is_agreed=yes)
        if not watch:
            raise typer.Exit(ExitCode.OK if mirror.send_all() else ExitCode.FAILED)
        try:
            run_async(lambda: follow_folder(mirror))
        except KeyboardInterrupt:
            # Ctrl-C is the normal way to stop watching.
            raise typer.Exit(ExitCode.OK) from None
