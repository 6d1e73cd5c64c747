"""Shared parts of the commands for launch settings: the project of a generation, the restart, masks of secrets."""

from __future__ import annotations

import shlex
from typing import Annotated, Any
from urllib.parse import quote

import typer

from preview.cli.client import Api, generation_path
from preview.cli.commands.launch import start_preview
from preview.cli.terminal import progress, say

HIDDEN = "••••"

PresetOption = Annotated[
    str | None,
    typer.Option("--preset", metavar="PRESET", help="Change this preset instead of the project's own settings."),
]
RestartOption = Annotated[
    bool, typer.Option("--restart", help="Restart the generation's running preview, so that it applies at once.")
]
# For a restart with new settings, which may run builds again.
_TIMEOUT_S = 660.0


def project_path(api: Api, generation: str, rest: str) -> str:
    """Return a path of the generation's project, below ``/api/v1``."""
    project = api.get_json(generation_path(generation))["project_id"]
    return f"/projects/{quote(project, safe='')}{rest}"


def layer_params(preset: str | None) -> dict[str, str | int]:
    """Return the query that names a preset."""
    return {} if preset is None else {"preset": preset}


def apply_now(api: Api, generation: str, path: str, *, restart: bool) -> None:
    """Restart the generation's running preview, or say when saved settings apply."""
    running = [one for one in api.get_json(path)["running"] if one["generation_id"] == generation]
    if not running:
        say("saved; applies at the next launch")
    elif not restart:
        say(f"saved; `preview restart {generation}` applies it to the running preview")
    else:
        with progress("restarting…"):
            start_preview(api, generation, "restart", wait_s=None, timeout_s=_TIMEOUT_S)
        say("saved; the preview was restarted with it")


def shown_value(one: dict[str, Any]) -> str:
    """Return a variable's value for people; a mask for a secret."""
    return HIDDEN if one["secret"] else str(one["value"])


def env_line(name: str, value: str) -> str:
    """Return a line of a ``.env`` file that both shells and ``preview env import`` read."""
    if "\n" in value or "'" in value:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{name}="{escaped}"'
    return f"{name}={shlex.quote(value) if value else ''}"
