"""``preview mcp``: tools for an AI agent, over stdio; and the configuration of the agent's client."""

from __future__ import annotations

import importlib
import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import trio
import typer

from preview.agents import configuration
from preview.agents.configuration import CLIENTS, AgentClient, ConfigurationUnusable
from preview.cli.agents import agent_client, token_for
from preview.cli.commands.data.showing import ask
from preview.cli.data_folder import write_private
from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.options import CaOption, UrlOption, YesOption
from preview.cli.terminal import say, show
from preview.core.key_file import make_private_folder

app = typer.Typer(invoke_without_command=True, add_completion=False)

_NO_SDK = "`preview mcp` needs the package for agents; install it: pip install 'preview[mcp]'."
_ClientName = StrEnum("_ClientName", {name.upper().replace("-", "_"): name for name in CLIENTS})  # type: ignore[misc]  # of the table


@app.callback()
def mcp(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="FOLDER", help="Folder that the agent may upload. Default: the current one."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="File with the token (mode 0600), else PREVIEW_TOKEN."),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Offer your previews to an AI agent as tools (Model Context Protocol), over stdin and stdout.

    An agent's client starts it; `preview mcp init` writes the client's configuration. Example: preview mcp init claude
    """
    if context.invoked_subcommand is not None:
        return
    if token_file is not None:
        try:
            os.environ["PREVIEW_TOKEN"] = configuration.read_token(token_file)
        except ConfigurationUnusable as error:
            raise UsageMistake(str(error)) from error
    try:
        serving: Any = importlib.import_module("preview.agents.serving")
        connection: Any = importlib.import_module("preview.agents.connection")
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise CommandFailed(_NO_SDK) from error

    folder = _root(root)

    async def run() -> None:
        async with agent_client(url, ca) as client:
            await serving.serve_stdio(connection.Connection(client, folder))

    trio.run(run)


@app.command()
def init(
    client: Annotated[_ClientName, typer.Argument(metavar="CLIENT", help=f"One of {', '.join(CLIENTS)}.")],
    undo: Annotated[bool, typer.Option("--undo", help="Restore the previous version of the file.")] = False,
    yes: YesOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
) -> None:
    """Show what an AI client needs to start `preview mcp`, and write it into the client's configuration.

    The rest of the file is left alone, and a backup is made. A token is never written there: one from PREVIEW_TOKEN
    goes into a file that only you can read. Example: preview mcp init cursor
    """
    chosen = CLIENTS[str(client.value)]
    project = Path.cwd()
    file = chosen.file(project, Path.home())
    try:
        if undo:
            _undo(file, chosen)
            return
        token_file, token = token_for(url)
        named = url or os.environ.get("PREVIEW_URL")
        authority = None if ca is None else ca.resolve()
        entry = configuration.entry_for(chosen, project, url=named, token_file=token_file, ca=authority)
        content = configuration.with_entry(file, chosen, entry)
        show(f"{chosen.about}, {file}:")
        show(json.dumps({chosen.key: {configuration.NAME: entry}}, indent=2))
        if content is None:
            say("The file already has this.")
            return
        ask(f"Write this into {file}?", is_agreed=yes)
        if token_file is not None and token is not None:
            make_private_folder(token_file.parent)
            write_private(token_file, token)
        backup = configuration.write(file, content)
    except ConfigurationUnusable as error:
        raise CommandFailed(str(error)) from error
    kept = f"; the previous version is in {backup.name}" if backup is not None else ""
    say(f"Written{kept}. Restart {chosen.about} to see the tools.")


def _undo(file: Path, client: AgentClient) -> None:
    if not configuration.undo(file, client):
        raise CommandFailed(f"There is no backup of {file}; remove the entry `preview` by hand.")
    say(f"{file} was restored.")


def _root(given: Path | None) -> Path:
    """Return the folder that the agent may upload.

    Raises:
        UsageMistake: It is missing, or is the whole machine or home folder and was not named.
    """
    folder = (given or Path.cwd()).resolve()
    if not folder.is_dir():
        raise UsageMistake(f"The folder {folder} does not exist; give the project's folder with --root.")
    if given is None and folder in (Path(folder.anchor), Path.home().resolve()):
        raise UsageMistake(f"An agent may not upload all of {folder}; name the project's folder with --root FOLDER.")
    return folder
