"""``preview doctor``: what this machine offers."""

from __future__ import annotations

import sys

import typer

from preview.cli.checks import Check, Result, run_checks
from preview.cli.exits import ExitCode
from preview.cli.options import JsonOption
from preview.cli.terminal import paint, print_json, progress, wants_colour
from preview.settings import load_settings

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_STYLES = {Result.OK: "32", Result.WARN: "33", Result.FAIL: "31"}


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Check what this machine offers, and say what to do.

    Exits with 1 if something is missing without which no preview can run.
    """
    settings = load_settings()
    with progress("looking…"):
        checks = list(run_checks(settings))
    failed = any(check.result is Result.FAIL for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [_as_dict(check) for check in checks]})
    else:
        for check in checks:
            print(_text(check, colour=wants_colour(sys.stdout)))
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _as_dict(check: Check) -> dict[str, str]:
    return {"name": check.name, "result": check.result, "found": check.found, "advice": check.advice}


def _text(check: Check, *, colour: bool) -> str:
    mark = f"{check.result:<4}"
    line = f"{paint(mark, _STYLES[check.result]) if colour else mark}  {check.name:<16}  {check.found}"
    if not check.advice:
        return line
    advice = f"-> {check.advice}"
    return f"{line}\n{'':<24}{paint(advice, '2') if colour else advice}"
