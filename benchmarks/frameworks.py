"""Small projects of many frameworks: do they start where they listen, and are their endpoints the running ones?

    uv run python benchmarks/frameworks.py FOLDER [--only NAME] [--keep CACHE] [--jobs N] [--static] [--misses]

``FOLDER`` is ``benchmarks/second``, ``third`` or ``fourth``: a folder for each framework, with a text for each project
whose last part has the true routes (``route_tables.py`` and ``node_truth.py`` wrote them). Each project is pushed to a
real service and launched with real installs. Three lists are compared with the true routes:

1. *source*: what the service lists before the launch; nothing has run.
2. *table*: the endpoints of the running preview that come from its application or its OpenAPI document.
3. *merged*: all endpoints of the running preview, as ``preview endpoints --app`` shows them.

A project *answers* if each of its GET routes without parameters gets a response below 500.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from _measure import RUN_BY
from _public import Launch, LaunchRefused, PublicService, open_public_service
from endpoints import Route, Score, missing, normalise
from route_tables import lay, read_shape

_LISTS = ("source", "table", "merged")
# Documents of a framework's own: neither missed nor wrong.
_ALSO = ("/docs", "/openapi", "/redoc", "/schema", "/swagger", "/scalar")


@dataclass
class Outcome:
    """What became of one project.

    Attributes:
        name: Framework and project.
        started: Whether it served.
        answers: GET routes with a response below 500, and all that were asked.
        complete: Whether the service says that the merged list is complete.
        scores: For each of the three lists.
        said: What was wrong.
    """

    name: str
    started: bool = False
    answers: tuple[int, int] = (0, 0)
    complete: bool = False
    scores: dict[str, Score] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lists = "  ".join(
            f"{kind} {one.recalled}/{one.true} {one.right}/{one.found}" for kind, one in self.scores.items()
        )
        state = "started" if self.started else "NOT STARTED"
        answers = f"answers {self.answers[0]}/{self.answers[1]}"
        return f"{self.name:<22} {state:<11} {answers}  {lists}  complete {self.complete}"


def compare(truth: set[Route], listed: list[dict[str, Any]]) -> Score:
    """Compare a list of endpoints with the true routes."""
    found = normalise((one["method"], one["path"]) for one in listed)
    found = {one for one in found if one in truth or not one[1].startswith(_ALSO)}
    unfound, wrong = missing(truth, found), missing(found, truth)
    lines = [f"not found  {method:7}{path}" for method, path in sorted(unfound)]
    lines += [f"not true   {method:7}{path}" for method, path in sorted(wrong)]
    return Score(len(truth) - len(unfound), len(truth), len(found) - len(wrong), len(found), lines=lines)


async def ask(service: PublicService, launch: Launch, truth: list[Route], outcome: Outcome) -> None:
    """Send a request to each GET route without parameters."""
    paths = sorted({path for method, path in truth if method == "GET" and not {"{", "*"} & set(path)})
    right = 0
    for path in paths[:5]:
        with trio.move_on_after(20):
            answer = await service.request(launch, "GET", path)
            right += 0 < answer["status_code"] < 500
            if not 0 < answer["status_code"] < 500:
                outcome.said.append(f"GET {path}: {answer['status_code']} {str(answer['body'])[:200]}")
    outcome.answers = (right, len(paths[:5]))


async def run_project(service: PublicService, file: Path, options: argparse.Namespace) -> Outcome:
    """Push, list, launch, list again, ask and stop one project."""
    _, files, lines = read_shape(file.read_text())
    routes = [(line.split(" ")[0], line.split(" ", 1)[1]) for line in lines]
    truth = normalise(routes)
    outcome = Outcome(f"{file.parent.name}-{file.stem}")
    with tempfile.TemporaryDirectory() as folder:
        lay(Path(folder), files)
        generation_id = await service.push(Path(folder))
    listed = await service.get(generation_id, "/preview/endpoints")
    outcome.scores["source"] = compare(truth, listed["endpoints"])
    if not options.static:
        async with service.launched(generation_id, options.timeout) as launch:
            outcome.started = launch.state == "running"
            if outcome.started:
                listed = await service.get(generation_id, "/preview/endpoints")
                outcome.complete = listed["complete"]
                ran = [one for one in listed["endpoints"] if one["source"] != "static"]
                outcome.scores["table"] = compare(truth, ran)
                outcome.scores["merged"] = compare(truth, listed["endpoints"])
                await ask(service, launch, routes, outcome)
            else:
                outcome.said += [f"{launch.state}: {launch.reason}", *await service.last_lines(generation_id, 12)]
    for kind, one in outcome.scores.items():
        outcome.said += [f"{kind:<7} {line}" for line in one.lines if options.misses]
    return outcome


async def measure(options: argparse.Namespace) -> list[Outcome]:
    """Run all projects, some at a time."""
    outcomes: list[Outcome] = []
    limiter = trio.CapacityLimiter(options.jobs)
    settings = {"PREVIEW_ENVIRONMENT_BUILD_TIMEOUT": "600", "PREVIEW_STARTUP_TIMEOUT": str(options.start_timeout)}
    async with (
        open_public_service(cache=options.keep, at_once=options.jobs, settings=settings) as service,
        trio.open_nursery() as nursery,
    ):

        async def one(file: Path) -> None:
            async with limiter:
                try:
                    outcome = await run_project(service, file, options)
                except LaunchRefused as error:
                    outcome = Outcome(f"{file.parent.name}-{file.stem}", said=[f"refused: {error}"])
            outcomes.append(outcome)
            print(outcome, *(f"      {line}" for line in outcome.said), sep="\n", flush=True)

        for file in sorted(options.folder.rglob("*.txt")):
            if options.only in f"{file.parent.name}-{file.stem}":
                nursery.start_soon(one, file)
    return outcomes


def main() -> int:
    """Run the projects and print each framework's figures; the exit status is 1 if one is below 0.95."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", type=Path, default=None, help="a cache folder that stays, with the environments")
    parser.add_argument("--jobs", type=int, default=1, help="projects at a time")
    parser.add_argument("--static", action="store_true", help="read the source only, launch nothing")
    parser.add_argument("--misses", action="store_true", help="show each route that differs")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one launch, environment included")
    parser.add_argument("--start-timeout", type=float, default=90, help="seconds from a start to its first answer")
    options = parser.parse_args()
    outcomes = trio.run(measure, options)
    totals: dict[str, dict[str, Score]] = defaultdict(lambda: defaultdict(Score))
    started: dict[str, list[bool]] = defaultdict(list)
    for one in outcomes:
        for name in (one.name.partition("-")[0], "~all"):
            started[name].append(one.started)
            for kind, result in one.scores.items():
                totals[name][kind].add(result)
    print(f"\nas {RUN_BY}; precision and recall of each list")
    for name in sorted(started):
        figures = [
            f"{kind} {totals[name][kind].precision:.3f} {totals[name][kind].recall:.3f}"
            for kind in _LISTS
            if kind in totals[name]
        ]
        routes = totals[name]["source"].true
        print(f"{name:<11} started {sum(started[name])}/{len(started[name])}  {routes:>4} routes  {'  '.join(figures)}")
    low = [one for name in started for one in totals[name].values() if min(one.precision, one.recall) < 0.95]
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
