"""Options and arguments that several commands share, with the same names, help and checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from preview.cli.exits import UsageMistake
from preview.cli.help import complete_generation
from preview.cli.terminal import say
from preview.core.env_file import EnvFile
from preview.core.isolation import Network
from preview.core.quoting import quoted
from preview.detection import Overrides, overrides_from_request
from preview.errors import InvalidRequest
from preview.settings import settings_in, variable_of

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The service's address (or PREVIEW_URL, with PREVIEW_TOKEN); without it, the one running on this machine.",
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        help="CA certificate of the service, as a PEM file. Default: $PREVIEW_CA, else the machine's CAs.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Output JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", metavar="ID", help="As `preview data GEN` shows it. Default: the only one."),
]
NoScopeOption = Annotated[
    bool, typer.Option("--no-scope", help="Do not ask the user's systemd for control groups (a delegated scope).")
]
OneUserOption = Annotated[
    bool, typer.Option("--one-user", help="Do not give each preview a user of its own from /etc/subuid.")
]
GenerationArgument = Annotated[
    str,
    typer.Argument(
        metavar="GEN", help="The generation's id, as printed by `preview push`.", autocompletion=complete_generation
    ),
]
AppOption = Annotated[
    str | None,
    typer.Option("--app", metavar="MODULE:NAME", help="The application to start instead of the detected one."),
]
CommandOption = Annotated[
    str | None,
    typer.Option("--command", metavar="COMMAND", help="A command that serves on the port in PORT."),
]
EnvOption = Annotated[
    list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="A variable for the backend; may be repeated.")
]
DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The backend's folder.")]


def existing_folder(directory: Path) -> Path:
    """Return the folder as an absolute path.

    Raises:
        UsageMistake: The path does not exist, or is a file.
    """
    folder = directory.expanduser().resolve()
    if not folder.exists():
        raise UsageMistake(f"There is no folder {directory}.")
    if not folder.is_dir():
        raise UsageMistake(f"{directory} is a file; name the folder that holds the backend.")
    return folder


def start_body(
    app: str | None, command: str | None, env: Sequence[str] | None, network: Network | None = None
) -> dict[str, object]:
    """Return the options as the body of a launch request; empty if none was given.

    Raises:
        UsageMistake: An option is invalid; the message names it.
    """
    start = {
        name: str(value)
        for name, value in (("app", app), ("command", command), ("network", network))
        if value is not None
    }
    body: dict[str, object] = {"start": start} if start else {}
    if env:
        body["env"] = dict(_pair(one) for one in env)
    if app is not None and command is not None:
        raise UsageMistake("Use --app or --command, not both: a command runs its own server.")
    overrides = _read(body)
    return body if not overrides.is_empty else {}


def overrides_from_options(
    app: str | None, command: str | None, env: Sequence[str] | None, network: Network | None = None
) -> Overrides | None:
    """Return the options as overrides, or None if none was given.

    Raises:
        UsageMistake: See ``start_body``.
    """
    body = start_body(app, command, env, network)
    return _read(body) if body else None


def _read(body: dict[str, object]) -> Overrides:
    try:
        return overrides_from_request(body)
    except InvalidRequest as error:
        said = error.message.removeprefix("The launch request: ")
        for key, option in (('"start.app"', "--app"), ('"start.command"', "--command"), ('"env.', '--env "')):
            said = said.replace(key, option)
        raise UsageMistake(said) from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageMistake(f"{quoted(text)} is not a variable; write it as --env NAME=VALUE.")
    return name, value


def settings_line(file: EnvFile | None) -> str | None:
    """Return the settings file and the names that it sets; None without any. Values may be secrets."""
    names = [variable_of(name) for name in settings_in(file)]
    return f"{file} ({', '.join(names)})" if names else None


def warn_of_skipped(file: EnvFile | None) -> None:
    """Print on stderr that the settings file was not read, and why."""
    if file is not None and file.skipped is not None:
        say(f"preview: the settings file {file} is not read: {file.skipped}")
