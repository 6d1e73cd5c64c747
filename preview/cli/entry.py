"""The program ``preview``: load the command's module, run it, and turn errors into a sentence and an exit code.

Only the called command's module is imported. Importing the whole service takes longer than most commands need, and
``preview --version`` must respond at once.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from preview.cli.exits import ApiRefused, CommandFailed, ExitCode, exit_code_of
from preview.cli.help import HELP_NAMES, polish
from preview.core.capabilities import give_up_capabilities
from preview.core.quoting import visible
from preview.errors import PreviewError


@dataclass(frozen=True, slots=True)
class Entry:
    """A command in the overview.

    Attributes:
        module: Module below ``preview.cli.commands`` that contains ``app``.
        summary: The first line of the command's own help.
        panel: Heading in the overview.
    """

    module: str
    summary: str
    panel: str


_MAIN = "Start"
_CLIENT = "Work with a running service"
_DATA = "Data of a preview"
_UNDERSTAND = "Understand a preview"
_CARE = "Maintenance"
# Ways to a Linux kernel on other systems, by ``sys.platform``. Only the client commands need none.
_LINUX_HERE = {"darwin": "a container or a Lima machine", "win32": "WSL 2 or a container"}

COMMANDS: dict[str, Entry] = {
    "run": Entry("run", "Launch a folder's backend and watch it until Ctrl-C.", _MAIN),
    "serve": Entry("serve", "Run the service until SIGTERM or Ctrl-C.", _MAIN),
    "detect": Entry("detect", "Show how a folder's backend would be started, and why.", _MAIN),
    "endpoints": Entry("endpoints", "List the endpoints of a folder's backend.", _MAIN),
    "push": Entry("files.push", "Upload a folder, or import a GitHub repository, as a new generation.", _CLIENT),
    "pull": Entry("files.pull", "Write a generation's files into a folder.", _CLIENT),
    "sync": Entry("files.sync", "Replace a generation's files, and reload its preview.", _CLIENT),
    "versions": Entry(
        "history.versions", "List the versions of a generation's files, show what differs, and roll back.", _CLIENT
    ),
    "launches": Entry(
        "history.launches", "List the launches of a generation with their results, and compare two.", _CLIENT
    ),
    "launch": Entry("launch", "Launch a generation's preview.", _CLIENT),
    "logs": Entry("logs", "Show what a generation's preview printed.", _CLIENT),
    "request": Entry("request", "Send one request to a running preview.", _CLIENT),
    "ws": Entry("ws", "Talk to a WebSocket of a running preview.", _CLIENT),
    "open": Entry("open", "Open a generation's preview in the browser.", _CLIENT),
    "share": Entry(
        "people.share",
        "Share a generation's preview: create a link that opens it for anyone who has the link.",
        _CLIENT,
    ),
    "restart": Entry("restart", "Start a generation's preview again.", _CLIENT),
    "stop": Entry("stop", "Stop a generation's preview.", _CLIENT),
    "services": Entry("services", "List a preview's backing services.", _CLIENT),
    "ls": Entry("projects.ls", "List your previews, newest first.", _CLIENT),
    "projects": Entry("projects.projects", "List your projects with their generations, newest first.", _CLIENT),
    "rename": Entry("projects.rename", "Give a generation another name, or put it in a group.", _CLIENT),
    "rm": Entry("projects.rm", "Remove a generation with its files, previews and logs.", _CLIENT),
    "audit": Entry(
        "people.audit",
        "List what you did, and what others did with your previews; operators can see all entries.",
        _CLIENT,
    ),
    "undo": Entry(
        "projects.undo",
        "Restore a generation that `preview rm` has removed; without GEN, list those that can be restored.",
        _CLIENT,
    ),
    "env": Entry("environment.env", "Set variables, secrets, presets and start options of a project.", _CLIENT),
    "data": Entry(
        "data.tables",
        "Show the databases of a running preview (PostgreSQL, MySQL, SQLite files), or the rows of one table.",
        _DATA,
    ),
    "sql": Entry("data.sql", "Execute one SQL statement in a running preview's database; it can only read.", _DATA),
    "snapshot": Entry(
        "data.snapshot", "Save what a preview has stored, in files and databases, and restore it.", _DATA
    ),
    "fork": Entry(
        "data.fork", "Create a new generation with the same files, whose previews start from this one's data.", _DATA
    ),
    "reset": Entry("data.reset", "Reset a running preview's data to that of a fresh launch.", _DATA),
    "requests": Entry(
        "understand.requests", "Show the requests that a preview received, or one of them in full.", _UNDERSTAND
    ),
    "trace": Entry(
        "history.trace",
        "Show where requests spend their time: SQL statements, outgoing requests, caches; and why they are slow.",
        _UNDERSTAND,
    ),
    "profile": Entry(
        "history.profile", "Measure which functions of a running preview take the most time.", _UNDERSTAND
    ),
    "replay": Entry(
        "understand.replay",
        "Send recorded requests of a preview again, and show what differs from the recorded responses.",
        _UNDERSTAND,
    ),
    "compare": Entry(
        "understand.compare",
        "Send the same requests to two versions, on hidden copies with the same data, and show what differs.",
        _UNDERSTAND,
    ),
    "check": Entry(
        "understand.check", "Run the checks in preview.checks.toml, of a folder or a generation.", _UNDERSTAND
    ),
    "alerts": Entry("understand.alerts", "Watch previews with rules: firings, webhooks, tests.", _UNDERSTAND),
    "failures": Entry(
        "understand.failures",
        "List the failures of requests to a preview: one record for each cause, newest first.",
        _UNDERSTAND,
    ),
    "metrics": Entry(
        "understand.metrics",
        "Show calls, errors and latencies of a launch by endpoint, and its bottlenecks.",
        _UNDERSTAND,
    ),
    "why": Entry(
        "understand.why",
        "Explain why a preview failed, or why requests to it fail: the cause, and what to do.",
        _UNDERSTAND,
    ),
    "probe": Entry(
        "understand.probe",
        "Find requests that a backend handles wrongly, on a trial preview with a copy of the data.",
        _UNDERSTAND,
    ),
    "mcp": Entry(
        "mcp",
        "Offer your previews to an AI agent as tools (Model Context Protocol), over stdin and stdout.",
        _UNDERSTAND,
    ),
    "comments": Entry("people.comments", "Show the comments on a preview, oldest first, or write one.", _UNDERSTAND),
    "tokens": Entry("people.tokens", "Create, list and revoke API tokens, for programs.", _CLIENT),
    "events": Entry(
        "people.events", "Watch for changes until Ctrl-C: in previews, projects, people and comments.", _CLIENT
    ),
    "usage": Entry("people.usage", "Show your limits, and how much of them you use.", _CLIENT),
    "rollout": Entry(
        "people.rollout",
        "Try isolation levels, start modes and capabilities with some users first, or stop launches; for operators.",
        _CLIENT,
    ),
    "nodes": Entry(
        "people.nodes",
        "List, drain and resume the nodes of a cluster; for operators.",
        _CLIENT,
    ),
    "templates": Entry(
        "people.templates",
        "List, drop and rebuild templates, which new Python previews are forked from; for operators.",
        _CLIENT,
    ),
    "invite": Entry("people.invite", "Create, list and revoke invitation links; for operators.", _CLIENT),
    "token": Entry("upkeep.token", "Issue a token for the API.", _CARE),
    "db": Entry("upkeep.db", "Upgrade or downgrade the service's database.", _CARE),
    "backup": Entry(
        "upkeep.backup",
        "Save the service's database, keys, unsaved log lines and data snapshots in one new file.",
        _CARE,
    ),
    "restore": Entry("upkeep.restore", "Restore a backup into an empty data folder, and an empty database.", _CARE),
    "deploy": Entry("upkeep.deploy", "Put the service on a server.", _CARE),
    "doctor": Entry("upkeep.doctor", "Check what this machine offers, and say what to do.", _CARE),
}


class LazyGroup(TyperGroup):
    """Commands from ``COMMANDS``, imported when called. The overview imports none of them."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002  the base class passes it
        """Return the names in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> Any:  # noqa: ARG002  the base class passes it
        """Import and return the command; None for an unknown name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if sys.platform != "linux" and entry.panel not in (_CLIENT, _DATA, _UNDERSTAND):
            return _elsewhere(cmd_name, entry)
        command = get_command(importlib.import_module(f"preview.cli.commands.{entry.module}").app)
        command.name = cmd_name
        return polish(command)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:  # noqa: ARG002  the base class passes it
        """Complete the names of commands from ``COMMANDS`` alone."""
        overview = self._overview()
        return overview.shell_complete(typer.Context(overview), incomplete)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Resolve like the base class, which suggests names from ``self.commands``."""
        self.commands = {name: _stub(name, entry) for name, entry in COMMANDS.items()}
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the overview from ``COMMANDS`` alone."""
        self._overview().format_help(ctx, formatter)

    def _overview(self) -> _Overview:
        overview = _Overview(
            name=self.name, params=self.params, help=self.help, epilog=self.epilog, rich_markup_mode="rich"
        )
        overview.commands = {name: _stub(name, entry) for name, entry in COMMANDS.items()}
        return polish(overview)


class _Overview(TyperGroup):
    """The same group with stubs, in the order of ``COMMANDS``."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002  the base class passes it
        return list(self.commands)


def _stub(name: str, entry: Entry) -> TyperCommand:
    return TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel)


def _elsewhere(name: str, entry: Entry) -> Any:
    """Return a command that says how to run the service beside another system."""

    def refuse() -> None:
        raise CommandFailed(
            f"`preview {name}` needs Linux: run the service in {_LINUX_HERE.get(sys.platform, 'a container')} "
            "(docs/other-systems.md), and set PREVIEW_URL and PREVIEW_TOKEN so that the client commands find it."
        )

    stub = typer.Typer(add_completion=False)
    takes_anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    stub.command(name, help=entry.summary, context_settings=takes_anything)(refuse)
    return get_command(stub)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": HELP_NAMES},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"preview {version('preview')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _preview(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Launch generated backends in isolation, watch every line they print, call them, and leave nothing behind."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Errors are printed on stderr, one sentence each."""
    try:
        result = polish(get_command(app)).main(list(arguments), prog_name="preview", standalone_mode=False)
    except PreviewError as error:
        return _say_error(error, error.message, exit_code_of(error))
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except TyperException as error:
        return _say_error(error, _usage_message(error), ExitCode.USAGE)
    return result if isinstance(result, int) else ExitCode.OK


def main() -> None:
    """Run the console script. Never returns: ends the process with the command's exit code."""
    try:
        # These commands run untrusted code. Others may need capabilities: `doctor --fix` installs packages.
        if sys.platform == "linux" and sys.argv[1:2] in (["serve"], ["run"]):
            give_up_capabilities()
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except OSError as error:
        # Python flushes stdout once more at exit, so replace it by /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A broken pipe (``| head``) is not an error; other errors are printed.
        about = f" ({error.filename})" if error.filename else ""
        said = "" if isinstance(error, BrokenPipeError) else f"Cannot continue: {error.strerror or error}{about}."
        code = _say_error(error, said, ExitCode.FAILED)
    sys.exit(code)


def _usage_message(error: TyperException) -> str:
    """Return a usage error of Typer as one sentence; empty if Typer has printed the help instead."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "preview"
    said = error.format_message().rstrip(".")
    return f"{said} (see `{path} --help`)" if said else ""


def _say_error(error: Exception, message: str, code: ExitCode) -> ExitCode:
    if os.environ.get("PREVIEW_DEBUG") == "1":
        print(visible("".join(traceback.format_exception(error))), file=sys.stderr)
    mark = "\x1b[31mpreview:\x1b[0m" if _red() else "preview:"
    if message:
        print(f"{mark} {visible(message)}", file=sys.stderr)
    if isinstance(error, ApiRefused) and error.mark:
        print(error.mark, file=sys.stderr)
    return code


def _red() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
