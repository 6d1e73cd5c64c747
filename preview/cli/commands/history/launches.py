"""``preview launches``: launches of a generation, and what differs between two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import generation_path, open_api
from preview.cli.commands.history.showing import ListByDefault, duration
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import counted, listing, print_json, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(
    cls=ListByDefault,
    help="List the launches of a generation with their results, and compare two.",
    no_args_is_help=True,
    add_completion=False,
)

LaunchArgument = Annotated[
    str, typer.Argument(metavar="LAUNCH", help="The launch's preview, as `preview launches GEN` lists it.")
]


@app.command()
def ls(
    generation: GenerationArgument,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=200, help="Maximum number of launches.")
    ] = 20,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the launches of a generation, newest first; `preview logs GEN --launch LAUNCH` shows the log of one.

    Example: preview launches GEN
    """
    with open_api(url, ca) as api:
        found = api.call("GET", generation_path(generation, "/launches"), params={"limit": limit}).json()
    if as_json:
        print_json(found)
        return
    shown = listing("LAUNCH", "WHEN", "RESULT", "STARTED IN", "LIFE", "VERSION", "LINES", "REQUESTS", "FAILURES")
    for one in found["items"]:
        values = (
            one["preview_id"],
            one["created_at"],
            _result(one),
            duration(one["launch_ms"]),
            duration(one["life_ms"]),
            _known(one["version"]),
            _known(one["lines"]),
            one["requests"],
            one["failures"],
        )
        shown.add_row(*(Text(visible(str(value))) for value in values))
    table_console().print(shown)


@app.command()
def steps(
    generation: GenerationArgument,
    launch: Annotated[
        str | None, typer.Argument(metavar="[LAUNCH]", help="The launch's preview; by default the newest.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the steps of a launch, and the time that each took.

    Example: preview launches steps GEN
    """
    with open_api(url, ca) as api:
        path = generation_path(generation, "/launches")
        if launch is None:
            newest = api.call("GET", path, params={"limit": 1}).json()["items"]
            launch = newest[0]["preview_id"] if newest else None
        found = None if launch is None else api.get_json(f"{path}/{quote(launch, safe='')}")
    if as_json:
        print_json({"preview_id": launch, "steps": [] if found is None else found["steps"]})
    elif found is None:
        say("Never launched; `preview launch GEN` launches it.")
    else:
        shown = listing("STEP", "STATE", "TIME", "DETAIL")
        for one in found["steps"]:
            values = (one["name"], one["state"], duration(one["elapsed_ms"]), one["detail"] or "")
            shown.add_row(*(Text(visible(str(value))) for value in values))
        table_console().print(shown)


@app.command()
def compare(
    generation: GenerationArgument,
    before: LaunchArgument,
    after: Annotated[str, typer.Argument(metavar="LAUNCH_B", help="The later launch.")],
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two launches: settings, steps, failures and times of requests.

    Example: preview launches compare GEN PREVIEW_A PREVIEW_B
    """
    with open_api(url, ca) as api:
        path = generation_path(generation, f"/launches/{quote(after, safe='')}/compare")
        found: dict[str, Any] = api.call("GET", path, params={"against": before}).json()
    if as_json:
        print_json(found)
        return
    shown = listing("", "BEFORE", "AFTER")
    for values in [*_facts(found["before"], found["after"]), *_steps(found), *_settings(found), *_endpoints(found)]:
        shown.add_row(*(Text(visible(value)) for value in values))
    table_console().print(shown)
    for word, failures in (("new", found["new_failures"]), ("gone", found["gone_failures"])):
        for one in failures:
            show(f"{word} failure: {one['type']}: {one['message']} ({counted(one['count'], 'time')})")


def _facts(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    shown: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("result", _result),
        ("version", lambda one: _known(one["version"])),
        ("started in", lambda one: duration(one["launch_ms"])),
        ("life", lambda one: duration(one["life_ms"])),
        ("lines", lambda one: _known(one["lines"])),
        ("requests", lambda one: str(one["requests"])),
        ("failures", lambda one: str(one["failures"])),
    ]
    return [(name, text(before), text(after)) for name, text in shown]


def _steps(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(f"step {one['name']}", duration(one["before_ms"]), duration(one["after_ms"])) for one in found["steps"]]


def _settings(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["name"], _known(one["before"]), _known(one["after"])) for one in found["settings"]]


def _endpoints(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["endpoint"], _times(one["before"]), _times(one["after"])) for one in found["endpoints"]]


def _times(one: dict[str, Any] | None) -> str:
    if one is None:
        return "-"
    errors = f", {one['errors']} failed" if one["errors"] else ""
    return f"{counted(one['requests'], 'request')}, p50 {one['p50_ms']:.0f} ms, p95 {one['p95_ms']:.0f} ms{errors}"


def _result(one: dict[str, Any]) -> str:
    if one["status"] != "failed":
        return f"stopped ({one['cause']})" if one["cause"] else str(one["status"])
    code = "" if one["exit_code"] is None else f" (exit code {one['exit_code']})"
    return f"failed{code}"


def _known(value: object) -> str:
    return "-" if value is None else str(value)
