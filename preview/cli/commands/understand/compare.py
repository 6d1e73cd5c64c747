"""``preview compare``: send the same requests to two versions and show what differs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preview.cli.client import Api, generation_path, open_api
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
from preview.cli.exits import ExitCode, UsageMistake
from preview.cli.options import CaOption, EnvOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.overrides import start_body
from preview.cli.terminal import print_json, progress, say, show

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: preview compare GEN_A GEN_B --ignore '$.generated_at' --junit report.xml")
def compare(
    generation: GenerationArgument,
    candidate: Annotated[
        str | None,
        typer.Argument(
            metavar="GEN_B", help="The generation to compare with; GEN@7: its version 7. Default: the same."
        ),
    ] = None,
    text: FilterOption = None,
    number: Annotated[
        list[int] | None, typer.Option("--number", metavar="N", help="Number of a recorded request; may be repeated.")
    ] = None,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="ID", help="Data for both. Default: the running preview's.")
    ] = None,
    env: EnvOption = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="A", help="Preset of the first. Default: the active one.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="B", help="Preset of the second; - for none.")
    ] = None,
    secret: SecretOption = None,
    ignore: IgnoreOption = None,
    save: Annotated[bool, typer.Option("--save", help="Save the ignored paths next to the first one's code.")] = False,
    junit: JunitOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the same requests to two versions, on hidden copies with the same data, and show what differs.

    Either side may be a version of a generation's files: `preview compare GEN@6 GEN` compares with version 6. The first
    side gets the requests twice: differences between the two runs are noise, and ignored. --env sets variables of
    the second version; --against gives it a preset of the project's settings. The requests are those that the first
    one's preview has recorded. Exit code 1 if an endpoint fails in the second version only.
    """
    generation, version = split_version(generation)
    if candidate is None and against is None and not env and version is None:
        raise UsageMistake("Name a second version: GEN_B, GEN@7, --against PRESET, or --env NAME=VALUE.")
    other, other_version = (None, None) if candidate is None else split_version(candidate)
    body = {
        "a": {"snapshot": snapshot, "preset": _preset(preset), "version": version},
        "b": {
            "generation": other,
            "version": other_version,
            "preset": _preset(against),
            **start_body(None, None, env),
        },
        "numbers": number or None,
        "filter": text,
        "secrets": secrets_of(secret),
        "ignore": ignore or [],
    }
    if save and not ignore:
        raise UsageMistake("--save needs at least one --ignore PATH.")
    with open_api(url, ca) as api, progress("comparing…"):
        path = generation_path(generation, "/preview/compare")
        found: dict[str, Any] = api.call("POST", path, body=body, timeout_s=TIMEOUT_S).json()
        if save:
            _save(api, generation, ignore or [])
    other = candidate or against or "variables"
    write_report(junit, junit_report(f"{generation} and {other}", [_case(one) for one in found["items"]]))
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["verdict"] == "broke":
        raise typer.Exit(ExitCode.FAILED)


def _preset(name: str | None) -> str | None:
    return "" if name == "-" else name


def _save(api: Api, generation: str, ignore: list[str]) -> None:
    path = generation_path(generation, "/preview/checks")
    known = api.get_json(path)
    ignored = list(dict.fromkeys([*known["ignore"], *ignore]))
    api.call("PUT", path, body={"checks": known["checks"], "ignore": ignored})


def _print(found: dict[str, Any]) -> None:
    if found["failure"]:
        say(f"the second version does not start: {found['failure']}")
        for line in found["last_lines"]:
            say(f"  {line}")
    print_verdicts([(one["verdict"], one["endpoint"], "") for one in found["endpoints"]])
    for one in found["items"]:
        lines = difference_lines(one["differences"])
        if not lines and one["verdict"] != "broke":
            continue
        show(f"{one['method']} {one['path']}: {_statuses(one)}")
        for line in lines:
            show(f"  {line}")
        for line in (one["candidate"] or {}).get("lines", ())[-3:] if one["verdict"] == "broke" else ():
            show(f"  | {line}")


def _statuses(one: dict[str, Any]) -> str:
    first, candidate = one["first"], one["candidate"]
    return f"{_said(first)} in {first['elapsed_ms']:.0f} ms → {_said(candidate)} in {candidate['elapsed_ms']:.0f} ms"


def _said(answer: dict[str, Any]) -> str:
    return str(answer["error"] or answer["status"])


def _case(one: dict[str, Any]) -> Case:
    candidate = one["candidate"] or {"elapsed_ms": 0.0}
    broke = one["verdict"] == "broke"
    failure = "\n".join([_statuses(one), *difference_lines(one["differences"])]) if broke else None
    return Case(f"{one['method']} {one['path']}", candidate["elapsed_ms"], failure, one["skipped"])
