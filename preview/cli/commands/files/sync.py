"""``preview sync``: update a stored generation from a folder, and reload its preview."""

from __future__ import annotations

from typing import Annotated

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.exits import ExitCode
from preview.cli.local.run_async import run_async
from preview.cli.local.syncing import Mirror, follow_folder
from preview.cli.options import (
    CaOption,
    DirectoryArgument,
    GenerationArgument,
    JsonOption,
    UrlOption,
    YesOption,
    existing_folder,
)

app = typer.Typer(add_completion=False)


@app.command()
def sync(
    generation: GenerationArgument,
    directory: DirectoryArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Keep running, and send each saved file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a generation's files with a folder's, and reload its preview.

    Only differences are sent. Files that the folder lacks are removed: the command shows them and asks first. Without a
    terminal it needs --yes to remove more than three. Files that `preview push` skips are not sent.

    Without --watch, the exit code is 1 if the preview does not start with the change; the change is kept anyway.

    Example: preview sync GEN examples/hello --watch
    """
    folder = existing_folder(directory)
    generation_path(generation)
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
