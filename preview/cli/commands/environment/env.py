"""``preview env``: variables, secrets and start options of a project."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import open_api
from preview.cli.commands.data.showing import ask
from preview.cli.commands.environment.presets import install_presets
from preview.cli.commands.environment.project import (
    HIDDEN,
    PresetOption,
    RestartOption,
    apply_now,
    env_line,
    layer_params,
    project_path,
    shown_value,
)
from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.options import (
    AppOption,
    CaOption,
    CommandOption,
    GenerationArgument,
    JsonOption,
    OnCrashOption,
    TraceOption,
    UrlOption,
    YesOption,
)
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.isolation import Network
from preview.core.quoting import quoted, visible
from preview.detection import is_secret_name

app = typer.Typer(
    help="Set variables, secrets, presets and start options of a project.", no_args_is_help=True, add_completion=False
)
install_presets(app)

# More removals than this are asked for.
_MANY = 3
_MOST_TEXT = 256 * 1024
_ON, _OFF = ("on", "true", "1", "yes"), ("off", "false", "0", "no")


@app.command(name="ls")
def list_settings(
    generation: GenerationArgument,
    detected: Annotated[bool, typer.Option("--detected", help="Also list detected values and placeholders.")] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the settings that the next launch uses; secrets are hidden.

    Example: preview env ls GEN --detected
    """
    with open_api(url, ca) as api:
        params = {"generation_id": generation} if detected else {}
        found = api.get_json(project_path(api, generation, "/environment"), params=params)
    if as_json:
        print_json(found)
        return
    shown = listing("NAME", "VALUE", "FROM")
    preset = found["active_preset"]
    sources = {"project": "project", "preset": f"preset {preset}"}
    for one in found["effective"]:
        shown.add_row(*(Text(visible(text)) for text in (one["name"], shown_value(one), sources[one["source"]])))
    for name, layer in _active_layers(found):
        for key, value in _options(layer).items():
            shown.add_row(*(Text(visible(text)) for text in (f"[{key}]", str(value), sources[name])))
    if shown.row_count:
        table_console().print(shown)
    else:
        say(f"No settings yet; `preview env set {generation} NAME=VALUE` creates one.")
    for entry in (found["detected"] or {}).get("entries", ()):
        where = f" ({entry['where']})" if entry["where"] else ""
        value = "" if entry["value"] is None or entry["kind"] != "variable" else f": {entry['value']}"
        show(visible(f"detected  {entry['text']}{value}{where}"))
    for problem in (found["problem"], (found["detected"] or {}).get("problem")):
        if problem:
            say(visible(problem))
    if any(one["generation_id"] == generation and not one["is_current"] for one in found["running"]):
        say(f"The running preview was started with other settings; `preview restart {generation}` applies these.")


@app.command(name="set")
def set_variables(
    generation: GenerationArgument,
    variables: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Variables to set.", show_default=False)
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME", help="Ask for the value of a secret, or read it from standard input."),
    ] = None,
    preset: PresetOption = None,
    restart: RestartOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Set variables and secrets for the next launch.

    The value of a secret is not an argument, so it stays out of the process list and the shell history.

    Example: preview env set GEN LOG_LEVEL=DEBUG --secret API_KEY --restart
    """
    values = dict(_pair(one) for one in variables or ())
    hidden = {name: _read_secret(name, alone=len(secret or ()) == 1) for name in secret or ()}
    if not values and not hidden:
        raise UsageMistake("Name what to set: NAME=VALUE, or --secret NAME.")
    for name in values:
        if is_secret_name(name):
            say(f"{name} looks like a secret; --secret {name} keeps it hidden")
    with open_api(url, ca) as api:
        path = project_path(api, generation, "/environment")
        if values:
            api.call("PATCH", path, body={"set": values}, params=layer_params(preset))
        for name, value in hidden.items():
            secret_path = project_path(api, generation, f"/secrets/{quote(name, safe='')}")
            api.call("PUT", secret_path, body={"value": value}, params=layer_params(preset))
        apply_now(api, generation, path, restart=restart)


@app.command()
def unset(
    generation: GenerationArgument,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Variables and secrets to remove.")],
    preset: PresetOption = None,
    restart: RestartOption = False,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Remove variables and secrets. Removing several asks first.

    Example: preview env unset GEN LOG_LEVEL
    """
    with open_api(url, ca) as api:
        path = project_path(api, generation, "/environment")
        known = {one["name"] for one in _layer(api.get_json(path), preset)["variables"]}
        missing = [name for name in names if name not in known]
        if missing:
            raise CommandFailed(f"There is no variable {quoted(missing[0])}; `preview env ls {generation}` lists them.")
        if len(names) >= _MANY:
            ask(f"Remove {len(names)} variables: {', '.join(names)}?", is_agreed=yes)
        api.call("PATCH", path, body={"unset": names}, params=layer_params(preset))
        apply_now(api, generation, path, restart=restart)


@app.command(name="import")
def import_file(
    generation: GenerationArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .env file; - for standard input.")],
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME", help="Store this variable as a secret. Default: names like API_KEY."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    preset: PresetOption = None,
    restart: RestartOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the variables of a .env file. Others stay.

    Example: preview env import GEN .env --dry-run
    """
    body = {"text": _read_text(file), "secrets": secret or None, "dry_run": dry_run}
    with open_api(url, ca) as api:
        path = project_path(api, generation, "/environment")
        found = api.call("POST", f"{path}/import", body=body, params=layer_params(preset)).json()
        if as_json:
            print_json(found)
        else:
            for heading in ("added", "changed", "same"):
                for name in found[heading]:
                    show(f"{heading:8} {name}{' (secret)' if name in found['secrets'] else ''}")
        if dry_run:
            say("nothing was changed: --dry-run")
        else:
            apply_now(api, generation, path, restart=restart)


@app.command()
def export(
    generation: GenerationArgument,
    preset: PresetOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Print the variables as a .env file; for secrets only the names, as comments.

    Example: preview env export GEN > shop.env
    """
    with open_api(url, ca) as api:
        layer = _layer(api.get_json(project_path(api, generation, "/environment")), preset)
    for one in layer["variables"]:
        show(f"# {one['name']} is a secret" if one["secret"] else env_line(one["name"], one["value"]))


@app.command()
def flag(
    generation: GenerationArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A variable whose value is true or false, 1 or 0, …")],
    state: Annotated[str | None, typer.Argument(metavar="[on|off]", help="Default: toggle.")] = None,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Turn a feature flag on or off, and restart the running preview with it.

    Example: preview env flag GEN NEW_CHECKOUT on
    """
    wanted = None if state is None else state.lower() in _ON
    if state is not None and state.lower() not in (*_ON, *_OFF):
        raise UsageMistake(f"{quoted(state)} is not a state of a flag; use on or off.")
    with open_api(url, ca) as api:
        path = project_path(api, generation, "/environment")
        found = api.get_json(path)
        preset, one = _find(found, name)
        if one is None or one["flag"] is None:
            raise CommandFailed(
                f"{quoted(name)} is not a flag; `preview env set {generation} {name}=true` makes it one."
            )
        if one["flag"] is wanted:
            say(f"{name} is already {one['value']}")
            return
        api.call("PATCH", path, body={"set": {name: one["toggled"]}}, params=layer_params(preset))
        show(f"{name}={one['toggled']}")
        apply_now(api, generation, path, restart=True)


@app.command()
def start(
    generation: GenerationArgument,
    entry: AppOption = None,
    command: CommandOption = None,
    framework: Annotated[
        str | None, typer.Option("--framework", metavar="NAME", help="The framework instead of the detected one.")
    ] = None,
    network: Annotated[Network | None, typer.Option("--network", help="Network access of the preview.")] = None,
    memory: Annotated[
        int | None, typer.Option("--memory", metavar="MB", min=0, help="Memory limit in MiB; 0: the service's own.")
    ] = None,
    trace: TraceOption = None,
    on_crash: OnCrashOption = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all start options first.")] = False,
    preset: PresetOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or set how the project starts: entry point, framework, network, memory, traces, crashes.

    Example: preview env start GEN --app main:app --memory 512
    """
    if entry is not None and command is not None:
        raise UsageMistake("Use --app or --command, not both: a command runs its own server.")
    given: dict[str, object] = {
        "app": entry,
        "command": command,
        "framework": framework,
        "network": network and str(network),
        "trace": trace,
        "on_crash": on_crash and str(on_crash),
    }
    changes = {key: value for key, value in given.items() if value is not None}
    with open_api(url, ca) as api:
        path = project_path(api, generation, "/environment")
        layer = _layer(api.get_json(path), preset)
        if clear or changes or memory is not None:
            kept = {} if clear else dict(layer["start"])
            for one, other in (("app", "command"), ("command", "app")):
                if one in changes:
                    kept.pop(other, None)
            body: dict[str, Any] = {"start": {**kept, **changes}}
            if memory is not None or clear:
                body["memory_mb"] = memory or 0
            layer = _layer(api.call("PATCH", path, body=body, params=layer_params(preset)).json(), preset)
            apply_now(api, generation, path, restart=False)
    if as_json:
        print_json({"start": layer["start"], "memory_mb": layer["memory_mb"]})
        return
    for key, value in _options(layer).items():
        show(visible(f"{key:10} {value}"))
    if not _options(layer):
        say("No option is set: detection and preview.toml decide.")


def _layer(found: dict[str, Any], preset: str | None) -> dict[str, Any]:
    layers: dict[str | None, dict[str, Any]] = {None: found["settings"]}
    layers |= {one["name"]: one for one in found["presets"]}
    if preset not in layers:
        names = ", ".join(quoted(name) for name in layers if name is not None) or "it has none"
        raise CommandFailed(f"The project has no preset {quoted(preset or '')} ({names}).")
    return layers[preset]


def _active_layers(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    active = [("preset", one) for one in found["presets"] if one["active"]]
    return [("project", found["settings"]), *active]


def _find(found: dict[str, Any], name: str) -> tuple[str | None, dict[str, Any] | None]:
    """Return the variable that applies, and the preset that it is in."""
    for kind, layer in reversed(_active_layers(found)):
        for one in layer["variables"]:
            if one["name"] == name:
                return (layer["name"] if kind == "preset" else None), one
    return None, None


def _options(layer: dict[str, Any]) -> dict[str, object]:
    options = {key: " ".join(value) if isinstance(value, list) else value for key, value in layer["start"].items()}
    return options | ({} if layer["memory_mb"] is None else {"memory_mb": layer["memory_mb"]})


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageMistake(f"{quoted(text)} is not a variable; write NAME=VALUE.")
    if value == HIDDEN:
        raise UsageMistake(f"{name}={HIDDEN} is how a secret is shown; `--secret {name}` sets its value.")
    return name, value


def _read_secret(name: str, *, alone: bool) -> str:
    if sys.stdin.isatty():
        value = getpass(f"{name}: ")
    elif alone:
        value = sys.stdin.read(_MOST_TEXT).removesuffix("\n")
    else:
        raise UsageMistake("Only one secret can be read from standard input; use --secret once per command.")
    if not value:
        raise UsageMistake(f"The value of {name} is empty; `preview env unset` removes a secret.")
    return value


def _read_text(file: Path) -> str:
    try:
        if str(file) == "-":
            return sys.stdin.read(_MOST_TEXT + 1)
        with file.open(encoding="utf-8-sig") as opened:
            return opened.read(_MOST_TEXT + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageMistake(f"{quoted(str(file))} cannot be read ({why}).") from error
