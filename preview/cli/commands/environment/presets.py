"""``preview env use``, ``presets`` and ``diff``: named sets of settings."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.commands.data.showing import ask
from preview.cli.commands.environment.project import HIDDEN, RestartOption, apply_now, project_path
from preview.cli.exits import UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption, YesOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import visible

_STATES = {"same": "same", "differs": "differs", "only_a": "only in the first", "only_b": "only in the second"}


def install_presets(app: typer.Typer) -> None:
    """Add the commands for presets to ``preview env``."""
    app.command()(presets)
    app.command()(use)
    app.command()(diff)


def presets(
    generation: GenerationArgument,
    add: Annotated[str | None, typer.Option("--add", metavar="NAME", help="Create a preset.")] = None,
    copy_of: Annotated[
        str | None, typer.Option("--copy-of", metavar="NAME", help="Copy this preset, with its secrets.")
    ] = None,
    remove: Annotated[str | None, typer.Option("--remove", metavar="NAME", help="Remove a preset.")] = None,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List, make or remove presets: named sets of settings over the project's own.

    Example: preview env presets GEN --add staging
    """
    if copy_of is not None and add is None:
        raise UsageMistake("--copy-of can only be used with --add NAME.")
    with open_api(url, ca) as api:
        path = project_path(api, generation, "/presets")
        if add is not None:
            api.call("POST", path, body={"name": add, "copy_of": copy_of})
            say(f"created; add variables with `preview env set {generation} --preset {add} NAME=VALUE`")
        if remove is not None:
            ask(f"Remove the preset {remove} with its secrets?", is_agreed=yes)
            api.call("DELETE", f"{path}/{quote(remove, safe='')}")
        found = api.get_json(path)
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say(f"No presets yet; `preview env presets {generation} --add staging` creates one.")
        return
    shown = listing("PRESET", "ACTIVE", "VARIABLES")
    for one in found["items"]:
        names = ", ".join(variable["name"] for variable in one["variables"])
        shown.add_row(Text(visible(one["name"])), "yes" if one["active"] else "", Text(visible(names)))
    table_console().print(shown)


def use(
    generation: GenerationArgument,
    preset: Annotated[str | None, typer.Argument(metavar="PRESET", help="The preset to make active.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Use no preset.")] = False,
    restart: RestartOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Switch to a preset.

    Example: preview env use GEN staging --restart
    """
    if (preset is None) is not none:
        raise UsageMistake("Name a preset, or give --none.")
    with open_api(url, ca) as api:
        path = project_path(api, generation, "/environment")
        api.call("PATCH", path, body={"active_preset": preset or ""})
        apply_now(api, generation, path, restart=restart)


def diff(
    generation: GenerationArgument,
    a: Annotated[str, typer.Argument(metavar="A", help="A preset; - for the project's own settings alone.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two presets. Of a secret only whether it differs.

    Example: preview env diff GEN staging live
    """
    params = {name: value for name, value in (("a", a), ("b", b)) if value != "-"}
    with open_api(url, ca) as api:
        found = api.get_json(project_path(api, generation, "/environment/compare"), params=params)
    if as_json:
        print_json(found)
        return
    shown = listing("NAME", "", a, b)
    for one in found["items"]:
        if one["state"] != "same":
            shown.add_row(*(Text(visible(text)) for text in (one["name"], _STATES[one["state"]], *_values(one))))
    if shown.row_count:
        table_console().print(shown)
    else:
        show("Both have the same settings.")


def _values(one: dict[str, Any]) -> tuple[str, str]:
    if one["secret"]:
        return ("" if one["state"] == "only_b" else HIDDEN), ("" if one["state"] == "only_a" else HIDDEN)
    return tuple("" if one[side] is None else str(one[side]) for side in ("a", "b"))  # type: ignore[return-value]
