"""``preview push``: upload a folder, or import a repository, as a new generation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from preview.cli.client import open_api
from preview.cli.commands.files.repositories import add_repository
from preview.cli.local.syncing import packed
from preview.cli.options import CaOption, JsonOption, SourceArgument, UrlOption, existing_folder, is_address
from preview.cli.terminal import counted, print_json, progress, say, show
from preview.core.quoting import quoted
from preview.generations import installed_folders

app = typer.Typer(add_completion=False)

# For large archives over slow connections.
_UPLOAD_TIMEOUT_S = 600.0
_MOST_NAMED = 3


@app.command()
def push(
    source: SourceArgument,
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="ID", help="The project it belongs to. Default: one of the same name."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Its display name. Default: that of DIR or URL."),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a folder, or import a GitHub repository, as a new generation.

    Uploads leave out version control, caches, environments and node_modules. The repository must be public; its address
    may name a branch and a folder. Prints the generation's id.

    Example: preview push examples/bookshop --name shop

    Example: preview push https://github.com/OWNER/NAME/tree/main/api
    """
    fields = {"project_id": project} if project else {}
    if is_address(source):
        with open_api(url, ca) as api:
            generation = add_repository(api, {"url": source} | ({"name": name} if name else {}) | fields)
    else:
        generation = _upload(existing_folder(Path(source)), name, fields, url, ca)
    if as_json:
        print_json(generation)
        return
    show(generation["id"])
    amount = counted(generation["file_count"], "file")
    commit = f" at commit {generation['commit'][:7]}" if generation.get("commit") else ""
    say(f"{amount}, {generation['size_bytes']} bytes{commit}; next: preview launch {generation['id']}")


def _upload(folder: Path, name: str | None, fields: dict[str, str], url: str | None, ca: Path | None) -> dict[str, Any]:
    fields = {"name": name or folder.name} | fields
    left_out = installed_folders(folder)
    if left_out:
        more = f", +{len(left_out) - _MOST_NAMED} more" if len(left_out) > _MOST_NAMED else ""
        named = ", ".join(map(quoted, left_out[:_MOST_NAMED]))
        say(f"left out, because the service installs packages itself: {named}{more}")
    with open_api(url, ca) as api, progress(f"uploading {folder.name}…"), packed(folder) as archive:
        files = {"archive": (f"{folder.name}.tar.gz", archive, "application/gzip")}
        response = api.call("POST", "/generations", files=files, data=fields, timeout_s=_UPLOAD_TIMEOUT_S)
    generation: dict[str, Any] = response.json()
    return generation
