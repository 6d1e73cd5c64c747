"""``preview run --check``: probe a folder's backend, run its checks, and end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from preview.cli.commands.understand.check import check_case, print_checks, read_checks_file
from preview.cli.commands.understand.junit import Case, junit_suites
from preview.cli.commands.understand.probe import print_probe
from preview.cli.commands.understand.results import write_report
from preview.cli.commands.understand.summary import append_summary, markdown_failures, markdown_summary
from preview.cli.exits import ExitCode
from preview.cli.local.folder_checks import FolderResult, FolderTask, run_folder_checks
from preview.cli.local.run_async import run_async
from preview.cli.terminal import print_json, progress, say
from preview.detection import Overrides
from preview.errors import PreviewError
from preview.settings import Settings

_NO_FILE = "The folder has no preview.checks.toml, so it was only probed."
_UNREACHED = "never reached: every response was 401, 403, 404, 405 or 429"
_NOT_SENT = "The time limit for requests was reached."
_MOST_LINES = 8


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Options of the command.

    Attributes:
        budget_s: Seconds for the requests of the probe.
        junit: File for the JUnit report.
        summary: File to which the Markdown summary is appended.
        as_json: Print the results as JSON.
    """

    budget_s: float
    junit: Path | None
    summary: Path | None
    as_json: bool


def check_project(settings: Settings, folder: Path, overrides: Overrides | None, options: CheckOptions) -> ExitCode:
    """Launch the folder's backend, probe it, run its checks, and stop it; print and write the results.

    Returns:
        ``FAILED`` if something broke, ``INTERRUPTED`` after a signal, else ``OK``.

    Raises:
        PreviewError: It does not start; the reports have the reason too.
    """
    content = read_checks_file(folder)
    with progress("starting the application…") as update:
        task = FolderTask(content, options.budget_s, overrides, update)
        try:
            found = run_async(partial(run_folder_checks, settings, folder, task))
        except PreviewError as error:
            _write(options, folder, f"{folder.name}: not checked", [Case("start", failure=error.message)], [])
            raise
    if found is None:
        return ExitCode.INTERRUPTED
    probe = probe_cases(found.probe or {})
    skipped = Case("preview.checks.toml", skipped=_NO_FILE)
    checks = [skipped] if found.checks is None else [check_case(one) for one in found.checks["results"]]
    broke = sum(case.failure is not None for case in [*probe, *checks])
    sentence = f"{folder.name}: {f'{broke} broke' if broke else 'no problems found'}"
    _write(options, folder, sentence, probe, checks)
    if options.as_json:
        print_json({"probe": found.probe, "checks": found.checks})
    else:
        _print(found, sentence)
    return ExitCode.FAILED if broke else ExitCode.OK


def probe_cases(found: dict[str, Any]) -> list[Case]:
    """Return a probe as test cases, one for each endpoint. A finding that can be intended is no failure."""
    if found["state"] == "failed":
        return [Case("probe", failure=f"The probe failed: {found['error']}")]
    if not found["rows"]:
        return [Case("probe", skipped="No endpoints were found.")]
    return [_endpoint_case(row, found["findings"]) for row in found["rows"]]


def _endpoint_case(row: dict[str, Any], findings: list[dict[str, Any]]) -> Case:
    name = f"{row['method']} {row['path']}"
    own = [one for one in findings if (one["method"], one["path"]) == (row["method"], row["path"])]
    failures = [_failure(one) for one in own if not one["is_doubtful"]]
    if failures:
        return Case(name, failure="\n\n".join(failures))
    skipped = None if row["is_reached"] else _UNREACHED if row["requests"] else _NOT_SENT
    return Case(name, skipped=skipped)


def _failure(one: dict[str, Any]) -> str:
    """Return a finding as lines: its sentence with its place, and the commands; without a place the last lines too."""
    place = f" (at {one['frame']})" if one["frame"] else ""
    commands = [step["curl"] for step in one["steps"]]
    lines = [] if place else [line["message"] for line in one["lines"][-_MOST_LINES:]]
    return "\n".join([one["sentence"] + place, *commands, *lines])


def _write(options: CheckOptions, folder: Path, sentence: str, probe: list[Case], checks: list[Case]) -> None:
    write_report(
        options.junit, junit_suites([(f"probe of {folder.name}", probe), (f"checks of {folder.name}", checks)])
    )
    cases = [*probe, *checks]
    short = [replace(case, failure=case.failure and case.failure.partition("\n")[0]) for case in cases]
    append_summary(options.summary, markdown_summary(sentence, short) + markdown_failures(cases))


def _print(found: FolderResult, sentence: str) -> None:
    if found.probe is not None:
        print_probe(found.probe, is_kept=False)
        if found.probe["state"] == "failed":
            say(f"The probe failed: {found.probe['error']}")
    if found.checks is None:
        say(_NO_FILE)
    else:
        print_checks(found.checks)
    say(sentence)
