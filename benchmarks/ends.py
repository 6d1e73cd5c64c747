"""A soak of ends: does each reader of a log get every line and exactly one ``end``?

Previews are stopped, expire, crash, are reloaded and stopped, and are killed (SIGKILL to their processes), each under 1
to 20 readers: SSE and NDJSON on the direct path, on the ordinary path (TLS) and over HTTP/2, and WebSockets. Two
services, one of them with a certificate, are processes of their own; the readers are not. A reader that has lost its
connection does not come back.

    uv run python benchmarks/ends.py [--previews N] [--seed S] [--minutes M] [--busy N]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
from _measure import RUN_BY

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests" / part) for part in ("", "faults")]

from end_soak import Soak, draw, open_soak  # noqa: E402  found by the line above

_PROBLEMS_SHOWN = 20
# The last previews may end so long after the time for new ones.
_SPARE_S = 120
# Bounded by itself: a benchmark that is killed leaves nothing that runs for ever.
_SPIN = "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--previews", type=int, default=1000, help="end so many (1000)")
    parser.add_argument("--minutes", type=float, default=20, help="begin none after so long (20)")
    parser.add_argument("--seed", type=int, default=None, help="what is drawn (random, and printed)")
    parser.add_argument("--busy", type=int, default=0, help="busy loops beside it (0)")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}, {options.busy} busy loops, as {RUN_BY}", flush=True)
    with tempfile.TemporaryDirectory(prefix="preview-ends-") as folder:
        problems = trio.run(_run, Path(folder), seed, options.previews, options.minutes * 60, options.busy)
    sys.exit(1 if problems else 0)


@contextmanager
def _busy(count: int, seconds: float) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", _SPIN, str(seconds)]) for _ in range(count)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


async def _run(folder: Path, seed: int, previews: int, limit_s: float, busy: int) -> int:
    cache = folder / "cache"
    async with (
        open_soak(folder / "plaintext", cache, secured=False, port_min=42000) as plaintext,
        open_soak(folder / "tls", cache, secured=True, port_min=42100) as tls,
    ):
        soaks, began = [plaintext, tls], time.monotonic()
        try:
            with _busy(busy, limit_s + _SPARE_S):
                await _soak(soaks, seed, previews, began + limit_s)
        finally:
            _report(soaks, time.monotonic() - began)
    return len(plaintext.problems) + len(tls.problems)


async def _soak(soaks: list[Soak], seed: int, previews: int, until: float) -> None:
    async with trio.open_nursery() as watch:
        watch.start_soon(_tell, soaks)
        async with trio.open_nursery() as nursery:
            for index, soak in enumerate(soaks):
                draws = [draw(seed, n, secured=soak.secured) for n in range((previews + index) // 2)]
                nursery.start_soon(lambda one, drawn: one.run(drawn, until=until), soak, draws)
        watch.cancel_scope.cancel()


async def _tell(soaks: list[Soak]) -> None:
    """Say each minute how far it is, and what was found."""
    while True:
        await trio.sleep(60)
        counts = [sum(values) for values in zip(*(one.counts for one in soaks), strict=True)]
        print("  so far: {} previews, {} streams, {} problems".format(*counts), flush=True)


def _report(soaks: list[Soak], seconds: float) -> None:
    streams = sum((soak.streams for soak in soaks), Counter[str]())
    ends = sum((soak.ends for soak in soaks), Counter[str]())
    problems = [problem for soak in soaks for problem in soak.problems]
    for name, count in (streams + ends).items():
        print(f"  {name:<24} {count:>6}")
    print(
        f"{ends.total()} previews and {streams.total()} streams in {seconds:.0f} s; "
        f"{sum(soak.lines for soak in soaks)} lines received, {sum(soak.named_gaps for soak in soaks)} named gaps; "
        f"{sum(soak.refused for soak in soaks)} launches asked for again; "
        f"{len(problems)} problems"
    )
    for problem in problems[:_PROBLEMS_SHOWN]:
        print("  ", problem)


if __name__ == "__main__":
    main()
