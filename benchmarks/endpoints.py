"""How many of a project's true routes does reading its source find, how many of what it finds are true, and how fast?

    uv run python benchmarks/endpoints.py PROJECTS TRUTH [--framework flask] [--only NAME] [--misses] [--root]

``TRUTH`` holds one ``NAME.json`` a project (``framework``, ``workdir``, ``routes`` with ``method`` and ``path``);
``PROJECTS`` one folder of that name each. Parameter names do not count; ``*`` and ``ALL`` stand for any method.
Targets: precision and recall 0.97 over all and 0.93 for each framework; 500 ms a project.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from preview.endpoints import extract

_PARAMETER = re.compile(r"\{[^}]*\}|<[^>]*>|:[A-Za-z_]\w*(?:\([^)]*\))?[?*+]?|\*\w+")
_ANY = frozenset({"*", "ALL", "ANY"})
# What every framework answers by itself is no route of the project.
_AUTOMATIC = frozenset({"HEAD", "OPTIONS"})

Route = tuple[str, str]


@dataclass
class Score:
    """True routes that were found, all true ones; found routes that are true, all found."""

    recalled: int = 0
    true: int = 0
    right: int = 0
    found: int = 0
    slowest_ms: float = 0.0
    lines: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        self.recalled += other.recalled
        self.true += other.true
        self.right += other.right
        self.found += other.found
        self.slowest_ms = max(self.slowest_ms, other.slowest_ms)

    @property
    def recall(self) -> float:
        return self.recalled / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    def __str__(self) -> str:
        return (
            f"precision {self.precision:5.3f}  recall {self.recall:5.3f}  "
            f"({self.recalled}/{self.true} true ones found, {self.right}/{self.found} found are true)  "
            f"{self.slowest_ms:5.0f} ms"
        )


def normalise(routes: Iterable[Route]) -> set[Route]:
    """Comparable routes: parameters without names, any method as ``*``."""
    found = set()
    for method, path in routes:
        upper = method.upper()
        if upper not in _AUTOMATIC:
            found.add(("*" if upper in _ANY else upper, _PARAMETER.sub("{}", path) or "/"))
    return found


def missing(wanted: set[Route], there: set[Route]) -> set[Route]:
    """Which of ``wanted`` no route of ``there`` stands for."""
    methods: dict[str, set[str]] = defaultdict(set)
    for method, path in there:
        methods[path].add(method)
    return {
        (method, path)
        for method, path in wanted
        if path not in methods or (method != "*" and not methods[path] & {method, "*"})
    }


def score(directory: Path, truth: set[Route]) -> Score:
    """Read one project and compare."""
    started = time.perf_counter()
    extraction = extract(directory)
    elapsed = (time.perf_counter() - started) * 1000
    found = normalise((item.method, item.path) for item in extraction.endpoints)
    unfound, wrong = missing(truth, found), missing(found, truth)
    lines = [f"      not found  {method:7}{path}" for method, path in sorted(unfound)]
    lines += [f"      not true   {method:7}{path}" for method, path in sorted(wrong)]
    lines += [f"      skipped    {file}: {why}" for file, why in extraction.skipped.items()]
    return Score(len(truth) - len(unfound), len(truth), len(found) - len(wrong), len(found), elapsed, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--framework")
    parser.add_argument("--only")
    parser.add_argument("--misses", action="store_true", help="show each route that differs")
    parser.add_argument("--root", action="store_true", help="read the repository's folder instead of the project's")
    options = parser.parse_args()
    totals: dict[str, Score] = defaultdict(Score)
    for file in sorted(options.truth.glob("*.json")):
        facts = json.loads(file.read_text("utf-8"))
        name, framework = facts["name"], facts["framework"]
        if options.framework not in {None, framework} or options.only not in {None, name}:
            continue
        directory = options.projects / name / ("." if options.root else facts["workdir"])
        if not directory.is_dir():
            print(f"{name:24} not there")
            continue
        result = score(directory, normalise((item["method"], item["path"]) for item in facts["routes"]))
        print(f"{name:24} {result}")
        if options.misses:
            print(*result.lines, sep="\n")
        totals[framework].add(result)
        totals["all"].add(result)
    print()
    for framework, total in sorted(totals.items()):
        print(f"{framework:24} {total}")


if __name__ == "__main__":
    main()
