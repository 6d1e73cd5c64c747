"""Start the backends of ``tests/generated`` or ``tests/databases`` in a real service, and use each as its user would.

    uv run python scripts/generated.py [NAME …] [--set databases] [--jobs N] [--keep CACHE] [--save FILE]

``NAME`` is the beginning of a project's name, such as ``07``. Each project is pushed, installed, launched in the
sandbox, asked the requests of its ``expected`` file in order, and stopped. It *works* if all answers are the expected
ones and its endpoints are listed completely. The exit status is 1 if more than two projects of thirty do not work.
The projects of ``databases`` need the programs of PostgreSQL, MariaDB and Redis on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trio

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from _public import Launch, LaunchRefused, PublicService, open_public_service  # noqa: E402
from generated_kit import TESTS, Expected, call_of, compare, judge, load  # noqa: E402

# Of thirty; fewer projects must all work but for the same share of them.
_WORKING_OF_THIRTY = 28


@dataclass
class Result:
    """What became of one project.

    Attributes:
        name: The project.
        started: Whether it answered.
        seconds: From the launch to the first answer, or to the failure.
        silence_s: The longest time without a line in the log before that.
        requests: How many answers were the expected ones, of how many requests.
        endpoints: How many of the true endpoints were listed, of how many.
        complete: Whether the listed endpoints are the true ones.
        said: What was wrong.
        log: The newest lines of a project that does not work.
    """

    name: str
    started: bool = False
    seconds: float = 0.0
    silence_s: float = 0.0
    requests: tuple[int, int] = (0, 0)
    endpoints: tuple[int, int] = (0, 0)
    complete: bool = False
    said: tuple[str, ...] = ()
    log: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether its user has what the README promises."""
        return self.started and self.complete and self.requests[0] == self.requests[1]

    def __str__(self) -> str:
        return (
            f"{self.name:<28} {'yes' if self.started else 'NO':<7} {self.seconds:6.1f} {self.silence_s:7.1f}  "
            f"{f'{self.requests[0]}/{self.requests[1]}':>8} {f'{self.endpoints[0]}/{self.endpoints[1]}':>9}  "
            f"{'yes' if self.complete else 'NO':<8}  {'works' if self.works else 'FAILS'}"
        )


HEADING = f"{'project':<28} {'started':<7} {'s':>6} {'quiet s':>7}  {'answers':>8} {'endpoints':>9}  complete  verdict"


async def run_project(service: PublicService, expected: Expected, timeout_s: float) -> Result:
    """Push, launch, ask and stop one project."""
    result = Result(
        expected.name, requests=(0, len(expected.requests)), endpoints=(0, len(expected.endpoints))
    )  # fmt: skip
    try:
        generation_id = await service.push(expected.folder)
        await _compare_endpoints(service, generation_id, expected, result)
        async with service.launched(generation_id, timeout_s) as launch:
            result.seconds, result.silence_s = launch.seconds, launch.silence_s
            result.started = launch.state == "running"
            if result.started:
                await _play(service, launch, expected, result)
                await _compare_endpoints(service, generation_id, expected, result)
            else:
                result.said = (f"{launch.state}: {launch.reason}", *result.said)
            if not result.works:
                result.log = tuple(await service.last_lines(generation_id, 40))
    except LaunchRefused as error:
        result.said = (f"refused: {error}", *result.said)
    return result


async def _play(service: PublicService, launch: Launch, expected: Expected, result: Result) -> None:
    """Send the scenario's requests; those after a wrong answer count as wrong too."""
    kept: dict[str, Any] = {}
    for number, request in enumerate(expected.requests):
        wrong = judge(request, await service.request(launch, **call_of(request, kept)), kept)
        if wrong:
            result.requests = (number, len(expected.requests))
            result.said = (wrong, *result.said)
            return
    result.requests = (len(expected.requests), len(expected.requests))


async def _compare_endpoints(
    service: PublicService, generation_id: str, expected: Expected, result: Result
) -> None:  # fmt: skip
    listed = await service.get(generation_id, "/preview/endpoints")
    compared = compare(expected, ((one["method"], one["path"]) for one in listed["endpoints"]))
    result.endpoints, result.complete = (compared.right, len(expected.endpoints)), compared.complete
    rest = [one for one in result.said if not one.startswith("endpoint ")]
    rest += [f"endpoint missed: {one}" for one in sorted(compared.missed)]
    result.said = (*rest, *(f"endpoint wrong: {one}" for one in sorted(compared.wrong)))


async def measure(options: argparse.Namespace) -> list[Result]:
    """Run the projects, ``--jobs`` at a time; return the results in order of their names."""
    results: list[Result] = []
    limiter = trio.CapacityLimiter(options.jobs)
    settings = {
        "PREVIEW_ENVIRONMENT_BUILD_TIMEOUT": str(options.install_timeout),
        "PREVIEW_STARTUP_TIMEOUT": str(options.start_timeout),
    }
    async with (
        open_public_service(cache=options.keep, at_once=options.jobs, settings=settings) as service,
        trio.open_nursery() as nursery,
    ):

        async def one(expected: Expected) -> None:
            async with limiter:
                try:
                    result = await run_project(service, expected, options.timeout)
                except Exception:  # noqa: BLE001  one project's trouble is none of the others'
                    result = Result(expected.name, said=(traceback.format_exc(),))
            results.append(result)
            print(result, flush=True)
            for line in result.said:
                print(f"    {line}", flush=True)

        print(HEADING)
        for expected in load(options.names, TESTS / options.set):
            nursery.start_soon(one, expected)
    return sorted(results, key=lambda result: result.name)


def main() -> int:
    """Run the projects that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of projects' names")
    parser.add_argument("--set", choices=["generated", "databases"], default="generated", help="a folder of tests/")
    parser.add_argument("--jobs", type=int, default=2, help="projects at a time")
    parser.add_argument("--keep", type=Path, default=None, help="a cache folder that stays, with the environments")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one launch, environment included")
    parser.add_argument("--install-timeout", type=float, default=300, help="seconds for one environment")
    parser.add_argument("--start-timeout", type=float, default=30, help="seconds from a start to its first answer")
    parser.add_argument("--save", type=Path, default=None, help="the results as JSON, with the last lines of failures")
    options = parser.parse_args()
    results = trio.run(measure, options)
    if options.save is not None:
        options.save.write_text(json.dumps([asdict(one) for one in results], indent=1))
    print("", HEADING, *results, sep="\n")
    working = sum(one.works for one in results)
    print(f"{working} of {len(results)} work, {sum(one.started for one in results)} started")
    return 0 if results and working * 30 >= _WORKING_OF_THIRTY * len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
