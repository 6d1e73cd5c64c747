"""Do real projects start, without being told anything about them?

``uv run python benchmarks/corpus.py PROJECTS [TRUTH] [--only NAME …] [--keep CACHE] [--logs FILE] [--save FILE]``

``PROJECTS`` holds one folder for each project; ``TRUTH`` one ``NAME.json`` each, which names its framework. Each is
copied, launched as ``preview run`` would, asked for ``/`` and its health, and stopped; then it says *started* or the
reason why not, and how long that took. The first run builds every environment: ``--keep`` names a cache for the next.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import trio
from _measure import RUN_BY, compare, save
from _projects import copied, each_project, launched, quiet

from preview.core.lifecycle import State
from preview.errors import PreviewError
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.supervisor.process.probe import ProbeFailed, ask


@dataclass(frozen=True)
class Tried:
    """One project's try.

    Attributes:
        name: Its folder's.
        framework: As the truth has it; empty without one.
        started: Whether it answered.
        said: Status codes, or the reason.
        environment_s: Seconds until its environment was there.
        total_s: Seconds from the launch to the first answer, or to the failure.
        log: All that it said.
    """

    name: str
    framework: str
    started: bool
    said: str
    environment_s: float
    total_s: float
    log: tuple[str, ...]


async def try_project(folder: Path, framework: str, settings: Settings, timeout_s: float) -> Tried:
    began = time.perf_counter()
    try:
        async with launched(folder, settings, timeout_s) as preview:
            total_s = time.perf_counter() - began
            started = preview.record.state is State.RUNNING
            said = await answers(preview) if started else preview.record.reason or f"not within {timeout_s:g} s"
            lines = tuple(preview.last_lines(2000))
            return Tried(folder.name, framework, started, said, environment_seconds(lines), total_s, lines)
    except PreviewError as error:
        return Tried(folder.name, framework, False, error.message, 0.0, time.perf_counter() - began, ())


async def answers(preview: LivePreview) -> str:
    found = []
    for path in dict.fromkeys(("/", preview.record.health_path)):
        try:
            with trio.fail_after(10):
                found.append(f"GET {path} -> {await ask(preview.socket_address, path)}")
        except (ProbeFailed, trio.TooSlowError) as error:
            found.append(f"GET {path} -> {str(error) or 'nothing in 10 s'}")
    return ", ".join(found)


def environment_seconds(lines: tuple[str, ...]) -> float:
    for line in lines:
        if line.startswith("environment ready in "):
            return float(line.split()[3])
    return 0.0


async def measure(options: argparse.Namespace) -> list[Tried]:
    quiet()
    tried = []
    with tempfile.TemporaryDirectory(prefix="preview-corpus-") as cache:
        for folder in each_project(options.projects, options.only):
            truth = options.truth / f"{folder.name}.json" if options.truth else None
            framework = json.loads(truth.read_text())["framework"] if truth and truth.exists() else ""
            with copied(folder, options.keep or Path(cache)) as (copy, settings):
                one = await try_project(copy, framework, settings, options.timeout)
            tried.append(one)
            mark = "started" if one.started else "FAILED "
            print(f"{mark}  {one.name:<22} {one.total_s:6.1f} s (environment {one.environment_s:5.1f})  {one.said}")
    return tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", type=Path)
    parser.add_argument("truth", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", default=(), help="names of projects")
    parser.add_argument("--keep", type=Path, default=None, help="a cache folder that stays")
    parser.add_argument("--timeout", type=float, default=420, help="seconds for one project, environment included")
    parser.add_argument("--logs", type=Path, default=None, help="everything of each project as JSON, logs included")
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    tried = trio.run(measure, options)
    tables = {}
    for framework in sorted({one.framework for one in tried}):
        own = [one for one in tried if one.framework == framework]
        started = sum(one.started for one in own)
        print(f"{framework or 'all'}: {started} of {len(own)} started, as {RUN_BY}")
        counts = {"tried": [float(len(own))], "started": [float(started)]}
        tables[framework or "all"] = compare(counts, floor="tried", unit="projects")
    if options.logs is not None:
        options.logs.write_text(json.dumps([asdict(one) for one in tried], indent=1))
    save(options.save, tables)


if __name__ == "__main__":
    main()
