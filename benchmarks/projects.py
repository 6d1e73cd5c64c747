"""Do public projects that nobody here has seen start, do they answer, and are their endpoints found?

    uv run python benchmarks/projects.py FOLDER… --save FILE [--truth] [--keep CACHE] [--only-report]

Each ``FOLDER`` is one project, fetched before. It is pushed to a real service, launched in its sandbox, asked its first
GET endpoints without parameters, and stopped. ``--truth`` launches one that started a second time with one more step: a
script (``_routes_python.py``, ``_routes_node.cjs``) that prints the framework's own route table, in the preview's
environment. ``FILE`` gets each result at once, as one line of JSON; a project in it is not measured again. The tables
are Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import trio
from _measure import RUN_BY
from _public import LaunchRefused, PublicService, open_public_service
from endpoints import missing, normalise

HERE = Path(__file__).resolve().parent
# Asked of each project.
_CALLS = 5
# Kept of a log, and of a line of it.
_LINES, _CHARACTERS = 30, 300
_SKIPPED = shutil.ignore_patterns(".git", "node_modules", ".venv", "venv", "__pycache__")


@dataclass
class Measured:
    """One project's results.

    Attributes:
        name: Its folder's.
        commit: The revision that was measured; empty if the folder does not tell.
        framework: As detected; empty if nothing was.
        started: Whether it answered.
        said: Why not, in the service's words.
        seconds: From the launch to the first answer or the end.
        silence_s: The longest time without a line of the log in between.
        answers: Path and status of the requests; 0 for no answer.
        log: The newest lines, if it did not start or an answer was a 5xx.
        found: Endpoints that are listed.
        true: Endpoints in the running application's own table; None if it was not asked or gave none.
        missed: True endpoints that are not listed.
        wrong: Listed endpoints that are not true.
        truth_said: Why there is no table.
    """

    name: str
    commit: str = ""
    framework: str = ""
    started: bool = False
    said: str = ""
    seconds: float = 0.0
    silence_s: float = 0.0
    answers: list[tuple[str, int]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    found: int = 0
    true: int | None = None
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    truth_said: str = ""

    @property
    def failing(self) -> int:
        return sum(status == 0 or status >= 500 for _, status in self.answers)


def commit_of(folder: Path) -> str:
    """The revision of a checkout, or the text of a file ``COMMIT`` beside or in the folder."""
    for file in (folder / "COMMIT", folder.with_name(f"{folder.name}.commit")):
        if file.is_file():
            return file.read_text().strip()
    if not (folder / ".git").exists():
        return ""
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


async def measure(service: PublicService, folder: Path, options: argparse.Namespace) -> Measured:
    """Launch one project, ask it, and compare its endpoints."""
    result = Measured(folder.name, commit_of(folder))
    listed: list[tuple[str, str]] = []
    try:
        generation_id = await service.push(folder)
        plan = await service.get(generation_id, "/plan")
        result.framework = plan["framework"]
        listed = await _listed(service, generation_id)
        async with service.launched(generation_id, options.timeout) as launch:
            result.seconds, result.silence_s = round(launch.seconds, 1), round(launch.silence_s, 1)
            result.started = launch.state == "running"
            result.said = "" if result.started else f"{launch.state}: {launch.reason}"
            if result.started:
                listed = await _listed(service, generation_id)
                for path in dict.fromkeys(
                    path for method, path in listed if method in {"GET", "*"} and "{" not in path
                ):
                    if len(result.answers) < _CALLS:
                        answer = await service.request(launch, "GET", path)
                        result.answers.append((path, answer["status_code"]))
            if not result.started or result.failing:
                lines = await service.last_lines(generation_id, _LINES)
                result.log = [line[:_CHARACTERS] for line in lines]
    except LaunchRefused as error:
        result.said = f"refused: {error}"
        return result
    finally:
        result.found = len(normalise(listed))
    if options.truth and result.started:
        await _compare(service, folder, plan, listed, result, options.timeout)
    return result


async def _listed(service: PublicService, generation_id: str) -> list[tuple[str, str]]:
    listed = await service.get(generation_id, "/preview/endpoints")
    return [(one["method"], one["path"]) for one in listed["endpoints"]]


async def _compare(
    service: PublicService,
    folder: Path,
    plan: dict[str, Any],
    listed: Iterable[tuple[str, str]],
    result: Measured,
    timeout_s: float,
) -> None:
    """Compare the listed endpoints with the application's own table; a framework's own routes do not count."""
    lines = await _run_truth(service, folder, plan, timeout_s)
    marked = [line.partition(" ")[::2] for line in lines if line.startswith(("@@route ", "@@also "))]
    routes = {kind: [_pair(text) for mark, text in marked if mark == kind] for kind in ("@@route", "@@also")}
    if "@@done" not in lines:
        result.truth_said = " / ".join(line[:_CHARACTERS] for line in lines[-3:]) or "no line"
        return
    true, also = normalise(routes["@@route"]), normalise(routes["@@also"])
    found = normalise(listed)
    found -= found - missing(found, also - true) if also else set()
    result.true, result.found = len(true), len(found)
    result.missed = [" ".join(one) for one in sorted(missing(true, found))]
    result.wrong = [" ".join(one) for one in sorted(missing(found, true))]


def _pair(text: str) -> tuple[str, str]:
    method, _, path = text.partition(" ")
    return method, path


def _truth_step(plan: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The script that prints the route table, and the step that runs it."""
    if plan["toolchain"] == "node":
        script = HERE / "_routes_node.cjs"
        # The step runs where the server does; the script is in the project's own folder.
        back = os.path.relpath(".", plan["directory"])
        run = ["node", "--require", f"{back}/{script.name}", *plan["command"]]
        return script, {"run": run, "directory": plan["directory"]}
    script = HERE / "_routes_python.py"
    app, factory = plan["app"] or plan["file"], str(plan["factory"])
    roots = list(dict.fromkeys([*plan["python_path"], plan["app_dir"] or ".", plan["directory"], "."]))
    run = ["python", script.name, plan["framework"], app, factory, plan["directory"], *roots]
    return script, {"run": run, "directory": "."}


async def _run_truth(service: PublicService, folder: Path, plan: dict[str, Any], timeout_s: float) -> list[str]:
    """Launch a copy with the script as its last step; return the lines of its log."""
    script, step = _truth_step(plan)
    steps = [
        {"name": one["name"], "run": one["command"], "directory": one["directory"], "required": False}
        for one in plan["steps"]
    ]
    # The step that fails ends the launch: nothing is served in vain.
    steps.append({"name": "routes", **step, "required": True})
    with tempfile.TemporaryDirectory(prefix="preview-routes-") as temporary:
        copy = Path(temporary) / folder.name
        shutil.copytree(folder, copy, symlinks=True, ignore=_SKIPPED)
        shutil.copy(script, copy)
        try:
            generation_id = await service.push(copy)
            async with service.launched(generation_id, timeout_s, {"start": {"steps": steps}}):
                return await service.last_lines(generation_id, 5000)
        except LaunchRefused as error:
            return [str(error)]


def tables(results: Sequence[Measured]) -> str:
    """The results as Markdown: one row a framework, then one a project."""
    by_framework: dict[str, list[Measured]] = defaultdict(list)
    for one in results:
        by_framework[one.framework or "none found"].append(one)
    by_framework = {**dict(sorted(by_framework.items())), "all": list(results)}
    rows = [
        "| framework | projects | started | answers without 5xx | precision | recall |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for framework, own in by_framework.items():
        asked, failing = sum(len(one.answers) for one in own), sum(one.failing for one in own)
        compared = [one for one in own if one.true is not None]
        found, true = sum(one.found for one in compared), sum(one.true or 0 for one in compared)
        wrong, missed = sum(len(one.wrong) for one in compared), sum(len(one.missed) for one in compared)
        rows.append(
            f"| {framework} | {len(own)} | {sum(one.started for one in own)} | {asked - failing} of {asked} "
            f"| {_share(found - wrong, found)} | {_share(true - missed, true)} |"
        )
    rows += [
        "",
        "| project | commit | framework | started | s | quiet s | answers | found | true | said |",
        f"|{' --- |' * 10}",
    ]
    for one in results:
        answers = ", ".join(f"{path} {status or 'none'}" for path, status in one.answers)
        said = (one.said or one.truth_said).replace("|", "\\|").replace("\n", " ")
        rows.append(
            f"| {one.name} | {one.commit[:10]} | {one.framework} | {'yes' if one.started else 'NO'} | {one.seconds} "
            f"| {one.silence_s} | {answers} | {one.found} | {'' if one.true is None else one.true} | {said} |"
        )
    return "\n".join(rows)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else ""


def read(file: Path) -> list[Measured]:
    """The results in a file; a line that was cut by an interruption is left out."""
    results = []
    for line in file.read_text().splitlines() if file.is_file() else ():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        results.append(Measured(**{**values, "answers": [(path, status) for path, status in values["answers"]]}))
    return results


async def run(options: argparse.Namespace) -> None:
    """Measure each folder that the file does not have yet."""
    there = {one.name for one in read(options.save)}
    folders = [one.resolve() for one in options.folders if one.resolve().name not in there]
    if not folders or options.only_report:
        return
    settings = {"PREVIEW_ENVIRONMENT_BUILD_TIMEOUT": str(options.install_timeout)}
    if options.start_timeout is not None:
        settings["PREVIEW_STARTUP_TIMEOUT"] = str(options.start_timeout)
    # Two slots: a preview that is being stopped still counts.
    async with open_public_service(cache=options.keep, at_once=2, settings=settings) as service:
        for folder in folders:
            try:
                result = await measure(service, folder, options)
            except Exception as error:  # noqa: BLE001  one project's trouble is none of the others'
                traceback.print_exc()
                result = Measured(folder.name, commit_of(folder), said=f"not measured: {error!r}")
            with options.save.open("a") as file:
                file.write(f"{json.dumps(asdict(result))}\n")
            print(
                f"{'started' if result.started else 'FAILED '} {folder.name:<28} {result.seconds:6.1f} s  {result.said}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--save", type=Path, required=True, help="the results, one line of JSON a project")
    parser.add_argument("--truth", action="store_true", help="compare endpoints with the application's own table")
    parser.add_argument("--keep", type=Path, default=None, help="a cache folder that stays, with the environments")
    parser.add_argument("--install-timeout", type=float, default=300, help="seconds for one environment")
    parser.add_argument("--start-timeout", type=float, default=None, help="seconds to the first answer of a start")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one launch, everything included")
    parser.add_argument("--only-report", action="store_true", help="measure nothing, print the tables of --save")
    options = parser.parse_args()
    trio.run(run, options)
    results = read(options.save)
    print(f"\n{tables(results)}\n\nMeasured as {RUN_BY}.")
    for one in results:
        for kind, lines in (("missed", one.missed), ("wrong", one.wrong)):
            for line in lines:
                print(f"{one.name}: {kind} {line}")


if __name__ == "__main__":
    main()
