"""How long does an environment take that is not there yet, beside uv itself?

``uv run python benchmarks/environment.py [--rounds N] [--downloads N] [--save FILE]``

What ``examples/bookshop`` pins, and a server. Floor: ``uv venv`` and ``uv pip install`` by hand, with the same
interpreter and the same requirements, into a folder on the same disk.

* *from a warm cache*: all wheels are in uv's cache; neither side asks the network.
* *from nothing*: each side has an empty cache of its own each time, and downloads. Needs the network; ``--downloads 0``
  leaves it out.
* *bytecode*: what the background compiling takes, and what importing the example's packages takes without and with it.

The service's side runs in its jail, where this machine has a sandbox, and is measured from the request to the
environment in hand.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio
from _caches import use_usual_caches
from _measure import Figure, compare, interleave_async, report, save

from preview.core.removal import remove_folder
from preview.environments import Environment, EnvironmentCache, EnvironmentRequest, find_jail
from preview.environments.python.choosing import find_newer
from preview.environments.sandbox.interpreter import find_interpreter
from preview.environments.sandbox.program import find_uv
from preview.runtime import Refusal, child_subreaper, probe_sandbox
from preview.settings import Settings

EXAMPLE = Path(__file__).parents[1] / "examples" / "bookshop"
SERVER = "uvicorn>=0.30"
IMPORTS = "import fastapi, pydantic, sqlalchemy.orm, uvicorn"
BY_HAND = "floor: uv venv, uv pip install by hand"
OURS = "environment in hand"


@dataclass(frozen=True)
class Bench:
    """One cache of environments and its folders.

    Attributes:
        folder: Goes with it.
        cache: Of environments.
        python: What environments are built for.
    """

    folder: Path
    cache: EnvironmentCache
    python: str


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder whose subfolders may be protected."""
    folder = Path(tempfile.mkdtemp(prefix="preview-benchmark-"))
    try:
        yield folder
    finally:
        remove_folder(folder)


@asynccontextmanager
async def open_bench(uv_cache: Path | None = None) -> AsyncIterator[Bench]:
    """An ``EnvironmentCache`` as the service makes it; ``uv_cache``: in place of the machine's own."""
    before = os.environ.get("UV_CACHE_DIR")
    with temporary() as folder, child_subreaper():
        if uv_cache is not None:
            os.environ["UV_CACHE_DIR"] = str(uv_cache)
        try:
            settings = Settings(data_dir=folder / "data", cache_dir=folder / "cache")
            etc = settings.data_dir / "sandbox"
            jail = None if isinstance(await probe_sandbox(etc), Refusal) else await find_jail(settings, etc)
            newer = None if jail is None else await find_newer()
            interpreter = await find_interpreter(None, offline=True) if newer is None else newer.interpreter
            shutil.copytree(EXAMPLE, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
            cache = EnvironmentCache(settings, jail)
            await cache.warm_up()  # as the service does after its start
            yield Bench(folder, cache, interpreter.request)
        finally:
            if before is not None:
                os.environ["UV_CACHE_DIR"] = before


@asynccontextmanager
async def built(bench: Bench) -> AsyncIterator[tuple[Environment, float]]:
    """An environment that was not there, and the seconds that it took; it is removed afterwards."""
    request = EnvironmentRequest(bench.folder / "project", entry="app/main.py")
    start = time.perf_counter()
    async with bench.cache.open_environment(request, lambda line, level: None) as environment:
        elapsed = time.perf_counter() - start
        assert environment.how == "built", environment
        yield environment, elapsed
    remove_folder(environment.directory)


def by_hand(python: str, *options: str, uv_cache: Path | None = None) -> float:
    """The seconds that uv takes."""
    with temporary() as folder:
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{(EXAMPLE / 'requirements.txt').read_text()}\n{SERVER}\n")
        place, quiet = folder / "environment", ("--quiet", "--no-progress", *options)
        variables = {**os.environ, **({} if uv_cache is None else {"UV_CACHE_DIR": str(uv_cache)})}
        start = time.perf_counter()
        for command in (
            ("venv", "--no-project", "--python", python, str(place)),
            ("pip", "install", "--python", str(place / "bin" / "python"), "--requirement", str(wanted)),
        ):
            subprocess.run([find_uv(), *command, *quiet], env=variables, check=True)
        return time.perf_counter() - start


async def warm_by_hand(bench: Bench) -> Mapping[str, float]:
    return {BY_HAND: 1000 * await trio.to_thread.run_sync(by_hand, bench.python, "--offline")}


async def warm(bench: Bench) -> Mapping[str, float]:
    async with built(bench) as (_, elapsed):
        return {OURS: elapsed * 1000}


async def nothing_by_hand(python: str) -> Mapping[str, float]:
    with temporary() as cache:
        return {BY_HAND: 1000 * await trio.to_thread.run_sync(partial(by_hand, python, uv_cache=cache))}


async def nothing() -> Mapping[str, float]:
    with temporary() as cache:
        async with open_bench(cache) as bench, built(bench) as (_, elapsed):
            return {OURS: elapsed * 1000}


async def bytecode(bench: Bench) -> Mapping[str, float]:
    async with built(bench) as (environment, _):
        without = await trio.to_thread.run_sync(imported, environment.python)
        start = time.perf_counter()
        await bench.cache.compile(environment.key)
        compiled = time.perf_counter() - start
        return {
            "compiling, in the background": compiled * 1000,
            "imports, before": without * 1000,
            "imports, after": 1000 * await trio.to_thread.run_sync(imported, environment.python),
        }


def imported(python: Path) -> float:
    start = time.perf_counter()
    subprocess.run([python, "-I", "-B", "-c", IMPORTS], check=True)
    return time.perf_counter() - start


async def measure(rounds: int, downloads: int) -> dict[str, list[Figure]]:
    use_usual_caches()
    tables: dict[str, list[Figure]] = {}
    async with open_bench() as bench:
        await trio.to_thread.run_sync(by_hand, bench.python)  # what is missing in the cache
        values = await interleave_async([partial(warm_by_hand, bench), partial(warm, bench)], rounds=rounds)
        tables["from a warm cache"] = compare(values, floor=BY_HAND, unit="ms")
        values = await interleave_async([partial(bytecode, bench)], rounds=min(rounds, 3), warm_up=0)
        tables["bytecode"] = compare(values, floor=None, unit="ms")
        python = bench.python
    if downloads:
        values = await interleave_async([partial(nothing_by_hand, python), nothing], rounds=downloads, warm_up=0)
        tables["from nothing"] = compare(values, floor=BY_HAND, unit="ms")
    for title, figures in tables.items():
        report(f"pins of examples/bookshop, {title}", figures)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--downloads", type=int, default=5, help="rounds from nothing, over the network")
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, trio.run(measure, options.rounds, options.downloads))


if __name__ == "__main__":
    main()
