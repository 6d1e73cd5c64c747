"""``preview versions``: versions of a generation's files: list, diff, roll back."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.commands.data.showing import ask
from preview.cli.commands.history.showing import ListByDefault, version_of
from preview.cli.exits import ExitCode
from preview.cli.local.syncing import change_words, tell_reload
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption, YesOption
from preview.cli.terminal import listing, paint, print_json, progress, say, show, table_console, wants_colour
from preview.core.quoting import visible

app = typer.Typer(
    cls=ListByDefault,
    help="List the versions of a generation's files, show what differs, and roll back.",
    no_args_is_help=True,
    add_completion=False,
)

VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="The version's number, as `preview versions GEN` lists it.")
]
_TIMEOUT_S = 600.0
_COLOURS = {"+": "32", "-": "31", "@": "36"}


@app.command()
def ls(
    generation: GenerationArgument,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=200, help="Maximum number of versions.")
    ] = 50,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions of a generation's files, newest first.

    Example: preview versions GEN
    """
    with open_api(url, ca) as api:
        found = api.call("GET", generation_path(generation, "/versions"), params={"limit": limit}).json()
    if as_json:
        print_json(found)
        return
    shown = listing("VERSION", "WHEN", "BY", "HOW", "CHANGE", "FILES", "STARTS", "MESSAGE")
    for one in found["items"]:
        change = f"+{one['added']} ~{one['changed']} -{one['removed']}"
        by = f"{one['author']} ({one['agent']})" if one["agent"] else one["author"]
        values = (
            one["number"],
            one["created_at"],
            by,
            one["source"],
            change,
            one["file_count"],
            _starts(one),
            one["message"],
        )
        shown.add_row(*(Text(visible(str(value))) for value in values))
    table_console().print(shown)
    if found["oldest"] > 1 and found["next"] is None:
        say(
            f"Versions older than {found['oldest']} are not kept; the limits are {found['limit_versions']} "
            f"versions and {found['limit_bytes']} bytes of past files."
        )


def _starts(one: dict[str, Any]) -> str:
    return "" if one["failed"] is None else f"no: {one['failed']['preview_id']}"


@app.command()
def diff(
    generation: GenerationArgument,
    version: VersionArgument,
    other: Annotated[
        str | None,
        typer.Argument(metavar="OTHER", help="The newer version. Default: compare VERSION with the one before it."),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a version changed, or what differs between two versions.

    Example: preview versions diff GEN 3 7
    """
    first = version_of(version)
    newer, params = (first, {}) if other is None else (version_of(other), {"against": first})
    with open_api(url, ca) as api:
        path = generation_path(generation, f"/versions/{newer}/diff")
        found: dict[str, Any] = api.call("GET", path, params=params).json()
    if as_json:
        print_json(found)
        return
    if not found["files"]:
        say(f"versions {found['against']} and {newer} have the same files")
    for one in found["files"]:
        _print_file(one)


def _print_file(one: dict[str, Any]) -> None:
    if one["diff"] is None:
        show(f"{one['change']}: {visible(one['path'])}")
    else:
        coloured = wants_colour(sys.stdout)
        for line in one["diff"].splitlines():
            colour = _COLOURS.get(line[:1]) if coloured else None
            show(paint(visible(line), colour) if colour else visible(line))
    if one["left_out"]:
        say(f"{visible(one['path'])}: {one['left_out']}")


@app.command()
def restore(
    generation: GenerationArgument,
    version: VersionArgument,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Message of the new version.")] = "",
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll back: make a version's files the current ones, and reload the preview.

    This makes a new version, so it can be undone. The exit code is 1 if the preview does not start with these files;
    then the previous process keeps serving.

    Example: preview versions restore GEN 3
    """
    number = version_of(version)
    with open_api(url, ca) as api:
        current = api.get_json(generation_path(generation))["version"]
        differs = api.call("GET", generation_path(generation, f"/versions/{number}/diff"), params={"against": current})
        files = differs.json()["files"]
        counts = change_words(
            sum(one["change"] != "removed" for one in files), sum(one["change"] == "removed" for one in files)
        )
        ask(f"Restore version {number} of {generation}: {counts}?", is_agreed=yes or not files)
        path = generation_path(generation, f"/versions/{number}/restore")
        with progress("restoring…"):
            headers = {"If-Match": f'"{current}"'}
            answer = api.call(
                "POST", path, params={"message": message, "agent": "preview CLI"}, headers=headers, timeout_s=_TIMEOUT_S
            ).json()
    if as_json:
        print_json(answer)
        failed = answer["reload"]["status"] == "failed"
    elif not answer["changed"] and not answer["removed"]:
        show(f"nothing to restore: version {number} has the current files")
        failed = False
    else:
        counts = change_words(len(answer["changed"]), len(answer["removed"]))
        show(f"Restored: {counts}. Undo: preview versions restore {generation} {current}")
        failed = not tell_reload(answer["reload"])
    if failed:
        raise typer.Exit(ExitCode.FAILED)
