"""``preview check``: run the checks of a folder or a generation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from preview.cli.client import Api, generation_path, open_api
from preview.cli.commands.understand.junit import Case, junit_report
from preview.cli.commands.understand.results import TIMEOUT_S, JunitOption, print_verdicts, write_report
from preview.cli.commands.understand.summary import append_summary, markdown_summary
from preview.cli.data_folder import RUNS, hold_first_free_slot
from preview.cli.exits import CommandFailed, ExitCode, UsageMistake
from preview.cli.options import CaOption, JsonOption, UrlOption, existing_folder, warn_of_skipped
from preview.cli.terminal import print_json, progress, say, show
from preview.core.env_file import find_env_file_beside

app = typer.Typer(add_completion=False)

_FILE = "preview.checks.toml"


@app.command(epilog="Example: preview check . --junit report.xml")
def check(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="The backend's folder, or a generation's id.")],
    save: Annotated[
        int | None, typer.Option("--save", metavar="NUMBER", help="Save this recorded request as a check; run nothing.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the saved check.")] = None,
    is_listed: Annotated[bool, typer.Option("--list", help="Print the generation's checks; run nothing.")] = False,
    junit: JunitOption = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", metavar="FILE", help="Also append the results to FILE as Markdown.")
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the checks in preview.checks.toml, of a folder or a generation.

    A folder's backend is launched for it, and stopped afterwards; no running service is needed. Exit code 1 if a check
    failed.
    """
    if Path(place).expanduser().exists():
        if save is not None or is_listed:
            raise UsageMistake("--save and --list need a generation's id in place of a folder.")
        found = _check_folder(existing_folder(Path(place)))
    else:
        with open_api(url, ca) as api:
            if save is not None or is_listed:
                _show_checks(api, place, save, name, as_json=as_json)
                return
            with progress("checking…"):
                path = generation_path(place, "/preview/checks/run")
                found = api.call("POST", path, body={}, timeout_s=TIMEOUT_S).json()
    cases = [check_case(one) for one in found["results"]]
    write_report(junit, junit_report(f"checks of {place}", cases))
    append_summary(summary, markdown_summary(f"checks of {place}: {found['summary']}", cases))
    if as_json:
        print_json(found)
    else:
        print_checks(found)
    if found["broke"]:
        raise typer.Exit(ExitCode.FAILED)


def _show_checks(api: Api, generation: str, number: int | None, name: str | None, *, as_json: bool) -> None:
    if number is None:
        found = api.get_json(generation_path(generation, "/preview/checks"))
    else:
        body = {} if name is None else {"name": name}
        path = generation_path(generation, f"/preview/requests/{number}/check")
        found = api.call("POST", path, body=body).json()
    if as_json:
        print_json(found)
        return
    show(found["text"].rstrip())
    if number is not None:
        say(f"saved; keep it beside the code: preview check {generation} --list > {_FILE}")


def _check_folder(folder: Path) -> dict[str, Any]:
    """Launch the folder's backend in this process, and run its checks."""
    # A service takes much longer to import than most commands run.
    from preview.cli.local.folder_checks import FolderTask, run_folder_checks  # noqa: PLC0415
    from preview.cli.local.hosting import configure_logging  # noqa: PLC0415
    from preview.cli.local.own_settings import operators_data_folder, own_settings  # noqa: PLC0415
    from preview.cli.local.run_async import run_async  # noqa: PLC0415

    content = read_checks_file(folder)
    if content is None:
        raise CommandFailed(f"The folder has no {_FILE}; `preview check GEN --save NUMBER` creates one.")
    configure_logging("ERROR", "console")
    file = find_env_file_beside(folder)
    warn_of_skipped(file)
    with hold_first_free_slot(operators_data_folder(file) / RUNS) as slot, progress("starting the application…"):
        settings = own_settings(slot, {}, file, is_watched=False)
        result = run_async(partial(run_folder_checks, settings, folder, FolderTask(content)))
    if result is None or result.checks is None:
        raise typer.Exit(ExitCode.INTERRUPTED)
    return result.checks


def read_checks_file(folder: Path) -> bytes | None:
    """Return the folder's checks file; None without one.

    Raises:
        CommandFailed: It cannot be read.
    """
    try:
        return (folder / _FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandFailed(f"{folder / _FILE} cannot be read: {error.strerror or error}.") from error


def print_checks(found: dict[str, Any]) -> None:
    """Print the results of a run for people."""
    print_verdicts([(_word(one), one["name"], _remark(one)) for one in found["results"]])
    say(found["summary"])


def _word(one: dict[str, Any]) -> str:
    return "skipped" if one["skipped"] else "ok" if one["is_ok"] else "broke"


def _remark(one: dict[str, Any]) -> str:
    if one["skipped"]:
        return str(one["skipped"])
    return " ".join(one["problems"][:3]) or f"{one['status']} in {one['elapsed_ms']:.0f} ms"


def check_case(one: dict[str, Any]) -> Case:
    """Return a check's result as a test case: the first problem with its place, the command, then the lines."""
    if not one["problems"]:
        return Case(one["name"], one["elapsed_ms"], None, one["skipped"])
    first, *others = one["problems"]
    # Only a folder's checks have them.
    cause = " ".join(filter(None, [one.get("error"), one.get("frame") and f"(at {one['frame']})"]))
    command = [one["curl"]] if "curl" in one else []
    return Case(
        one["name"], one["elapsed_ms"], "\n".join([f"{first} {cause}".rstrip(), *others, *command, *one["lines"]])
    )
