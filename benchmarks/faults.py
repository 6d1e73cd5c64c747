"""Thousands of faults against one real service: what it survives, kind by kind.

Each fault is drawn by the seed, done to a service that runs as a process of its own with previews, subscribers and
requests under way, and followed by a look at everything that must hold: the service answers; no process, port,
descriptor, folder, control group or task beyond what lives; each line that any subscriber was told is there, once,
dense or behind a named gap; rows agree with reality. It ends at the first breach, with the seed to see it again.

    python benchmarks/faults.py --faults 2000 [--minutes M] [--seed S] [--isolation plain] [--kind WORD] [--warm]
        [--round N]
    python benchmarks/faults.py --cluster [--nodes 3] [--minutes M] [--seed S] [--isolation plain] [--lease S]
        [--keep FOLDER] [--warm] [--kind WORD] [--launches 10] [--watchers 0] [--requests 0]

Where it runs as an ordinary user the service has a broker, which is killed too; with --warm it has a template, and
previews are forked.

With --cluster the faults are done to nodes in network namespaces on one PostgreSQL, under launches, watchers and
requests (scaled to two processors, or as many as are asked for): kill -9, lost machines, SIGSTOP, cut networks,
PostgreSQL killed, a full disk, a wrong clock. It ends with all breaches, and the seconds until lost previews were
served again. It needs root.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path

import trio
from _measure import RUN_BY, percentile

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests" / part) for part in ("", "faults")]

from cluster_faults import Campaign as ClusterCampaign  # noqa: E402  found by the line above
from cluster_faults import Options, open_campaign  # noqa: E402  likewise
from fault_campaign import ALL_KINDS, Campaign  # noqa: E402  likewise
from fault_kinds import Kind  # noqa: E402
from fault_machine import small_disk  # noqa: E402
from fault_world import World, open_world  # noqa: E402

_FEW_WATCHERS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=2000, help="inject at least so many (2000)")
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long all the same (60)")
    parser.add_argument("--seed", type=int, default=None, help="what is drawn (random, and printed)")
    parser.add_argument("--isolation", default="auto", help="PREVIEW_ISOLATION (auto)")
    parser.add_argument("--kind", action="append", default=[], help="only kinds whose name holds this; repeatable")
    parser.add_argument("--round", type=int, default=60, help="scenarios before a fault of the whole service (60)")
    parser.add_argument("--warm", action="store_true", help="with a template, which is killed too")
    parser.add_argument("--cluster", action="store_true", help="faults of a cluster")
    parser.add_argument("--nodes", type=int, default=3, help="nodes of the cluster (3)")
    parser.add_argument("--lease", type=float, default=2.0, help="PREVIEW_NODE_LEASE_S (2)")
    parser.add_argument("--launches", type=float, default=10, help="launches offered to the cluster a minute (10)")
    parser.add_argument("--watchers", type=int, default=0, help="further readers of logs (0)")
    parser.add_argument("--requests", type=float, default=0, help="further requests to previews a second (0)")
    parser.add_argument("--keep", type=Path, default=None, help="copy the nodes' logs there")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}, isolation {options.isolation}, {'warm' if options.warm else 'cold'}, as {RUN_BY}", flush=True)
    if options.cluster:
        isolation = "plain" if options.isolation == "auto" else options.isolation
        chosen = Options(
            options.nodes,
            options.minutes,
            seed,
            options.lease,
            launch_each_s=60 / options.launches,
            watchers=options.watchers,
            requests_per_s=options.requests,
            # A crowd's reader costs what its lines cost.
            line_s=0.25 if options.watchers > _FEW_WATCHERS else 0.05,
            warm=options.warm,
            isolation=isolation,
            kinds=options.kind,
        )
        with tempfile.TemporaryDirectory(prefix="preview-faults-") as folder:
            sys.exit(trio.run(_run_cluster, Path(folder), chosen, options.keep))
    with tempfile.TemporaryDirectory(prefix="preview-faults-") as folder, _data_folder(Path(folder)) as data:
        has = {"tmpfs": data is not None, "broker": os.geteuid() != 0, "templates": options.warm}
        kinds = _chosen(options.kind, has)
        opener = partial(
            open_world,
            Path(folder) / "world",
            Path(folder) / "cache",
            data_folder=data,
            ISOLATION=options.isolation,
            WARM_TEMPLATES=str(int(options.warm)),
        )
        begin = partial(Campaign, seed=seed, kinds=kinds, round_size=options.round)
        trio.run(_run, opener, begin, kinds, options.faults, options.minutes * 60)


@contextmanager
def _data_folder(folder: Path) -> Iterator[Path | None]:
    """A file system that can be filled, where one may be mounted."""
    with small_disk(folder / "disk", 256) as disk:
        yield None if disk is None else disk / "data"


def _chosen(words: Sequence[str], has: Mapping[str, bool]) -> list[Kind]:
    kinds = [kind for kind in ALL_KINDS if has.get(kind.needs, True)]
    return [kind for kind in kinds if not words or any(word in kind.name for word in words)]


async def _run(
    opener: Callable[[], AbstractAsyncContextManager[World]],
    begin: Callable[[World], Campaign],
    kinds: Sequence[Kind],
    faults: int,
    limit_s: float,
) -> None:
    begun = time.monotonic()
    async with opener() as world:
        campaign = begin(world)
        try:
            await campaign.run(faults, until=begun + limit_s)
        except BaseException:
            print(f"the service said last:\n{world.service.last_words()}")
            raise
        finally:
            _report(campaign, world, kinds, time.monotonic() - begun)


async def _run_cluster(folder: Path, options: Options, kept: Path | None) -> int:
    async with open_campaign(folder, options) as campaign:
        try:
            await campaign.run()
        finally:
            if kept is not None:
                kept.mkdir(parents=True, exist_ok=True)
                for name, node in campaign.nodes.items():
                    shutil.copy(node.log, kept / f"{name}.log")
        load = campaign.load
        _report_load(campaign)
        print(f"\n{len(campaign.faults)} faults: {dict(sorted(Counter(campaign.faults).items()))}")
        print(f"{dict(sorted(load.counts.items()))}")
        for why, seconds in sorted(load.returns.items()):
            spread = " ".join(f"p{p} {percentile(seconds, p):.1f}" for p in (50, 95, 100))
            print(f"served again after {why}: {len(seconds)} times, {spread} s")
        print(f"{len(load.breaches)} breaches", *load.breaches, sep="\n  ")
        return int(bool(load.breaches))


def _report_load(campaign: ClusterCampaign) -> None:
    load, crowd, a_minute = campaign.load, campaign.crowd, 60 / campaign.launching_s
    offered, served = load.counts["launches offered"], len(load.delays)
    print(f"\na minute: {offered * a_minute:.0f} launches offered, {served * a_minute:.0f} served within 30 s")
    print("launches took", *(f"p{part} {percentile(load.delays, part):.1f}" for part in (50, 95)), "s")
    if crowd is not None and crowd.counts:
        counts = {name: count / crowd.seconds for name, count in sorted(crowd.counts.items())}
        print("crowd, a second:", {name: round(rate, 2) for name, rate in counts.items()})
        print(f"answers took {crowd.delays_ms} ms (p50, p95, p99); {crowd.watching:.0f} readers at a time")
        print(f"the crowd took {100 * crowd.processor_s / crowd.seconds:.1f} % of a processor")
    print(f"load {os.getloadavg()[0]:.1f}")


def _report(campaign: Campaign, world: World, kinds: Sequence[Kind], seconds: float) -> None:
    tally = campaign.tally
    width = max(len(kind.name) for kind in kinds)
    print(f"\n{'kind':<{width}}  {'faults':>6}  {'scenarios':>9}  {'s each':>6}")
    for kind in kinds:
        count = tally.scenarios.get(kind.name, 0)
        each = tally.seconds.get(kind.name, 0) / count if count else 0
        print(f"{kind.name:<{width}}  {tally.faults.get(kind.name, 0):>6}  {count:>9}  {each:>6.2f}")
    print(
        f"\n{tally.total} faults in {seconds:.0f} s; {len(world.previews)} previews, {world.ledger.acknowledged} "
        f"acknowledged lines, {sum(map(len, world.gaps.values()))} named gaps, {world.service.starts} starts of the "
        f"service, {tally.checks} looks at everything; {tally.refused} scenarios did not come to their fault"
    )
    for note in world.notes[:10]:
        print("  ", note)


if __name__ == "__main__":
    main()
