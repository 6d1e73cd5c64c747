"""``preview replay``: send recorded requests again, and show what differs from the recorded answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from preview.cli.client import generation_path, open_api
from preview.cli.commands.history.showing import split_version
from preview.cli.commands.understand.junit import Case, junit_report
from preview.cli.commands.understand.results import (
    TIMEOUT_S,
    FilterOption,
    IgnoreOption,
    JunitOption,
    SecretOption,
    difference_lines,
    print_verdicts,
    secrets_of,
    write_report,
)
from preview.cli.exits import ExitCode
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import print_json, progress, say

app = typer.Typer(add_completion=False)

_INCOMPLETE = "sent without a secret (secrets are not recorded; give it with --secret NAME=VALUE)"


@app.command(epilog="Example: preview replay GEN 3 4 --secret password=hunter2")
def replay(
    generation: GenerationArgument,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER", help="Numbers of recorded requests, in order.")
    ] = None,
    text: FilterOption = None,
    on: Annotated[
        Literal["preview", "trial", "auto"],
        typer.Option("--on", help="Where to send them; auto: a trial if a request may change data, else the preview."),
    ] = "auto",
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Send requests that may change data to the preview itself.")
    ] = False,
    secret: SecretOption = None,
    ignore: IgnoreOption = None,
    junit: JunitOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send recorded requests of a preview again, and show what differs from the recorded responses.

    Later requests get the tokens, cookies and ids of the new responses. A trial is a hidden preview with a copy of the
    data; GEN@7 replays on a trial with version 7 of the files. Exit code 1 if a response broke: it failed, and the
    recorded one did not.
    """
    generation, version = split_version(generation)
    body = {
        "version": version,
        "numbers": numbers or None,
        "filter": text,
        "on": on,
        "allow_changes": allow_changes,
        "secrets": secrets_of(secret),
        "ignore": ignore or [],
    }
    with open_api(url, ca) as api, progress("replaying…"):
        path = generation_path(generation, "/preview/replay")
        found: dict[str, Any] = api.call("POST", path, body=body, timeout_s=TIMEOUT_S).json()
    items = found["items"]
    write_report(junit, junit_report(f"replay of {generation}", [_case(one) for one in items]))
    if as_json:
        print_json(found)
    else:
        print_verdicts([(_word(one), _request(one), _remark(one)) for one in items])
        for one in items:
            for line in difference_lines(one["differences"]):
                say(f"{_request(one)}  {line}")
        if found["on"] == "trial":
            say("sent to a trial with a copy of the data")
    if any(one["verdict"] == "broke" for one in items):
        raise typer.Exit(ExitCode.FAILED)


def _word(one: dict[str, Any]) -> str:
    return "skipped" if one["skipped"] else str(one["verdict"] or "sent")


def _request(one: dict[str, Any]) -> str:
    number = "" if one["number"] is None else f"{one['number']} "
    return f"{number}{one['method']} {one['path']}"


def _remark(one: dict[str, Any]) -> str:
    if one["skipped"]:
        return str(one["skipped"])
    answer, recorded = one["answer"], one["recorded"]
    before = f"{recorded['status']} → " if recorded and recorded["status"] != answer["status"] else ""
    secret = f", {_INCOMPLETE}" if one["lacks_secrets"] else ""
    return f"{before}{answer['error'] or answer['status']} in {answer['elapsed_ms']:.0f} ms{secret}"


def _case(one: dict[str, Any]) -> Case:
    elapsed_ms = one["answer"]["elapsed_ms"] if one["answer"] else 0.0
    failure = "\n".join([_remark(one), *difference_lines(one["differences"])]) if one["verdict"] == "broke" else None
    return Case(_request(one), elapsed_ms, failure, one["skipped"])
