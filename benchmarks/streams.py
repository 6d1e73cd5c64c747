"""One log to many subscribers over HTTP: `preview serve` beside nchan, Node, Starlette, and the least there can be.

``uv run python benchmarks/streams.py [--quick] [--scenario NAME] [--peer NAME] [--rounds N] [--save FILE]``

The same program prints into each server, the same client reads from it, in turn, round after round, each time from a
fresh process. Each line bears the moment of its printing, so delays are from the child's ``write`` to the
subscriber's socket.

- ``hundred``: 100 subscribers who connect one after the other, 1,000 lines/s, then a burst.
- ``thousand``: 1,000 subscribers, 100 lines/s.
- ``idle``: 10,000 streams: memory of each, and one line to all.

``preview, filtered`` is the same service, whose streams have a filter that all lines pass.

The bare sender gives prepared bytes to sockets and does nothing else: no server can be expected to be quicker, and
what it reaches in the burst is the least that the client can take (its own ceiling).
"""

from __future__ import annotations

import argparse
import gc
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from _measure import Figure, compare, percentile, report, save
from _peers import FILTERED, NOT_DIRECT, Missing, Opener, Peer, openers
from _stream_targets import judge
from _subscribers import Plan, Received, Subscribers, Task, open_subscribers

# Before the one line that goes to all idle streams: a server may rest after the line before.
_SILENCE_S = 0.5
# Time for what was printed to arrive, beyond the time of printing.
_PATIENCE_S = 20.0
# Read line by line, spread over all subscribers.
_WATCHED = 10
# Lines of a burst: what each can deliver in a second or two.
_BURST_LINES = {
    "preview": 20_000,
    FILTERED: 20_000,
    NOT_DIRECT: 20_000,
    "bare sender": 20_000,
    "Node": 5_000,
    "nchan": 5_000,
    "Starlette": 1_000,
}
_CPU = "CPU of the server per million lines delivered"
# Of these only what is not as it should be is told.
_LOST, _BUSY = "lines lost", "the client's share of a core"


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes:
        seconds: At a steady rate.
        warm_up: Seconds before that do not count: everything has been done once, code is compiled.
        idle: Idle streams.
        burst: The share of each server's burst.
        ones: How often one line goes to all idle streams.
    """

    seconds: float
    warm_up: float
    idle: int
    burst: float
    ones: int


Values = Mapping[str, float]


def deliver(peer: Peer, subscribers: Subscribers, task: Task, rate: float) -> tuple[Received, float, float]:
    """What came, the CPU time per million deliveries, and the time from the order to the last line."""
    subscribers.begin(task)
    cpu, begun = peer.cpu_s(), time.monotonic_ns()
    peer.print_lines(task.first, task.lines, rate)
    received = subscribers.end()
    cpu_s = (peer.cpu_s() - cpu) * 1e6 / max(1, received.delivered)
    return received, cpu_s, max(1, received.last_ns - begun) / 1e9


def steady(peer: Peer, subscribers: Subscribers, count: int, rate: float, sizes: Sizes) -> tuple[dict[str, float], int]:
    """Lines at a steady rate; the values, and the next line's number."""
    title = f"{count:,} subscribers, {rate:,.0f} lines/s"
    warm, lines = int(rate * sizes.warm_up), int(rate * sizes.seconds)
    deliver(peer, subscribers, Task(0, warm, limit_s=sizes.warm_up + _PATIENCE_S), rate)
    task = Task(warm, lines, limit_s=sizes.seconds + _PATIENCE_S)
    received, cpu_s, _ = deliver(peer, subscribers, task, rate)
    delays = received.delays_ns
    values = {
        f"{title}: printed to received, median [ms]": percentile(delays, 50) / 1e6,
        f"{title}: printed to received, 99th percentile [ms]": percentile(delays, 99) / 1e6,
        f"{title}: {_CPU} [s]": cpu_s,
        f"{title}: {_LOST} [lines]": count * lines - received.delivered or received.faulty,
        f"{title}: {_BUSY} [%]": received.busy * 100,
    }
    return values, warm + lines


def hundred(name: str, open_peer: Opener, sizes: Sizes) -> Values:
    count = 100
    with open_peer() as peer, open_subscribers(Plan(peer.port, peer.request, count, _WATCHED, True)) as subscribers:
        values, first = steady(peer, subscribers, count, 1000, sizes)
        lines = int(_BURST_LINES[name] * sizes.burst)
        task = Task(first, lines, eager=True, limit_s=_PATIENCE_S * 2)
        received, cpu_s, elapsed_s = deliver(peer, subscribers, task, 0)
        title = f"{count} subscribers, a burst"
        return {
            "subscribe, to the head of the answer, median [ms]": percentile(subscribers.connect_ms, 50),
            "subscribe, to the head of the answer, 99th percentile [ms]": percentile(subscribers.connect_ms, 99),
            **values,
            f"{title}: delivered [lines/s]": received.delivered / elapsed_s,
            f"{title}: {_CPU} [s]": cpu_s,
            f"{title}: {_LOST} [lines]": count * lines - received.delivered or received.faulty,
            f"{title}: {_BUSY} [%]": received.busy * 100,
        }


def thousand(name: str, open_peer: Opener, sizes: Sizes) -> Values:
    count = 1000
    with open_peer() as peer, open_subscribers(Plan(peer.port, peer.request, count, _WATCHED)) as subscribers:
        return steady(peer, subscribers, count, 100, sizes)[0]


def idle(name: str, open_peer: Opener, sizes: Sizes) -> Values:
    count, title = sizes.idle, f"{sizes.idle:,} idle streams"
    with open_peer() as peer:
        before, used_s = peer.memory_bytes(), peer.cpu_s()
        with open_subscribers(Plan(peer.port, peer.request, count, count)) as subscribers:
            subscribing_ms = (peer.cpu_s() - used_s) / count * 1e3
            each = (peer.memory_bytes() - before) / count / 1024
            last, cpu, lost = [], [], 0
            for number in range(sizes.ones):
                time.sleep(_SILENCE_S)
                task = Task(number, 1, eager=True, limit_s=_PATIENCE_S)
                received, cpu_s, _ = deliver(peer, subscribers, task, 0)
                last.append(max(received.delays_ns, default=0) / 1e6)
                cpu.append(cpu_s * count / 1e3)
                lost += count - received.delivered or received.faulty
    return {
        f"{title}: memory of the server for each [KiB]": each,
        f"{title}: one line to all of them [ms]": percentile(last, 50),
        f"{title}: CPU of the server for it [ms]": percentile(cpu, 50),
        f"{title}: {_LOST} [lines]": lost,
        f"{title}: connecting all of them [s]": subscribers.connected_s,
        f"{title}: CPU of the server for one to subscribe [ms]": subscribing_ms,
    }


SCENARIOS: dict[str, Callable[[str, Opener, Sizes], Values]] = {"hundred": hundred, "thousand": thousand, "idle": idle}


def run_all(
    scenarios: Sequence[str], peers: Mapping[str, Opener], sizes: Sizes, rounds: Mapping[str, int]
) -> dict[str, dict[str, list[float]]]:
    """By what was measured and by peer, the values of all rounds; peers that cannot be had are named and left out."""
    found: dict[str, dict[str, list[float]]] = {}
    left = dict(peers)
    for scenario in scenarios:
        for number in range(rounds[scenario]):
            for name, opener in list(left.items()) if number % 2 == 0 else list(reversed(left.items())):
                gc.collect()
                if scenario == "idle" and name in {FILTERED, NOT_DIRECT} and len(left) > 1:
                    # Minutes until all are connected: only where it was asked for.
                    continue
                if sys.stderr.isatty():
                    print(f"  {scenario} {number + 1}/{rounds[scenario]}: {name:<24}", end="\r", file=sys.stderr)
                try:
                    values = SCENARIOS[scenario](name, opener, sizes)
                except Missing as missing:
                    print(f"without {name}: {missing}")
                    del left[name]
                except (OSError, RuntimeError) as error:
                    # One that cannot do it is told, and does not end the run for the others.
                    print(f"{name} failed in {scenario!r}: {error}")
                else:
                    for measured, value in values.items():
                        found.setdefault(measured, {}).setdefault(name, []).append(value)
    return found


def tables(found: Mapping[str, Mapping[str, list[float]]], beside: str) -> dict[str, list[Figure]]:
    """Print everything; ratios are to ``beside``, where it was measured and is not nothing."""
    made = {}
    for measured, by_peer in found.items():
        title, _, unit = measured.removesuffix("]").rpartition(" [")
        own = by_peer.get(beside, [])
        # A peer that failed in some round has nothing to be compared with.
        alike = all(own) and all(len(values) == len(own) for values in by_peer.values())
        figures = compare(by_peer, floor=beside if alike else None, unit=unit)
        made[title] = figures
        if title.endswith(_LOST):
            lost = [f"{one.name} {sum(one.values):,.0f}" for one in figures if sum(one.values)]
            print(f"\n{title}: {', '.join(lost) or 'none'}")
        elif title.endswith(_BUSY):
            print(f"{title}: {', '.join(f'{one.name} {one.median:.0f} %' for one in figures)}")
        else:
            report(title, figures, beside=beside)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of each, 1,000 idle streams")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this; may be repeated")
    parser.add_argument("--peer", action="append", choices=list(openers("auto")), help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="(3; the idle streams have one less)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement at a steady rate (3)")
    parser.add_argument("--idle", type=int, default=10_000, help="idle streams (10000)")
    parser.add_argument("--beside", default="nchan", help="whose figures the ratios are to (nchan)")
    parser.add_argument("--isolation", default="auto", help="PREVIEW_ISOLATION of the service (auto)")
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    # A socket for each idle stream, here and in each server.
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    # Ended as by Ctrl-C: every block is left, and with it every process and folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = Sizes(options.seconds, 1.0, options.idle, 1.0, 5)
    rounds = {"hundred": options.rounds, "thousand": options.rounds, "idle": max(1, options.rounds - 1)}
    if options.quick:
        sizes, rounds = Sizes(1.0, 0.5, min(options.idle, 1000), 0.25, 3), dict.fromkeys(SCENARIOS, 1)
    chosen = {name: opener for name, opener in openers(options.isolation).items() if name in (options.peer or [name])}
    print(f"isolation of previews: {options.isolation}; ratios are to {options.beside}'s")
    found = run_all(options.scenario or list(SCENARIOS), chosen, sizes, rounds)
    save(options.save, tables(found, options.beside))
    judge(found)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left behind")
