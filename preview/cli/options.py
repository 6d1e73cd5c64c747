"""Options that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["GenerationArgument", "JsonOption", "UrlOption"]

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The service's address (or PREVIEW_URL, with PREVIEW_TOKEN); without it, the one running on this machine.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for a program instead of text for a person.")]
GenerationArgument = Annotated[
    str, typer.Argument(metavar="GEN", help="The generation's id, as `preview push` says it.")
]
