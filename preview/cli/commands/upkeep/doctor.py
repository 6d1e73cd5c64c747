"""``preview doctor``: check this machine."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from preview.cli.doctor.bundle import write_bundle
from preview.cli.doctor.checks import run_checks
from preview.cli.doctor.installing import find_missing, install_commands
from preview.cli.doctor.result import Check, Result
from preview.cli.exits import CommandFailed, ExitCode, UsageMistake
from preview.cli.options import JsonOption
from preview.cli.terminal import paint, print_json, progress, say, show, wants_colour
from preview.settings import load_settings

app = typer.Typer(add_completion=False)

_LEAST_COLUMNS, _MOST_COLUMNS = 60, 120
_STYLES = {Result.OK: "32", Result.WARN: "33", Result.FAIL: "31"}


@app.command()
def doctor(
    as_json: JsonOption = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Install missing programs after confirmation, then check.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: do not ask.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE",
            help="Also write a file for support: versions, settings, log.",
        ),
    ] = None,
) -> None:
    """Check what this machine offers, and say what to do.

    Exits with 1 if something is missing that every preview needs.

    Example: preview doctor --fix
    """
    if fix:
        _fix(asks=not yes)
    settings = load_settings()
    with progress("looking…"):
        checks = list(run_checks(settings))
    failed = any(check.result is Result.FAIL for check in checks)
    if bundle is not None:
        say(f"preview: {write_bundle(bundle, settings, checks)} was written; review it before you share it")
    if as_json:
        print_json({"ok": not failed, "checks": [_as_dict(check) for check in checks]})
    else:
        _print(checks, colour=wants_colour(sys.stdout))
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _fix(*, asks: bool) -> None:
    """Install the missing packages.

    Raises:
        UsageMistake: A confirmation is needed, but there is no terminal.
        CommandFailed: The distribution is unknown, or its installer has failed.
    """
    missing = find_missing()
    if not missing:
        say("preview: all packages that previews need are installed")
        return
    commands = install_commands(missing)
    if commands is None:
        raise CommandFailed(f"This machine's package manager is unknown; install {', '.join(missing)} yourself.")
    say(f"preview: missing: {', '.join(missing)}. To install:")
    for command in commands:
        say(f"    {shlex.join(command)}")
    if asks:
        if not sys.stdin.isatty():
            raise UsageMistake("Cannot ask without a terminal; run it again with --yes to install these packages.")
        if not typer.confirm("Run this?", err=True):
            raise typer.Exit(ExitCode.FAILED)
    for command in commands:
        _install(command)


def _install(command: Sequence[str]) -> None:
    try:
        # The installer's output must not mix with the result, which may be JSON.
        code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    except OSError as error:
        raise CommandFailed(f"{command[0]} cannot be run: {error.strerror or error}.") from error
    if code != 0:
        raise CommandFailed(f"{shlex.join(command)} ended with status {code}; its output is above.")


def _as_dict(check: Check) -> dict[str, str]:
    fields = {"name": check.name, "result": check.result, "found": check.found, "advice": check.advice}
    return {**fields, "section": check.section}


def _print(checks: Sequence[Check], *, colour: bool) -> None:
    width = max(len(check.name) for check in checks)
    section = ""
    for check in checks:
        if check.section != section:
            print(("\n" if section else "") + (paint(check.section, "1") if colour else check.section))
            section = check.section
        show(_text(check, width, colour=colour))


def _text(check: Check, width: int, *, colour: bool) -> str:
    """Return the check's line and its advice, folded to the terminal's width."""
    mark = f"{check.result:<4}"
    indent = len(f"{mark}  {'':<{width}}  ")
    found = _folded(check.found, indent)
    line = f"{paint(mark, _STYLES[check.result]) if colour else mark}  {check.name:<{width}}  {found}"
    if not check.advice:
        return line
    advice = _folded(f"-> {check.advice}", indent + 3)
    # Paint each line separately: some pagers end colours at a line's end.
    shown = "\n".join(paint(part, "2") if colour else part for part in advice.split("\n"))
    return f"{line}\n{'':<{indent}}{shown}"


def _folded(text: str, indent: int) -> str:
    """Wrap the text at words in a terminal; in a pipe, a line stays one line."""
    if not sys.stdout.isatty():
        return text
    columns = max(_LEAST_COLUMNS, min(_MOST_COLUMNS, shutil.get_terminal_size().columns))
    return textwrap.fill(
        text, columns, initial_indent=" " * indent, subsequent_indent=" " * indent, break_long_words=False
    ).lstrip()
