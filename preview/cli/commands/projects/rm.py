"""``preview rm``: remove a generation with its previews and logs."""

from __future__ import annotations

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.commands.data.showing import ask
from preview.cli.commands.projects.ls import collect
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption, YesOption
from preview.cli.terminal import counted, print_json, progress, say, show

app = typer.Typer(add_completion=False)


@app.command()
def rm(
    generation: GenerationArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a generation with its files, previews and logs.

    Asks first, then stops its preview. For a while, `preview undo` can restore it; after that it is deleted for good.

    Example: preview rm GEN
    """
    with open_api(url, ca) as api:
        found = api.get_json(generation_path(generation))
        running = any(
            one["generation_id"] == generation
            for status in ("starting", "running")
            for one in collect(api, "/previews", "previews", 1000, {"status": status})
        )
        stops = " Its preview is running and will be stopped." if running else ""
        files = counted(found["file_count"], "file")
        final = "" if api.get_json("/removed").get("kept_s") != 0 else " This cannot be undone."
        ask(
            f'Delete "{found["name"]}" ({generation}): {files}, and the logs of all its launches?{stops}{final}',
            is_agreed=yes,
        )
        with progress("deleting…"):
            if running:
                api.call("DELETE", generation_path(generation, "/preview"))
            api.call("DELETE", generation_path(generation))
        kept = [one["expires_at"] for one in api.get_json("/removed")["items"] if one["id"] == generation]
    until = kept[0] if kept else None
    if as_json:
        print_json({"generation_id": generation, "deleted": True, "restorable_until": until})
        return
    show(f"{generation} is deleted")
    if until is not None:
        say(f"`preview undo {generation}` restores it until {until[:16].replace('T', ' ')} UTC")
