"""What does a file cost that is made where many were removed a moment ago?

``uv run python benchmarks/churn.py [--rounds N] [--folder FOLDER] [--save FILE]``

As a service does all day: fifty previews' folders are made (20 files in 4 folders each) and removed, again and again;
how long one of them takes to be made. *Floor*: in a folder as it comes. *Spread*: in one whose folders the disk keeps
apart (``preview/spreading.py``). On ext4; elsewhere there is no difference. No process, no service: files alone.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

from _measure import compare, interleave, report, save

from preview.supervisor.launch.ext4_topdir import spread_below

PREVIEWS, FILES = 50, 20
FLOOR, SPREAD = "as it comes, each preview's files", "spread, each preview's files"


def make(folder: Path) -> float:
    start = time.perf_counter()
    inner = folder / "project" / "app" / "routers"
    inner.mkdir(parents=True)
    for number in range(FILES):
        (inner.parent / f"file_{number}.py").write_bytes(b"x" * 1500)
    return (time.perf_counter() - start) * 1000


def churn(root: Path) -> float:
    folders = [root / str(number) for number in range(PREVIEWS)]
    times = [make(folder) for folder in folders]
    for folder in folders:
        shutil.rmtree(folder)
    return sorted(times)[PREVIEWS // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None, help="where to; by default the usual temporary folder")
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="preview-benchmark-", dir=options.folder) as folder:
        plain, spread = Path(folder) / "plain", Path(folder) / "spread"
        plain.mkdir()
        spread.mkdir()
        spread_below(spread)
        values = interleave({FLOOR: partial(churn, plain), SPREAD: partial(churn, spread)}, rounds=options.rounds)
    figures = compare(values, floor=FLOOR, unit="ms")
    report(f"{PREVIEWS} previews' folders made and removed", figures)
    save(options.save, {"churn": figures})


if __name__ == "__main__":
    main()
