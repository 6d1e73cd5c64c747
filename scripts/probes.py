"""Probe the backends of ``tests/probes``, which have seeded bugs; say which bugs were found.

    uv run python scripts/probes.py [NAME …] [--seconds S] [--keep CACHE]

``NAME`` is the beginning of a project's name, such as ``07``. Each project is pushed, launched and probed in a real
service. Its data is compared before and after: the hash of its files, and two data snapshots. The exit status is 1 if a
bug was not found, if a whole probe took longer than its time on a quiet machine, or if any data has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import trio

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests"), str(ROOT / "tests" / "probes")]

from _public import Launch, PublicService, open_public_service  # noqa: E402
from probes_kit import PROJECTS, Bug, missed, probe, seeded  # noqa: E402

_LAUNCH_S = 400
# This script asks every fifth of a second.
_LATE_S = 0.3
# Files that a running interpreter or server may write at any time.
_NO_DATA = ("__pycache__", "node_modules")


async def run_project(service: PublicService, name: str, bugs: tuple[Bug, ...], seconds: float) -> bool:
    """Probe one project; print what came of it; return whether all is as it must be."""
    generation_id = await service.push(PROJECTS / name)
    async with service.launched(generation_id, _LAUNCH_S) as launch:
        if launch.state != "running":
            print(f"{name}: {launch.state}: {launch.reason}", *launch.lines, sep="\n    ")
            return False
        before, first = _files_of(service), await _snapshot(service, launch)
        began = trio.current_time()
        found = await probe(service.client, generation_id, seconds=seconds)
        took_s = trio.current_time() - began
        after, second = _files_of(service), await _snapshot(service, launch)
        compared = await service.get(generation_id, f"/preview/snapshots/{first['id']}/diff/{second['id']}")
        # A user may have a limited number of them.
        for one in (first, second):
            gone = await service.client.delete(f"{_snapshots(launch)}/{one['id']}")
            gone.raise_for_status()
    is_same = before == after and not compared["files"] and not compared["databases"]
    left = missed(bugs, found)
    print(
        f"{name:<24} {len(bugs) - len(left)} of {len(bugs)} bugs  {len(found['findings']):>2} findings  "
        f"{found['requests']:>5} requests  {took_s:>5.1f} s  {found['engine']:<12}  "
        f"{'data the same' if is_same else 'DATA CHANGED'}  {found['state']}",
        flush=True,
    )
    for one in found["findings"]:
        print(f"    {one['kind']} {one['method']} {one['path']}: {one['sentence']}", flush=True)
    for line in (
        *(f"not found{'' if one.is_found else ' (known)'}: {one.what}" for one in left),
        *found["notes"],
        *([found["error"]] if found["error"] else ()),
    ):
        print(f"    {line}", flush=True)
    # Where more wants to run than there are processors, each start takes longer.
    crowding = max(1.0, os.getloadavg()[1] / (os.cpu_count() or 1))
    is_in_time = took_s <= (seconds + _LATE_S) * crowding
    if not is_in_time:
        print(f"    the whole probe took {took_s:.1f} s", flush=True)
    return is_same and is_in_time and not any(one.is_found for one in left) and found["state"] == "done"


def _files_of(service: PublicService) -> dict[str, str]:
    """Hash the files of the running preview, SQLite included."""
    folders = sorted(Path(service.variables["PREVIEW_DATA_DIR"]).rglob("preview_*"))
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and not any(part in _NO_DATA for part in path.parts)
    }


async def _snapshot(service: PublicService, launch: Launch) -> dict[str, Any]:
    made = await service.client.post(_snapshots(launch), json={"name": "compared"})
    made.raise_for_status()
    snapshot: dict[str, Any] = made.json()
    return snapshot


def _snapshots(launch: Launch) -> str:
    return f"/api/v1/generations/{launch.generation_id}/preview/snapshots"


async def run(options: argparse.Namespace) -> bool:
    """Probe the projects one after the other; return whether all is as it must be."""
    results = []
    async with open_public_service(cache=options.keep, at_once=2) as service:
        for name, bugs in seeded().items():
            if not options.names or name.startswith(tuple(options.names)):
                results.append(await run_project(service, name, bugs, options.seconds))
    print(f"{sum(results)} of {len(results)}: all bugs found and the data the same")
    return bool(results) and all(results)


def main() -> int:
    """Run the projects that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of projects' names")
    parser.add_argument("--seconds", type=float, default=30, help="time for the probe of one project")
    parser.add_argument("--keep", type=Path, default=None, help="a cache folder that stays, with the environments")
    return 0 if trio.run(run, parser.parse_args()) else 1


if __name__ == "__main__":
    sys.exit(main())
