"""``preview snapshot``: save a preview's data, and bring it back."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.commands.data.showing import ask, size
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption, YesOption
from preview.cli.terminal import counted, listing, print_json, progress, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(
    help="Save what a preview has stored, in files and databases, and restore it.",
    no_args_is_help=True,
    add_completion=False,
)

SnapshotArgument = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its id, as `preview snapshot ls` shows it.")]
# For the data itself, and the application's start.
_TIMEOUT_S = 660.0


def snapshot_path(generation: str, snapshot: str, rest: str = "") -> str:
    """Return the snapshot's path below ``/api/v1``."""
    return generation_path(generation, f"/preview/snapshots/{quote(snapshot, safe='')}{rest}")


@app.command()
def save(
    generation: GenerationArgument,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Display name. Default: the time.")] = "",
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save the data of a running preview: files that it has changed, and databases.

    Example: preview snapshot save GEN --name 'before the test'
    """
    path = generation_path(generation, "/preview/snapshots")
    with open_api(url, ca) as api, progress("saving…"):
        made: dict[str, Any] = api.call("POST", path, body={"name": name}, timeout_s=_TIMEOUT_S).json()
    if as_json:
        print_json(made)
        return
    show(made["id"])
    say(f"saved {_parts(made)}; `preview snapshot restore {generation} {made['id']}` brings it back")


@app.command()
def ls(generation: GenerationArgument, url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List the data snapshots of a generation, newest first.

    Example: preview snapshot ls GEN
    """
    with open_api(url, ca) as api:
        found = api.get_json(generation_path(generation, "/preview/snapshots"))
    if as_json:
        print_json(found)
        return
    if not found["snapshots"]:
        say(f"No snapshots yet; `preview snapshot save {generation}` creates one.")
        return
    shown = listing("SNAPSHOT", "CREATED", "SIZE", "NAME")
    for one in found["snapshots"]:
        values = (one["id"], one["created_at"], size(one["size_bytes"]), one["name"])
        shown.add_row(*(Text(visible(value)) for value in values))
    table_console().print(shown)


@app.command()
def restore(
    generation: GenerationArgument,
    snapshot: SnapshotArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the running preview's data with a snapshot's; its application is stopped and started again.

    The old data is kept as a snapshot.

    Example: preview snapshot restore GEN SNAPSHOT
    """
    ask(f"Replace the data of {generation}'s preview with {snapshot}, and restart it?", is_agreed=yes)
    with open_api(url, ca) as api:
        replace_data(api, generation, snapshot_path(generation, snapshot, "/restore"), "restored", as_json=as_json)


def replace_data(api: Api, generation: str, path: str, done: str, *, as_json: bool) -> None:
    """Send a request that replaces a preview's data, and say how to undo it."""
    with progress("replacing the data…"):
        made: dict[str, Any] = api.call("POST", path, body={}, timeout_s=_TIMEOUT_S).json()
    if as_json:
        print_json(made)
        return
    show(f"{done} in {made['elapsed_ms'] / 1000:.2f} s")
    say(f"to undo it: preview snapshot restore {generation} {made['before']['id']}")


@app.command()
def rm(
    generation: GenerationArgument,
    snapshot: SnapshotArgument,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Delete a data snapshot.

    `preview snapshot undelete` can restore it for a while (PREVIEW_REMOVED_KEPT, by default a day).

    Example: preview snapshot rm GEN SNAPSHOT
    """
    ask(f"Delete {snapshot}?", is_agreed=yes)
    with open_api(url, ca) as api:
        api.call("DELETE", snapshot_path(generation, snapshot))
        removed = api.get_json(generation_path(generation, "/preview/removed-snapshots"))["items"]
    show(f"{snapshot} is deleted")
    if any(one["snapshot"]["id"] == snapshot for one in removed):
        say(f"to undo it: preview snapshot undelete {generation} {snapshot}")
    else:
        say("This cannot be undone: the service does not keep deleted snapshots.")


@app.command()
def undelete(
    generation: GenerationArgument,
    snapshot: Annotated[
        str, typer.Argument(metavar="SNAPSHOT", help="Its id. Default: list what can be brought back.")
    ] = "",
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a deleted data snapshot; without an id, list the snapshots that can be restored.

    Example: preview snapshot undelete GEN SNAPSHOT
    """
    with open_api(url, ca) as api:
        if snapshot:
            found: dict[str, Any] = api.call("POST", snapshot_path(generation, snapshot, "/undelete")).json()
        else:
            found = api.get_json(generation_path(generation, "/preview/removed-snapshots"))
    if as_json:
        print_json(found)
    elif snapshot:
        show(f"{snapshot} is restored to the list of snapshots")
    elif not found["items"]:
        say("No deleted snapshots.")
    else:
        shown = listing("SNAPSHOT", "CREATED", "SIZE", "KEPT UNTIL", "NAME")
        for one in found["items"]:
            kept = one["snapshot"]
            values = (kept["id"], kept["created_at"], size(kept["size_bytes"]), one["expires_at"], kept["name"])
            shown.add_row(*(Text(visible(value)) for value in values))
        table_console().print(shown)


@app.command()
def diff(
    generation: GenerationArgument,
    snapshot: SnapshotArgument,
    other: Annotated[
        str, typer.Argument(metavar="OTHER", help="Another snapshot. Default: what the running preview has now.")
    ] = "now",
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the files and rows that differ between two snapshots, or between one and now.

    Example: preview snapshot diff GEN SNAPSHOT now
    """
    path = snapshot_path(generation, snapshot, f"/diff/{quote(other, safe='')}")
    with open_api(url, ca) as api, progress("comparing…"):
        found = api.get_json(path, timeout_s=_TIMEOUT_S)
    if as_json:
        print_json(found)
        return
    tables = [(database["name"], table) for database in found["databases"] for table in database["tables"]]
    if not tables and not found["files"]:
        show("no difference")
    for one in found["files"]:
        show(f"{one['change']:8} {one['path']}")
    for name, table in tables:
        counts = ", ".join(f"{table[kind]} {kind}" for kind in ("added", "changed", "removed") if table[kind])
        note = f" ({table['note']})" if table["note"] else ""
        show(f"{name}  {table['name']}: {counts or 'the same'}{note}")
        for row in table["samples"]:
            _show_row(row)
    if found["is_cut"]:
        say("not all differences are shown")


def _show_row(row: dict[str, Any]) -> None:
    before, after = row["before"] or {}, row["after"] or {}
    if row["change"] == "changed":
        named = {
            name: f"{before.get(name)} → {after.get(name)}" for name in after if before.get(name) != after.get(name)
        }
        same = {name: value for name, value in after.items() if before.get(name) == value}
        first = dict(list(same.items())[:1])
        show(f"    ~ {_values({**first, **named})}")
    else:
        show(f"    {'+' if row['change'] == 'added' else '-'} {_values(after or before)}")


def _values(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={'NULL' if value is None else value}" for name, value in row.items())


def _part(part: dict[str, Any]) -> str:
    if part["kind"] != "files":
        return str(part["kind"])
    return counted(part["files"], "changed file")


def _parts(made: dict[str, Any]) -> str:
    named = [_part(part) for part in made["parts"]]
    return f"{', '.join(named) or 'nothing: the preview has stored no data'} ({size(made['size_bytes'])})"
