"""``preview audit``: who did what, when, from where, and with what outcome; and the check of the trail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from preview.auth.audit.chain import ChainCheck
from preview.auth.audit.entry import AuditEntry, Head
from preview.auth.audit.export import cef_line, json_line
from preview.cli.client import open_api
from preview.cli.commands.projects.ls import collect
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(invoke_without_command=True, add_completion=False)

_MOST = 1_000_000
# Longer than any line of an export.
_LINE_BYTES = 64 * 1024


class _Format(StrEnum):
    TABLE = "table"
    JSONL = "jsonl"
    CEF = "cef"


@app.callback()
def audit(
    context: typer.Context,
    everyone: Annotated[bool, typer.Option("--all", help="Entries of all users; for operators.")] = False,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="USER", help="Changes made by this user, or to what this user owns; for operators."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MOST, help="Maximum number of entries.")
    ] = 50,
    form: Annotated[
        _Format, typer.Option("--format", help="`jsonl` and `cef` print one line for each entry, the oldest first.")
    ] = _Format.TABLE,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what you did, and what others did with your previews; operators can see all entries.

    Example: preview audit --all --limit 20
    """
    if context.invoked_subcommand is not None:
        return
    path = "/operator/audit" if everyone or user is not None else "/audit"
    chosen = {} if user is None else {"user_id": user}
    with open_api(url, ca) as api:
        found: list[dict[str, Any]] = collect(api, path, "items", limit, chosen)
    if as_json:
        print_json({"items": found})
    elif form is not _Format.TABLE:
        for entry in sorted(found, key=lambda one: int(one["seq"])):
            is_cef = form is _Format.CEF
            show(cef_line(entry, at_ms=entry["at_ms"], version=version("preview")) if is_cef else json_line(entry))
    elif not found:
        say("No entries yet.")
    else:
        _print(found)


def _print(found: list[dict[str, Any]]) -> None:
    table = listing("TIME", "USER", "ACTION", "SUBJECT", "OUTCOME", "FROM")
    for one in found:
        values = (one["at"][:19].replace("T", " "), one["user_id"], one["action"], one["subject"], one["outcome"])
        origin = " ".join(part for part in (one["via"], one["address"]) if part)
        table.add_row(*(Text(visible(value)) for value in (*values, origin)))
    table_console().print(table)


@app.command()
def verify(
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Check this export (`preview audit --all --format jsonl`) without the service."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", metavar="N:HASH", help="The trail's newest hash, from the service's log, to compare with."
        ),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the chain of the audit trail, and name the first entry that was changed, removed or moved; for operators.

    Example: preview audit verify
    """
    noted = _head(head)
    if file is not None:
        found = _check_file(file, noted)
    else:
        with open_api(url, ca) as api:
            found = api.get_json("/operator/audit/verify")
            if noted is not None and found["is_whole"]:
                found |= _compared(collect(api, "/operator/audit", "items", _MOST, {}), noted)
    if as_json:
        print_json(found)
    elif found["is_whole"]:
        say(f"The audit trail is intact: {found['entries']:,} entries, head {found['head']}.")
    else:
        say(f"The audit trail is not intact: {found['problem']}.")
    if not found["is_whole"]:
        raise typer.Exit(1)


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    try:
        return Head.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="--head") from error


def _compared(items: Iterable[dict[str, Any]], noted: Head) -> dict[str, Any]:
    return _result(_checked((AuditEntry.read(one) for one in sorted(items, key=lambda one: int(one["seq"]))), noted))


def _check_file(file: Path, noted: Head | None) -> dict[str, Any]:
    try:
        return _result(_checked(_entries(file), noted))
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}.", param_hint="--file") from error
    except ValueError as error:
        problem = f"{file} is not an export of `preview audit --all --format jsonl`: {error}."
        raise typer.BadParameter(problem, param_hint="--file") from error


def _entries(file: Path) -> Iterator[AuditEntry]:
    with file.open("rb") as lines:
        while line := lines.readline(_LINE_BYTES):
            yield AuditEntry.read(json.loads(line))


def _checked(entries: Iterator[AuditEntry], noted: Head | None) -> ChainCheck:
    first = next(entries, None)
    if first is None:
        check = ChainCheck(None, noted)
    else:
        # An export may begin in the middle: then its first entry is taken as it is.
        check = ChainCheck(None, noted) if first.seq <= 1 else ChainCheck.after(first, noted)
        check.feed([first] if first.seq <= 1 else [])
        check.feed(entries)
    check.finish()
    return check


def _result(check: ChainCheck) -> dict[str, Any]:
    fault = check.fault
    return {
        "is_whole": fault is None,
        "entries": check.count,
        "head": str(check.last),
        "wrong": None if fault is None else fault.seq,
        "problem": None if fault is None else fault.problem,
    }
