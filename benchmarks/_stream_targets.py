"""What the streams promise, and whether a run of `streams.py` has shown it."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from _peers import FILTERED

__all__ = ["judge"]

_OURS = "preview"
Found = Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        start: How the name of what was measured begins.
        end: How it goes on, after the numbers.
        limit: The bound, in its unit, or as a ratio to ``beside``.
        at_most: Whether it must be at most that, or at least.
        beside: Whose figure of the same round it is compared with; none: the figure itself.
        whose: The peer that promises it.
    """

    start: str
    end: str
    limit: float
    at_most: bool = True
    beside: str | None = None
    whose: str = _OURS


TARGETS = (
    Target("100 subscribers, 1,000", "received, 99th percentile [ms]", 10),
    Target("100 subscribers, 1,000", "lines delivered [s]", 1.1, beside="nchan"),
    Target("100 subscribers, 1,000", "lost [lines]", 0),
    Target("1,000 subscribers, 100", "received, 99th percentile [ms]", 50),
    Target("1,000 subscribers, 100", "lines delivered [s]", 1.1, beside="nchan"),
    Target("1,000 subscribers, 100", "lost [lines]", 0),
    Target("100 subscribers, a burst", "delivered [lines/s]", 1_000_000, at_most=False),
    Target("100 subscribers, a burst", "delivered [lines/s]", 20, at_most=False, beside="Starlette"),
    Target("100 subscribers, a burst", "lost [lines]", 0),
    *(
        Target(start, end, limit, beside=beside, whose=FILTERED)
        for start in ("100 subscribers, 1,000", "1,000 subscribers, 100")
        for end, limit, beside in (("lines delivered [s]", 1.1, "nchan"), ("lost [lines]", 0, None))
    ),
    Target("10,000 idle streams", "for each [KiB]", 35),
    Target("10,000 idle streams", "all of them [ms]", 1.3, beside="nchan"),
)


def judge(found: Found) -> None:
    """Print each promise with what was measured, median over the rounds; what was not measured is left out."""
    print()
    for target in TARGETS:
        for measured, by_peer in found.items():
            if measured.startswith(target.start) and measured.endswith(target.end):
                _judge_one(target, measured, by_peer)


def _judge_one(target: Target, measured: str, by_peer: Mapping[str, Sequence[float]]) -> None:
    own, others = by_peer.get(target.whose), by_peer.get(target.beside or target.whose)
    if own is None or others is None or len(own) != len(others) or (target.beside and not all(others)):
        return
    values = [one / other for one, other in zip(own, others, strict=True)] if target.beside else list(own)
    value = statistics.median(values)
    holds: Callable[[float, float], bool] = operator.le if target.at_most else operator.ge
    title, _, unit = measured.removesuffix("]").rpartition(" [")
    unit = f"x {target.beside}" if target.beside else unit
    print(
        f"  {'holds ' if holds(value, target.limit) else 'MISSED'}  {target.whose}: {title}: {value:,.2f} {unit}"
        f" ({'at most' if target.at_most else 'at least'} {target.limit:,})"
    )
