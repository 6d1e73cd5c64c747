"""Options and arguments that several commands share, with the same names, help and checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preview.cli.exits import UsageMistake
from preview.cli.help import complete_generation
from preview.cli.terminal import say
from preview.core.env_file import EnvFile
from preview.core.lifecycle import OnCrash
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
TraceOption = Annotated[
    bool | None,
    typer.Option("--trace/--no-trace", help="Trace where requests spend their time: see `preview trace`."),
]
OnCrashOption = Annotated[
    OnCrash | None,
    typer.Option("--on-crash", help="When the running process ends with an error: fail, or start it again."),
]
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

SourceArgument = Annotated[
    str, typer.Argument(metavar="DIR|URL", help="The backend's folder, or the address of a public GitHub repository.")
]


def is_address(source: str) -> bool:
    """Return True for the address of a repository, False for a folder."""
    return source.startswith(("https://", "http://"))


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


def settings_line(file: EnvFile | None) -> str | None:
    """Return the settings file and the names that it sets; None without any. Values may be secrets."""
    names = [variable_of(name) for name in settings_in(file)]
    return f"{file} ({', '.join(names)})" if names else None


def warn_of_skipped(file: EnvFile | None) -> None:
    """Print on stderr that the settings file was not read, and why."""
    if file is not None and file.skipped is not None:
        say(f"preview: the settings file {file} is not read: {file.skipped}")
