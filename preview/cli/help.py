"""Help texts of the commands, and completion of generations' ids in a shell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from preview.core.quoting import visible

# Seconds that a completion may wait for the service; a person waits for the Tab key.
_COMPLETION_S = 2.0


_Command = TypeVar("_Command")
HELP_NAMES = ["-h", "--help"]


def polish(command: _Command) -> _Command:
    """Return the command with help whose paragraphs wrap, flags without a type, and arguments without braces.

    Also a group's commands.
    """
    if isinstance(command, TyperCommand | TyperGroup):
        command.help = _paragraphs(command.help)
        help_option = command.get_help_option(typer.Context(command, help_option_names=HELP_NAMES))
        for parameter in (*command.params, help_option):
            if isinstance(parameter, TyperOption) and parameter.is_flag:
                # Typer shows flags as ``<bool>``, as if they took a value.
                parameter.metavar = ""
            elif isinstance(parameter, TyperArgument):
                parameter.get_usage_pieces = _usage_pieces(parameter)  # type: ignore[method-assign, assignment]  # no hook
    if isinstance(command, TyperGroup):
        for one in command.commands.values():
            polish(one)
    return command


def _usage_pieces(argument: TyperArgument) -> Callable[[Any], list[str]]:
    """Return a function that names the argument as all manuals do: Typer writes ``{GEN}`` for one that is required."""
    pieces = argument.get_usage_pieces
    return lambda context: [re.sub(r"^\{(.+)\}", r"\1", one) for one in pieces(context)]


def _paragraphs(text: str | None) -> str | None:
    """Join the lines of each paragraph: Rich wraps them again, at the terminal's width."""
    if text is None:
        return None
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def complete_generation(incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of the user's generations that begin like this, with their names.

    Returns nothing if no service runs, or if it does not answer in two seconds.
    """
    # Imported here: every command needs this module, and few command lines are completed.
    from preview.cli.client import open_api  # noqa: PLC0415
    from preview.errors import PreviewError  # noqa: PLC0415

    try:
        with open_api(None) as api:
            answer = api.call("GET", "/generations", timeout_s=_COMPLETION_S).json()
    except (PreviewError, OSError):
        return []
    found = [(one["id"], one.get("name") or "") for one in answer["generations"]]
    return [one for one in found if one[0].startswith(incomplete)]


def complete_saved(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Return the names of the generation's saved requests that begin like this, with their methods and paths.

    Returns nothing if no service runs, or if it does not answer in two seconds.
    """
    from preview.cli.client import generation_path, open_api  # noqa: PLC0415
    from preview.errors import PreviewError  # noqa: PLC0415

    generation = ctx.params.get("generation")
    if not isinstance(generation, str):
        return []
    try:
        with open_api(None) as api:
            path = generation_path(generation, "/preview/saved")
            items = api.call("GET", path, timeout_s=_COMPLETION_S).json()["items"]
    except (PreviewError, OSError):
        return []
    found = [(visible(one["name"]), visible(f"{one['method']} {one['path']}")) for one in items]
    return [one for one in found if one[0].lower().startswith(incomplete.lower())]
