"""Options and arguments that several commands share, so that they are called, explained and checked alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preview.cli.exits import UsageMistake

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
        help="Who has signed the service's certificate, as PEM (or PREVIEW_CA); without it, whom the machine trusts.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for a program instead of text for a person.")]
GenerationArgument = Annotated[
    str, typer.Argument(metavar="GEN", help="The generation's id, as `preview push` says it.")
]
AppOption = Annotated[
    str | None, typer.Option("--app", metavar="MODULE:NAME", help="The application to start, instead of what is found.")
]
CommandOption = Annotated[
    str | None,
    typer.Option("--command", metavar="COMMAND", help="A command that serves by itself, at the port in PORT."),
]
EnvOption = Annotated[
    list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="A variable for the backend; may be repeated.")
]
DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The backend's folder.")]


def existing_folder(directory: Path) -> Path:
    """The folder, absolute.

    Raises:
        UsageMistake: There is none.
    """
    folder = directory.expanduser().resolve()
    if not folder.exists():
        raise UsageMistake(f"There is no folder {directory}.")
    if not folder.is_dir():
        raise UsageMistake(f"{directory} is a file; name the folder that holds the backend.")
    return folder
