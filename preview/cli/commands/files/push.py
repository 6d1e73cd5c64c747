"""``preview push``: upload a folder as a new generation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preview.cli.client import open_api
from preview.cli.local.syncing import packed
from preview.cli.options import CaOption, DirectoryArgument, JsonOption, UrlOption, existing_folder
from preview.cli.terminal import counted, print_json, progress, say, show

app = typer.Typer(add_completion=False)

# For large archives over slow connections.
_UPLOAD_TIMEOUT_S = 600.0


@app.command()
def push(
    directory: DirectoryArgument,
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="ID", help="The project it belongs to. Default: one of the same name."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Its display name. Default: the folder's.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a folder as a new generation.

    Leaves out version control, caches, environments and node_modules. Prints the generation's id.

    Example: preview push examples/bookshop --name shop
    """
    folder = existing_folder(directory)
    fields = {"name": name or folder.name} | ({"project_id": project} if project else {})
    with open_api(url, ca) as api, progress(f"uploading {folder.name}…"), packed(folder) as archive:
        files = {"archive": (f"{folder.name}.tar.gz", archive, "application/gzip")}
        response = api.call("POST", "/generations", files=files, data=fields, timeout_s=_UPLOAD_TIMEOUT_S)
    generation: dict[str, Any] = response.json()
    if as_json:
        print_json(generation)
        return
    show(generation["id"])
    amount = counted(generation["file_count"], "file")
    say(f"{amount}, {generation['size_bytes']} bytes; next: preview launch {generation['id']}")
